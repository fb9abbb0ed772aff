//! The policy text as an entry.

use std::sync::Arc;

use super::{Broker, Error};
use crate::ledger::Present;
use crate::model::{Event, Invalid, PolicyName, PolicyText, Position};
use crate::policy::{Action, Caller, Engine, Problem, Resource};

/// The version in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PolicyInForce {
    /// Where it was recorded.
    pub position: Position,
    /// Its hash.
    pub hash: [u8; 32],
    /// Whether it was in force before.
    pub unchanged: bool,
}

/// Every problem as one refusable field.
fn invalid(problems: &[Problem]) -> Invalid {
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    Invalid::new("policy", problems.join("; "))
}

/// Records the text unless it is in force.
pub(super) fn plan(present: &Present<'_>, text: &PolicyText) -> (Vec<Event>, Option<Position>) {
    match present.facts.policy() {
        Some((position, known)) if known.hash == text.hash => (Vec::new(), Some(position)),
        _ => (vec![Event::PolicyChanged(text.clone())], None),
    }
}

impl Broker {
    /// Validates a policy text: its compiled form, or what is wrong with it. Changes nothing.
    ///
    /// # Errors
    /// `Denied` by policy.
    pub(crate) async fn check_policy(
        &self,
        caller: &Caller,
        files: Vec<(PolicyName, String)>,
    ) -> Result<Result<Engine, Vec<Problem>>, Error> {
        self.authorise(caller, Action::CheckPolicy, |_, _| Ok(Resource::System)).await?;
        Ok(Engine::compile(files))
    }

    /// Makes a valid policy text the one in force.
    ///
    /// # Errors
    /// `Invalid` with every problem, the policy in force unchanged; `Denied` by policy.
    pub(crate) async fn apply_policy(&self, caller: &Caller, files: Vec<(PolicyName, String)>) -> Result<PolicyInForce, Error> {
        self.authorise(caller, Action::ApplyPolicy, |_, _| Ok(Resource::System)).await?;
        let engine = Engine::compile(files).map_err(|problems| invalid(&problems))?;
        let text = engine.text().clone();
        let hash = text.hash;
        let (committed, known) = self.change(Some(&caller.spiffe_id), move |present| Ok(plan(present, &text))).await?;
        if known.is_none() {
            self.engine.store(Arc::new(engine));
        }
        Ok(PolicyInForce { position: known.unwrap_or(committed.last), hash, unchanged: known.is_some() })
    }
}
