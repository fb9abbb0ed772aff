//! The policies in force: compiled, and asked about every call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::cache::DecisionCache;
use super::cedar::{Answer, Cedar, Issuing, Question, Rule};
use super::decide::open;
use super::text::{Problem, assemble};
use super::{Action, Resource, Role};
use crate::model::{Denial, DenialCode, Facts, PolicyName, PolicyText};

/// How many verdicts are remembered: some 5 MiB, and 25 at most.
const REMEMBERED: usize = 16_384;

/// A valid policy text, ready to decide by. A change of policy makes another engine.
///
/// An engine remembers what its policies said, so it serves the facts of one ledger only.
pub(crate) struct Engine {
    pub(super) cedar: Cedar,
    text: PolicyText,
    errors: AtomicU64,
    pub(super) cache: DecisionCache,
}

impl Engine {
    /// Compiles a text and validates it against the schema.
    ///
    /// # Errors
    /// Everything that is wrong with it, by file and line.
    pub(crate) fn compile(files: Vec<(PolicyName, String)>) -> Result<Self, Vec<Problem>> {
        let text = assemble(files).map_err(|problem| vec![problem])?;
        let cedar = Cedar::compile(&text)?;
        Ok(Self { cedar, text, errors: AtomicU64::new(0), cache: DecisionCache::new(REMEMBERED) })
    }

    /// The text, with its hash.
    pub(crate) const fn text(&self) -> &PolicyText {
        &self.text
    }

    /// The names of the policies, sorted.
    pub(crate) fn names(&self) -> Vec<PolicyName> {
        let mut names: Vec<PolicyName> = self.cedar.rules().map(|rule| rule.name.clone()).collect();
        names.sort();
        names
    }

    /// The longest life of what each of its policies allows, if it sets one.
    pub(crate) fn ceilings(&self) -> BTreeMap<PolicyName, Option<Duration>> {
        self.cedar.rules().map(|rule| (rule.name.clone(), rule.annotations.max_ttl)).collect()
    }

    /// How many questions could not be answered because a policy failed; each was refused.
    pub(crate) fn evaluation_errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Whether this caller may do this. For every call but issuing, which is [`Engine::decide`]d.
    ///
    /// # Errors
    /// Why not. A caller whose own certificate is dead is refused by [`admit`](super::admit) before.
    pub(crate) fn authorise(&self, role: &Role, action: Action, resource: &Resource, facts: &Facts) -> Result<(), Denial> {
        Self::fit(role, action, facts)?;
        match self.ask(role, action, resource, None, facts)? {
            Answer::Allowed(_) => Ok(()),
            Answer::Refused(by) => Err(Denial::new(DenialCode::PolicyDenied, refusal(action, &by))),
        }
    }

    /// Whether this caller may ask for this at all, before any policy.
    pub(super) fn fit(role: &Role, action: Action, facts: &Facts) -> Result<(), Denial> {
        match role {
            Role::Unknown => Err(Denial::new(DenialCode::IdentityUnknown, "this identity is in no record")),
            Role::Workload(number) if action.needs_standing() => open(*number, facts),
            Role::Workload(_) | Role::Administrator(_) | Role::Verifier(_) | Role::Source(_) => Ok(()),
        }
    }

    /// Puts a question to the policies, not remembering the answer.
    pub(super) fn ask(
        &self,
        role: &Role,
        action: Action,
        resource: &Resource,
        issuing: Option<Issuing<'_>>,
        facts: &Facts,
    ) -> Result<Answer<'_>, Denial> {
        self.cedar.ask(&Question { role, action, resource, issuing }, facts).map_err(|error| {
            self.errors.fetch_add(1, Ordering::Relaxed);
            Denial::new(DenialCode::PolicyError, format!("{action} could not be decided: {error}"))
        })
    }
}

/// Who refuses an action, in words.
pub(super) fn refusal(action: Action, by: &[&Rule]) -> String {
    let mut names: Vec<String> = by.iter().map(|rule| format!("`{}`", rule.name)).collect();
    names.sort();
    if names.is_empty() {
        format!("no policy permits {action} here")
    } else {
        format!("{action} is forbidden here by {}", names.join(", "))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("policies", &self.names()).field("errors", &self.errors).finish_non_exhaustive()
    }
}
