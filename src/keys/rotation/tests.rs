//! The plan, driven over years: what holds at every instant, whatever is forced and whenever it is looked at.

use proptest::prelude::*;

use super::*;
use crate::model::{CUT_OF_KEY_ENDS, Closing, CutMade, Entry, Event, Facts, PublicKey, Reason};

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// A broker's keys, its clock, and what it has signed.
struct World {
    facts: Facts,
    held: BTreeSet<Position>,
    rotation: Rotation,
    now: Timestamp,
    position: Position,
    /// Key, and when the credential signed by it expires.
    signed: Vec<(Position, Timestamp)>,
    /// Keys that began to sign because somebody would not wait.
    forced: BTreeSet<Position>,
}

impl World {
    fn new(every: Duration, announce: Duration) -> Self {
        let schedules = KeyPurpose::ALL.iter().map(|purpose| (*purpose, Schedule { every: Some(every), announce }));
        let rotation = Rotation::new(schedules.collect(), Duration::from_secs(30));
        let mut world = Self {
            facts: Facts::default(),
            held: BTreeSet::new(),
            rotation,
            now: START,
            position: Position::ZERO,
            signed: Vec::new(),
            forced: BTreeSet::new(),
        };
        world.tend();
        world
    }

    fn push(&mut self, event: Event) -> Position {
        self.position = self.position.next();
        self.facts.apply(&Entry { position: self.position, time: self.now, actor: None, request_id: None, event });
        self.position
    }

    fn make(&mut self, purpose: KeyPurpose, signs_from: Option<Timestamp>) -> Position {
        let kid = format!("{purpose}-{}", self.position);
        let number = self.push(Event::KeyActivated(PublicKey { purpose, kid, material: vec![1], not_after: None, signs_from }));
        self.held.insert(number);
        number
    }

    fn retire(&mut self, number: Position) {
        let purpose = self.facts.signing_keys().get(number).expect("known").record.purpose;
        let latest = self.signed.iter().map(|(_, expires)| *expires).max().unwrap_or_default();
        let ends = self.rotation.ends(purpose, latest, self.now);
        self.push(Event::KeyRetired { number, ends });
    }

    /// Does what is planned until nothing is, and gives when to come again.
    fn tend(&mut self) -> Option<Timestamp> {
        for _round in 0..10 {
            let plan = self.rotation.plan(self.facts.signing_keys(), &self.held, self.now);
            if plan.steps.is_empty() {
                return plan.again;
            }
            for step in plan.steps {
                match step {
                    Step::Make { purpose, signs_from } => drop(self.make(purpose, signs_from)),
                    Step::Retire { number } => self.retire(number),
                    Step::Discard { number } => assert!(self.held.remove(&number)),
                }
            }
        }
        panic!("the plan never ends: {:?}", self.facts.signing_keys());
    }

    fn signing(&self, purpose: KeyPurpose) -> &KnownKey {
        self.facts.signing_keys().signing(purpose).expect("one signs")
    }

    /// What holds at every instant.
    fn check(&self) {
        let keys = self.facts.signing_keys();
        for purpose in KeyPurpose::ALL {
            let signing = self.signing(*purpose);
            assert!(self.held.contains(&signing.number), "the private half of what signs is held");
            assert!(keys.waiting(*purpose).count() <= 2, "one signs, and at most one waits");
            let first = keys.iter().find(|key| key.record.purpose == *purpose).expect("one at least");
            let published = self.now.since(signing.known_since) >= self.rotation.schedule(*purpose).announce;
            assert!(published || signing.number == first.number || self.forced.contains(&signing.number), "published ahead: {signing:?}");
        }
        for (number, expires) in &self.signed {
            let key = keys.get(*number).expect("known");
            let ends = key.ends().unwrap_or(*expires);
            assert!(key.cut.is_some() || ends >= *expires, "believed until {ends}, and what it signed is good until {expires}");
        }
        for key in keys.iter().filter(|key| !key.lives() && self.held.contains(&key.number)) {
            assert!(key.record.purpose == KeyPurpose::Issuer && key.cut.is_none() && !key.has_ended(self.now), "not needed: {key:?}");
        }
        for issuer in keys.iter().filter(|key| key.record.purpose == KeyPurpose::Issuer && key.cut.is_none()) {
            let alive = self.signed.iter().any(|(number, expires)| *number == issuer.number && *expires >= self.now);
            assert!(!alive || self.held.contains(&issuer.number), "signs the revocations of what is alive");
        }
    }
}

#[derive(Clone, Debug)]
enum Deed {
    /// Time goes on, and the loop wakes when it said.
    Pass(u64),
    /// The process was not there: time goes on unattended.
    Sleep(u64),
    IssueToken(u64),
    IssueCertificate(u64),
    Rotate(KeyPurpose),
    RotateNow(KeyPurpose),
    Revoke(KeyPurpose),
}

fn deed() -> impl Strategy<Value = Deed> {
    let purpose = || prop::sample::select(KeyPurpose::ALL);
    prop_oneof![
        4 => (1..200u64).prop_map(Deed::Pass),
        1 => (1..2000u64).prop_map(Deed::Sleep),
        4 => (1..900u64).prop_map(Deed::IssueToken),
        4 => (1..86_400u64).prop_map(Deed::IssueCertificate),
        1 => purpose().prop_map(Deed::Rotate),
        1 => purpose().prop_map(Deed::RotateNow),
        1 => purpose().prop_map(Deed::Revoke),
    ]
}

