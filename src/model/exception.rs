//! Exceptions: what no policy permits, allowed to one workload for a time, because somebody else approved it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::{Audience, CLOCK_STEP, Entry, Note, Position, Scope, SpiffeId, Timestamp};

/// How long an exception may hold at most.
pub const LONGEST_EXCEPTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What is asked for, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The number of the workload that it is for.
    pub workload: Position,
    /// The number of the environment.
    pub environment: Position,
    /// The audience of the tokens; absent if it is for certificates.
    pub audience: Option<Audience>,
    /// The scopes that an access token may have.
    pub scopes: Vec<Scope>,
    /// When it ends by itself.
    pub until: Timestamp,
    /// Why it is needed.
    pub purpose: Note,
    /// Who asked for it: everybody else may approve it, if policy lets them.
    pub requested_by: SpiffeId,
}

impl Exception {
    /// Whether it is for such a credential of its workload. The audience is absent for a certificate.
    pub fn covers(&self, environment: Position, audience: Option<&Audience>, scopes: &[Scope]) -> bool {
        self.environment == environment && self.audience.as_ref() == audience && scopes.iter().all(|scope| self.scopes.contains(scope))
    }
}

/// How an exception was approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The entry.
    pub at: Position,
    /// When.
    pub time: Timestamp,
    /// By whom.
    pub by: Option<SpiffeId>,
}

impl Approval {
    /// The approval that an entry is.
    pub(super) fn of(entry: &Entry) -> Self {
        Self { at: entry.position, time: entry.time, by: entry.actor.clone() }
    }
}

/// An exception as it is known now. One that has been over for an hour is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownException {
    /// Its number.
    pub number: Position,
    /// What was asked for.
    pub record: Arc<Exception>,
    /// When.
    pub requested: Timestamp,
    /// How it was approved.
    pub approved: Option<Approval>,
    /// The entry that ended it before its time.
    pub ended: Option<Position>,
}

impl KnownException {
    /// Whether something may be issued by it.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.approved.is_some() && !self.is_over(now)
    }

    /// Whether nothing will ever be issued by it again.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ended.is_some() || self.record.until <= now
    }
}

/// The exceptions, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions {
    by_number: BTreeMap<Position, KnownException>,
    by_workload: HashMap<Position, BTreeSet<Position>>,
}

impl Exceptions {
    /// When what was asked for until then is forgotten.
    pub fn forgotten(until: Timestamp) -> Timestamp {
        until.plus(CLOCK_STEP)
    }

    pub(super) fn request(&mut self, number: Position, exception: &Exception, requested: Timestamp) {
        self.by_workload.entry(exception.workload).or_default().insert(number);
        let record = Arc::new(exception.clone());
        self.by_number.insert(number, KnownException { number, record, requested, approved: None, ended: None });
    }

    pub(super) fn approve(&mut self, number: Position, approval: Approval) {
        if let Some(known) = self.by_number.get_mut(&number) {
            known.approved = Some(approval);
        }
    }

    pub(super) fn end(&mut self, number: Position, at: Position) {
        if let Some(known) = self.by_number.get_mut(&number) {
            known.ended = Some(at);
        }
    }

    pub(super) fn expire(&mut self, now: Timestamp) {
        let by_workload = &mut self.by_workload;
        self.by_number.retain(|number, known| {
            let kept = Self::forgotten(known.record.until) > now;
            if !kept && let Some(numbers) = by_workload.get_mut(&known.record.workload) {
                numbers.remove(number);
                if numbers.is_empty() {
                    by_workload.remove(&known.record.workload);
                }
            }
            kept
        });
    }

    /// One of them.
    pub fn get(&self, number: Position) -> Option<&KnownException> {
        self.by_number.get(&number)
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &KnownException> {
        self.by_number.values()
    }

    /// Those of a workload, by number.
    pub fn of(&self, workload: Position) -> impl Iterator<Item = &KnownException> {
        self.by_workload.get(&workload).into_iter().flatten().filter_map(|number| self.by_number.get(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exception(until: u64) -> Exception {
        Exception {
            workload: Position::new(4),
            environment: Position::new(3),
            audience: "https://api.example".parse().ok(),
            scopes: vec!["read".parse().expect("a scope"), "write".parse().expect("a scope")],
            until: Timestamp::from_seconds(until),
            purpose: "the migration".parse().expect("a note"),
            requested_by: "spiffe://example.org/people/pat".parse().expect("an ID"),
        }
    }

    #[test]
    fn it_covers_its_environment_and_audience_and_no_further_scope() {
        let exception = exception(10);
        let audience: Option<Audience> = "https://api.example".parse().ok();
        let scopes = |names: &[&str]| names.iter().map(|name| name.parse().expect("a scope")).collect::<Vec<Scope>>();
        let covers = |environment: u64, audience: Option<&Audience>, names: &[&str]| {
            exception.covers(Position::new(environment), audience, &scopes(names))
        };
        assert!(covers(3, audience.as_ref(), &["write"]) && covers(3, audience.as_ref(), &[]));
        assert!(!covers(4, audience.as_ref(), &[]) && !covers(3, None, &[]) && !covers(3, audience.as_ref(), &["read", "admin"]));
        assert!(!covers(3, "https://API.example".parse().ok().as_ref(), &[]));
    }

    #[test]
    fn it_holds_from_its_approval_until_its_end_and_is_forgotten_an_hour_later() {
        let mut exceptions = Exceptions::default();
        let (number, now) = (Position::new(20), Timestamp::from_seconds(1));
        let in_force = |exceptions: &Exceptions, now: u64| {
            exceptions.of(Position::new(4)).any(|known| known.is_in_force(Timestamp::from_seconds(now)))
        };
        exceptions.request(number, &exception(10), now);
        assert!(!in_force(&exceptions, 1), "nobody has approved it");
        exceptions.approve(number, Approval { at: Position::new(21), time: now, by: None });
        assert!(in_force(&exceptions, 9) && !in_force(&exceptions, 10), "not at the instant of its end");
        let mut ended = exceptions.clone();
        ended.end(number, Position::new(22));
        assert!(!in_force(&ended, 1));
        exceptions.expire(Timestamp::from_seconds(10 + 3600 - 1));
        assert!(exceptions.get(number).is_some());
        exceptions.expire(Timestamp::from_seconds(10 + 3600));
        assert_eq!(exceptions, Exceptions::default());
    }
}
