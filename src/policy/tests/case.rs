//! One request to issue, good but for one change.

use super::world::*;
use crate::model::{DenialCode, Position};
use crate::policy::{Caller, Grant, IssueRequest};

/// A request that would be granted, and what is changed about it.
pub(super) struct Case {
    pub(super) world: World,
    pub(super) caller: Caller,
    pub(super) request: IssueRequest,
}

/// Decides the case after the change.
pub(super) fn check(policy: &str, change: impl FnOnce(&mut Case), expected: Result<(), DenialCode>) -> Option<Grant> {
    let mut case = Case { world: World::new(), caller: from_outside(INVOICER), request: token() };
    let engine = engine(policy);
    assert!(
        policy != PERMIT_ISSUING || case.world.decide(&engine, &case.caller, &case.request).is_ok(),
        "the case is good before the change"
    );
    change(&mut case);
    // Asked twice: what was remembered must not differ.
    let first = case.world.decide(&engine, &case.caller, &case.request);
    assert_eq!(first, case.world.decide(&engine, &case.caller, &case.request));
    assert_eq!(first.as_ref().map(|_| ()).map_err(|denial| denial.code), expected, "{first:?}");
    first.ok()
}

pub(super) fn refused(change: impl FnOnce(&mut Case), code: DenialCode) {
    check(PERMIT_ISSUING, change, Err(code));
}

pub(super) fn granted(change: impl FnOnce(&mut Case)) -> Grant {
    check(PERMIT_ISSUING, change, Ok(())).expect("checked")
}

impl Case {
    pub(super) fn with_own_certificate(&mut self, task: Option<Position>) {
        self.caller.issued_here = Some(self.world.own_certificate(task));
    }
}