impl World {
    fn issue(&mut self, purpose: KeyPurpose, seconds: u64) {
        let number = self.signing(purpose).number;
        self.signed.push((number, self.now.plus(Duration::from_secs(seconds))));
    }

    fn after(&self, purpose: KeyPurpose) -> Option<Position> {
        self.facts.signing_keys().waiting(purpose).nth(1).map(|key| key.number)
    }

    fn next(&mut self, purpose: KeyPurpose, signs_from: Option<Timestamp>) -> Position {
        self.after(purpose).unwrap_or_else(|| self.make(purpose, signs_from))
    }

    fn does(&mut self, deed: &Deed) {
        match *deed {
            Deed::Pass(hours) => {
                let until = self.now.plus(HOUR * u32::try_from(hours).expect("few"));
                while let Some(next) = self.tend().filter(|next| *next <= until) {
                    assert!(next > self.now, "what was to be done is done");
                    self.now = next;
                    self.tend();
                    self.check();
                }
                self.now = until;
            }
            Deed::Sleep(hours) => self.now = self.now.plus(HOUR * u32::try_from(hours).expect("few")),
            Deed::IssueToken(seconds) => self.issue(KeyPurpose::Token, seconds),
            Deed::IssueCertificate(seconds) => self.issue(KeyPurpose::Issuer, seconds),
            Deed::Rotate(purpose) => {
                let signs_from = Some(self.rotation.announced(purpose, self.now));
                self.next(purpose, signs_from);
            }
            Deed::RotateNow(purpose) => {
                let next = self.next(purpose, None);
                self.forced.insert(next);
                let number = self.signing(purpose).number;
                self.retire(number);
            }
            Deed::Revoke(purpose) => {
                let next = self.next(purpose, None);
                self.forced.insert(next);
                let number = self.signing(purpose).number;
                let ends = Some(CUT_OF_KEY_ENDS);
                self.push(Event::Cut(CutMade {
                    number,
                    reason: Reason::KeyCompromise,
                    ends,
                    closing: Closing::Nothing,
                    note: None,
                    concerns: None,
                    source: None,
                }));
            }
        }
        self.tend();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn at_every_instant_one_key_signs_that_was_published_and_none_is_withdrawn_too_early(
        deeds in prop::collection::vec(deed(), 1..60), every in 48..2000u64, announce in 1..48u64,
    ) {
        let mut world = World::new(Duration::from_secs(every * 3600), Duration::from_secs(announce * 3600));
        world.check();
        for deed in &deeds {
            world.does(deed);
            world.check();
        }
    }
}

#[test]
fn a_key_is_announced_and_signs_when_that_time_has_come() {
    let mut world = World::new(HOUR * 100, HOUR * 10);
    let first = world.signing(KeyPurpose::Token).number;
    assert_eq!(world.tend(), Some(START.plus(HOUR * 90)));
    world.now = START.plus(HOUR * 90);
    assert_eq!(world.tend(), Some(START.plus(HOUR * 100)));
    assert_eq!(world.signing(KeyPurpose::Token).number, first, "it is published, and does not sign");
    let next = world.after(KeyPurpose::Token).expect("announced");
    world.now = START.plus(HOUR * 100);
    world.tend();
    assert_eq!(world.signing(KeyPurpose::Token).number, next);
    assert!(!world.held.contains(&first), "nothing is signed with it any more");
}

#[test]
fn an_issuer_is_held_until_its_last_certificate_has_expired() {
    let mut world = World::new(HOUR * 100, HOUR * 10);
    let first = world.signing(KeyPurpose::Issuer).number;
    world.now = START.plus(HOUR * 90);
    world.tend();
    world.now = START.plus(HOUR * 100);
    world.issue(KeyPurpose::Issuer, 86_400);
    let again = world.tend().expect("an end");
    assert!(world.held.contains(&first) && world.signing(KeyPurpose::Issuer).number != first);
    assert_eq!(again, world.now.plus(HOUR * 24).plus(CUT_GRACE).plus(Duration::from_millis(1)));
    world.now = again;
    world.tend();
    assert!(!world.held.contains(&first));
}

#[test]
fn a_key_that_ends_has_a_successor_before_that() {
    let ends = START.plus(HOUR * 50);
    let mut world = World::new(HOUR * 1000, HOUR * 10);
    let record =
        PublicKey { purpose: KeyPurpose::Issuer, kid: "short".to_owned(), material: vec![1], not_after: Some(ends), signs_from: None };
    let first = world.signing(KeyPurpose::Issuer).number;
    let short = world.push(Event::KeyActivated(record));
    world.held.insert(short);
    world.retire(first);
    world.now = START.plus(HOUR);
    assert_eq!(world.tend(), Some(ends.minus(HOUR * 34)), "a day and the announcement before its end");
    world.now = ends.minus(HOUR * 34);
    assert_eq!(world.tend(), Some(ends.minus(HOUR * 24)));
    world.now = ends.minus(HOUR * 24);
    world.tend();
    assert!(world.signing(KeyPurpose::Issuer).number > short);
}

#[test]
fn a_key_whose_file_was_taken_away_is_retired_where_another_is_there() {
    let mut world = World::new(HOUR * 1000, HOUR * 10);
    let first = world.signing(KeyPurpose::List).number;
    world.held.remove(&first);
    let other = world.make(KeyPurpose::List, None);
    world.tend();
    assert_eq!(world.signing(KeyPurpose::List).number, other);
    assert!(world.facts.signing_keys().get(first).is_some_and(|key| key.retired.is_some()));
}
