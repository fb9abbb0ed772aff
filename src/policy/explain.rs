//! Why a request would pass or not: the same decision, with what it came by.

use super::cache::{Refusal, Verdict};
use super::cedar::{Answer, Question};
use super::decide::{Weighed, names};
use super::engine::refusal;
use super::{Action, Caller, Engine, IssueRequest, Resource, Role};
use crate::model::{Bound, Denial, DenialCode, Facts, Life, PolicyName, Timestamp};

/// Whether something would pass, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// Why not; absent if it would pass.
    pub refused: Option<Denial>,
    /// The policies that permit it, sorted; where one of several downstreams refuses, those that permit it at the others.
    pub permits: Vec<PolicyName>,
    /// The policies that forbid it, sorted.
    pub forbids: Vec<PolicyName>,
    /// The life of what would be issued.
    pub life: Option<Life>,
    /// Everything that bounds that life, with the end that it would set; the earliest holds.
    pub bounds: Vec<(Bound, Timestamp)>,
}

impl Engine {
    /// Explains a request to issue.
    pub(crate) fn explain(&self, (role, caller): (&Role, &Caller), request: &IssueRequest, facts: &Facts, now: Timestamp) -> Explanation {
        let mut weighed = Weighed::default();
        let outcome = self.weigh((role, caller), request, facts, now, &mut weighed);
        let (permits, forbids) = match weighed.verdict.as_deref() {
            Some(Verdict::Allowed(terms)) => (terms.policies.clone(), Vec::new()),
            Some(Verdict::Refused(Refusal { permits, forbids, .. })) => (permits.policies.clone(), forbids.clone()),
            None => (Vec::new(), Vec::new()),
        };
        let ends = weighed.bounds.map(|bounds| bounds.ends(now.floor_to_second()));
        let bounds = ends.into_iter().flatten().filter_map(|(bound, end)| Some((bound, end.filter(|end| *end < Caller::NO_END)?)));
        let (life, refused) = match outcome {
            Ok(grant) => {
                let issued = grant.issued();
                (Some(Life { issued_at: issued.issued_at, expires_at: issued.expires_at, bound_by: issued.bound_by }), None)
            }
            Err(denial) => (None, Some(denial)),
        };
        Explanation { refused, permits, forbids, life, bounds: bounds.collect() }
    }

    /// Explains any other call. What the policies cannot be asked is no fault of theirs, and is not
    /// counted as one.
    pub(crate) fn explain_call(&self, role: &Role, action: Action, resource: &Resource, facts: &Facts) -> Explanation {
        let mut explanation = Explanation { refused: None, permits: Vec::new(), forbids: Vec::new(), life: None, bounds: Vec::new() };
        if let Err(denial) = Self::fit(role, action, facts) {
            explanation.refused = Some(denial);
            return explanation;
        }
        match self.cedar.ask(&Question { role, action, resource, issuing: None }, facts) {
            Ok(Answer::Allowed(by)) => explanation.permits = names(&by),
            Ok(Answer::Refused(by)) => {
                explanation.refused = Some(Denial::new(DenialCode::PolicyDenied, refusal(action, &by)));
                explanation.forbids = names(&by);
            }
            Err(error) => {
                explanation.refused = Some(Denial::new(DenialCode::PolicyError, format!("{action} could not be decided: {error}")));
            }
        }
        explanation
    }
}
