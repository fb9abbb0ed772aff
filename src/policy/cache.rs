//! What the policies said, remembered: asking Cedar costs ten times what everything else of a
//! decision costs.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;

use crate::model::{Audience, CredentialKind, PolicyName, Position, Scope};

/// What the policies said of a request to issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Allowed, on these terms.
    Allowed(Terms),
    /// Refused.
    Refused(Refusal),
}

/// Why the policies refuse it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// In words.
    pub(super) detail: String,
    /// The policies that forbid it, sorted; none, if merely nothing permits it.
    pub(super) forbids: Vec<PolicyName>,
    /// The terms of those that permit it at some of the downstreams asked about.
    pub(super) permits: Terms,
}

/// On what terms the policies allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// The policies that allow it, sorted.
    pub(super) policies: Vec<PolicyName>,
    /// The smallest of their ceilings.
    pub(super) max_ttl: Option<Duration>,
    /// Whether each of them allows a bearer token.
    pub(super) bearer: bool,
    /// The numbers of the downstreams that it concerns, ascending.
    pub(super) downstreams: Vec<Position>,
}

/// A record as a decision saw it: the same number with the same last change says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    pub(super) number: Position,
    pub(super) changed: Position,
}

/// Everything in a request that the policies can tell from another, but texts.
///
/// No time is among it: policies are not told the time, so that what they said keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Circumstances {
    pub(super) kind: CredentialKind,
    pub(super) bearer: bool,
    pub(super) outside: bool,
    pub(super) owner: Seen,
    pub(super) workload: Seen,
    pub(super) environment: Seen,
    /// The last change of any downstream.
    pub(super) downstreams_changed: Position,
    /// A task's record never changes under its number.
    pub(super) task: Option<Position>,
}

/// The shape of a request to issue: requests of one shape get one verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape<'a> {
    pub(super) circumstances: Circumstances,
    pub(super) audience: Option<&'a Audience>,
    pub(super) scopes: &'a [Scope],
}

/// The verdicts of one engine on one ledger, by the shape of the request. A change of a record
/// makes another shape; a change of the policies makes another engine. Errors are not remembered.
///
/// Each verdict is kept under the hash of its shape, beside the shape itself: what is found is
/// compared in full, without building a key. Bounded: when full, everything is forgotten.
#[derive(Debug)]
pub(super) struct DecisionCache {
    verdicts: DashMap<u64, Remembered>,
    capacity: usize,
}

#[derive(Debug)]
struct Remembered {
    circumstances: Circumstances,
    audience: Option<Audience>,
    scopes: Box<[Scope]>,
    verdict: Arc<Verdict>,
}

impl Remembered {
    fn shape(&self) -> Shape<'_> {
        Shape { circumstances: self.circumstances, audience: self.audience.as_ref(), scopes: &self.scopes }
    }
}

/// How many bytes the scopes of a shape may take to be remembered. A request for more is asked about each
/// time: remembered, such could take a hundred times the memory of others.
const LONGEST_SCOPES: usize = 512;

impl DecisionCache {
    /// Remembers at most `capacity` verdicts, of about 300 bytes each, and of 1,500 at most.
    pub(super) fn new(capacity: usize) -> Self {
        Self { verdicts: DashMap::new(), capacity }
    }

    /// What was said of this shape.
    pub(super) fn get(&self, shape: &Shape<'_>) -> Option<Arc<Verdict>> {
        let found = self.verdicts.get(&self.key(shape))?;
        (found.shape() == *shape).then(|| Arc::clone(&found.verdict))
    }

    /// Remembers what was said of this shape.
    pub(super) fn put(&self, shape: &Shape<'_>, verdict: &Arc<Verdict>) {
        let scopes: usize = shape.scopes.iter().map(|scope| size_of::<Scope>() + scope.as_str().len()).sum();
        if self.capacity > 0 && scopes <= LONGEST_SCOPES {
            if self.verdicts.len() >= self.capacity {
                self.verdicts.clear();
            }
            let Shape { circumstances, audience, scopes } = *shape;
            let remembered = Remembered { circumstances, audience: audience.cloned(), scopes: scopes.into(), verdict: Arc::clone(verdict) };
            self.verdicts.insert(self.key(shape), remembered);
        }
    }

    fn key(&self, shape: &Shape<'_>) -> u64 {
        self.verdicts.hasher().hash_one(shape)
    }
}
