//! What a document changes, what dies by it, and that nothing else does.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::directory::Names;
use crate::directory::generators::document;
use crate::model::{
    Bound, CLOCK_STEP, CUT_GRACE, Closing, CredentialKind, CutMade, Entry, Facts, Issued, Living, Reason, SpiffeId, Subjects,
};

/// A ledger in memory, and every credential that it ever recorded.
#[derive(Default)]
struct World {
    facts: Facts,
    living: Living,
    head: Position,
    latest_expiry: Timestamp,
    now: Timestamp,
    issued: Vec<(Position, Issued)>,
}

impl World {
    fn at(document: &Document) -> Self {
        let mut world = Self { now: Timestamp::from_seconds(1), ..Self::default() };
        world.apply(document);
        world
    }

    fn plan(&self, document: &Document) -> Difference {
        let Self { facts, living, head, latest_expiry, now, .. } = self;
        let present = Present { facts, living, head: *head, latest_expiry: *latest_expiry, now: *now };
        plan(&Snapshot::from(document.clone()), &Scope::administrators(), &present)
    }

    /// What a scope says, applied.
    fn hear(&mut self, scope: &Scope, snapshot: &Snapshot) -> Difference {
        let Self { facts, living, head, latest_expiry, now, .. } = &*self;
        let present = Present { facts, living, head: *head, latest_expiry: *latest_expiry, now: *now };
        let difference = plan(snapshot, scope, &present);
        difference.events.iter().cloned().for_each(|event| self.append(event));
        difference
    }

    fn apply(&mut self, document: &Document) -> Difference {
        let difference = self.plan(document);
        difference.events.iter().cloned().for_each(|event| self.append(event));
        difference
    }

    fn append(&mut self, event: Event) {
        if let Event::Cut(cut) = &event {
            let workload =
                self.facts.workload_numbered(cut.number).map(|known| Whose::Workload { owner: known.record.owner, workload: cut.number });
            let environment = self.facts.environment_numbered(cut.number).map(|_| Whose::Environment(cut.number));
            let downstream = self.facts.downstream_numbered(cut.number).map(|_| Whose::Bearing(cut.number));
            self.living.cut(workload.or(environment).or(downstream).unwrap_or(Whose::Owner(cut.number)));
        }
        self.head = self.head.next();
        self.facts.apply(&Entry { position: self.head, time: self.now, actor: None, request_id: None, event });
    }

    /// Issues what the registry allows: a life within `valid_until` and `contract_end`.
    fn issue(&mut self, workload: &str, environment: &str, life: u64) {
        let id: SpiffeId = workload.parse().expect("an identity");
        let known = self.facts.workload(&id).expect("registered");
        let owner = self.facts.owner_numbered(known.record.owner).expect("an owner");
        let environment = self.facts.environment(&environment.parse().expect("a name")).expect("registered");
        assert!(known.is_registered() && owner.is_registered() && known.record.environments.contains(&environment.number));
        let ends = [known.record.valid_until, owner.record.contract_end];
        let wanted = self.now.plus(Duration::from_secs(life));
        let expires_at = ends.into_iter().flatten().fold(wanted, Timestamp::min);
        if expires_at <= self.now {
            return;
        }
        let subjects = Subjects { owner: owner.number, workload: known.number, environment: environment.number, task: None, lineage: None };
        self.record(issued(subjects, expires_at));
    }

    /// The same as a token for every downstream that declares the audience.
    fn issue_token(&mut self, workload: &str, environment: &str, audience: &str) {
        self.issue(workload, environment, 1000);
        let (_, certificate) = self.issued.pop().expect("issued");
        let audience = audience.parse().expect("an audience");
        let concerned = self.facts.accepting_tokens(certificate.subjects.environment, &audience);
        let downstreams = concerned.map(|known| known.number).collect();
        self.record(Issued { kind: CredentialKind::AccessToken, audience: Some(audience), downstreams, ..certificate });
    }

    fn record(&mut self, issued: Issued) {
        let expires_at = issued.expires_at;
        self.head = self.head.next();
        self.living.add(&issued);
        self.latest_expiry = self.latest_expiry.max(expires_at);
        self.issued.push((self.head, issued));
    }

    fn is_cut(&self, (position, issued): &(Position, Issued)) -> bool {
        self.facts.cuts().killer(*position, issued.numbers(*position)).is_some()
    }

    /// Whether the registry as it is now would let this have been issued.
    fn is_allowed(&self, (_, issued): &(Position, Issued)) -> bool {
        let Subjects { owner, workload, environment, .. } = issued.subjects;
        let owner = self.facts.owner_numbered(owner).filter(|known| known.is_registered());
        let workload = self.facts.workload_numbered(workload).filter(|known| known.is_registered());
        let environment = self.facts.environment_numbered(environment).filter(|known| known.is_registered());
        let (Some(owner), Some(workload), Some(environment)) = (owner, workload, environment) else { return false };
        let within = |end: Option<Timestamp>| end.is_none_or(|end| issued.expires_at <= end);
        workload.record.owner == owner.number
            && workload.record.environments.contains(&environment.number)
            && within(workload.record.valid_until)
            && within(owner.record.contract_end)
    }

    /// Every name with its number.
    fn numbers(&self) -> HashMap<String, Position> {
        let owners = self.facts.owners().map(|known| (format!("owner {}", known.record.id), known.number));
        let environments = self.facts.environments().map(|known| (format!("environment {}", known.record.name), known.number));
        let workloads = self.facts.workloads().map(|known| (known.record.spiffe_id.to_string(), known.number));
        owners.chain(environments).chain(workloads).collect()
    }
}

fn issued(subjects: Subjects, expires_at: Timestamp) -> Issued {
    Issued {
        kind: CredentialKind::Certificate,
        subjects,
        parent: None,
        nonce: [0; 8],
        issued_at: Timestamp::EPOCH,
        expires_at,
        bound_by: Bound::Default,
        audience: None,
        scopes: Vec::new(),
        confirmation: None,
        key: Position::new(2),
        downstreams: Vec::new(),
        policies: Vec::new(),
        policy_hash: [0; 32],
        purpose: None,
        exception: None,
    }
}

/// A step in the life of a registry: a document, then issuances, then time that passes.
#[derive(Clone, Debug)]
struct Step {
    document: Document,
    issue: Vec<(prop::sample::Index, prop::sample::Index, u64)>,
    pass: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let issue = vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..1_500u64), 0..8);
    let step = (document(), issue, 0..400u64).prop_map(|(document, issue, pass)| Step { document, issue, pass });
    vec(step, 1..6)
}

impl World {
    fn live_through(&mut self, step: &Step) {
        for (workload, environment, life) in &step.issue {
            if step.document.workloads.is_empty() {
                continue;
            }
            let workload = workload.get(&step.document.workloads);
            let environment = environment.get(&workload.environments.iter().collect::<Vec<_>>()).to_string();
            self.issue(workload.spiffe_id.as_str(), &environment, *life);
        }
        self.now = self.now.plus(Duration::from_secs(step.pass));
        self.facts.expire(self.now);
        self.living.expire(self.now);
    }
}

proptest! {
    #[test]
    fn applying_makes_the_records_equal_to_the_document_from_whatever_there_was(steps in steps()) {
        let mut world = World::default();
        for step in &steps {
            world.apply(&step.document);
            prop_assert_eq!(&Document::of(&world.facts), &step.document);
            prop_assert_eq!(world.plan(&Document::of(&world.facts)), Difference::default());
            world.live_through(step);
            prop_assert_eq!(world.plan(&step.document), Difference::default(), "issuing and time change no record");
        }
    }

    /// With the clock of a verifier behind by what is granted.
    #[test]
    fn nothing_lives_on_that_the_registry_would_no_longer_allow(steps in steps()) {
        let mut world = World::default();
        for step in &steps {
            world.apply(&step.document);
            for credential in &world.issued {
                let expired = credential.1.expires_at.plus(CUT_GRACE) <= world.now;
                prop_assert!(expired || world.is_cut(credential) || world.is_allowed(credential), "{credential:?}");
            }
            world.live_through(step);
            for credential in &world.issued {
                let expired = credential.1.expires_at.plus(CUT_GRACE) <= world.now;
                prop_assert!(expired || world.is_cut(credential) || world.is_allowed(credential), "{credential:?} came back");
            }
        }
    }

    #[test]
    fn a_name_keeps_its_number_and_no_number_has_two_names(steps in steps()) {
        let mut world = World::default();
        let mut known: HashMap<String, Position> = HashMap::new();
        for step in &steps {
            world.apply(&step.document);
            let numbers = world.numbers();
            prop_assert!(known.iter().all(|(name, number)| numbers.get(name) == Some(number)));
            prop_assert_eq!(numbers.values().collect::<HashSet<_>>().len(), numbers.len());
            known = numbers;
        }
    }

    #[test]
    fn the_order_of_a_document_does_not_matter(before in document(), mut after in document()) {
        let world = World::at(&before);
        let sorted = world.plan(&after);
        after.owners.reverse();
        after.environments.reverse();
        after.workloads.reverse();
        after.downstreams.reverse();
        prop_assert_eq!(world.plan(&after), sorted);
    }

    #[test]
    fn what_is_counted_as_ended_is_what_the_document_no_longer_names(before in document(), after in document()) {
        let names = |document: &Document| -> HashSet<String> {
            let owners = document.owners.iter().map(|owner| format!("owner {}", owner.id));
            let environments = document.environments.iter().map(|environment| format!("environment {}", environment.name));
            let workloads = document.workloads.iter().map(|workload| format!("workload {}", workload.spiffe_id));
            let downstreams = document.downstreams.iter().map(|downstream| format!("downstream {}", downstream.name));
            owners.chain(environments).chain(workloads).chain(downstreams).collect()
        };
        let difference = World::at(&before).plan(&after);
        let ended: HashSet<String> = difference
            .changes
            .iter()
            .filter(|change| change.action == Action::End)
            .map(|change| format!("{} {}", change.subject, change.name))
            .collect();
        prop_assert_eq!(&ended, &names(&before).difference(&names(&after)).cloned().collect());
        prop_assert_eq!(difference.ends, ended.len());
    }

    #[test]
    fn every_change_says_something_and_every_death_is_counted(steps in steps()) {
        let mut world = World::default();
        for step in &steps {
            let dead = |world: &World| world.issued.iter().filter(|one| world.is_cut(one)).map(|(at, _)| *at).collect::<HashSet<_>>();
            let before = dead(&world);
            let difference = world.apply(&step.document);
            prop_assert!(difference.changes.iter().all(|change| change.subject == Subject::Environment || !change.detail.is_empty()));
            let counted: u64 = difference.changes.iter().map(|change| change.living).sum();
            let alive = |at: &Position| world.issued.iter().any(|(position, one)| position == at && one.expires_at > world.now);
            let died = dead(&world).difference(&before).filter(|at| alive(at)).count();
            prop_assert!(counted >= u64::try_from(died).expect("few"), "{died} died, {counted} were counted");
            world.live_through(step);
        }
    }
}

const API: &str = "spiffe://example.org/payments/api";

/// Owners `a` and `b`, environments `production` and `staging`, one workload of `a` in both.
fn base() -> Document {
    let owner = |id: &str| Owner {
        id: id.parse().expect("an id"),
        kind: crate::model::OwnerKind::Team,
        business_owner: "boss@example.org".parse().expect("a contact"),
        technical_owner: "oncall@example.org".parse().expect("a contact"),
        contract_end: None,
    };
    let environments = ["production", "staging"].map(|name| name.parse::<EnvironmentName>().expect("a name"));
    Document {
        owners: vec![owner("a"), owner("b")],
        workloads: vec![WorkloadSpec {
            spiffe_id: API.parse().expect("an identity"),
            owner: "a".parse().expect("an id"),
            purpose: "Takes payments".parse().expect("a purpose"),
            environments: environments.clone().into(),
            valid_until: None,
            business_owner: None,
            technical_owner: None,
        }],
        downstreams: Vec::new(),
        environments: environments.map(|name| Environment { name }).into(),
    }
}

/// A world at `base` with one credential in each environment, that lives 1000 seconds from 1 on.
fn issued_world() -> World {
    let mut world = World::at(&base());
    world.issue(API, "production", 1000);
    world.issue(API, "staging", 1000);
    world
}

/// What is told, and the names of the events, after `change` is made to `base`.
#[track_caller]
fn check(change: impl FnOnce(&mut Document), told: &[&str], events: &[&str], dead: [bool; 2]) -> World {
    let mut document = base();
    change(&mut document);
    assert_eq!(document.check(&Names::default()), Ok(()));
    let mut world = issued_world();
    let difference = world.apply(&document);
    let line = |change: &Change| format!("{} {} {}: {} ({})", change.action, change.subject, change.name, change.detail, change.living);
    assert_eq!(difference.changes.iter().map(line).collect::<Vec<_>>(), told);
    let event = |event: &Event| {
        let Event::Cut(cut) = event else { return event.name().to_owned() };
        format!("cut {} {} {}", cut.closing, cut.reason, cut.ends.map(Timestamp::seconds).unwrap_or_default())
    };
    assert_eq!(difference.events.iter().map(event).collect::<Vec<_>>(), events);
    assert_eq!([world.is_cut(&world.issued[0]), world.is_cut(&world.issued[1])], dead);
    world
}

#[test]
fn a_first_document_is_recorded_in_an_order_in_which_every_reference_stands_before() {
    let world = World { now: Timestamp::from_seconds(1), head: Position::new(7), ..World::default() };
    let difference = world.plan(&base());
    let names: Vec<_> = difference.events.iter().map(Event::name).collect();
    assert_eq!(names, ["environment_recorded", "environment_recorded", "owner_recorded", "owner_recorded", "workload_recorded"]);
    let Some(Event::WorkloadRecorded(recording)) = difference.events.last() else { panic!("the workload comes last") };
    assert_eq!((recording.number, recording.record.owner), (None, Position::new(10)));
    assert_eq!(recording.record.environments, [Position::new(8), Position::new(9)]);
}

#[test]
fn a_workload_that_moves_leaves_everything_behind_and_the_cut_falls_on_it_as_it_was() {
    let b = |document: &mut Document| document.workloads[0].owner = "b".parse().expect("an id");
    let told = format!("move workload {API}: owner: a -> b (2)");
    let mut world = check(b, &[&told], &["cut move-owner affiliation-changed 1121", "workload_recorded"], [true, true]);
    world.issue(API, "production", 10);
    assert!(!world.is_cut(&world.issued[2]), "issuing goes on");
}

#[test]
fn a_lost_environment_takes_everything_of_the_workload() {
    let only = |document: &mut Document| document.workloads[0].environments = ["staging".parse().expect("a name")].into();
    let told = format!("change workload {API}: environments: production staging -> staging (2)");
    check(only, &[&told], &["cut nothing privilege-withdrawn 1121", "workload_recorded"], [true, true]);
}

#[test]
fn an_environment_that_ends_takes_its_own_and_nothing_else() {
    let gone = |document: &mut Document| {
        document.environments.remove(0);
        document.workloads[0].environments = ["staging".parse().expect("a name")].into();
    };
    let change = format!("change workload {API}: environments: production staging -> staging (0)");
    let end = "end environment production: no longer named by the registry (1)";
    check(gone, &[&change, end], &["workload_recorded", "cut unregister cessation-of-operation 1121"], [true, false]);
}

#[test]
fn an_end_that_comes_earlier_cuts_only_what_could_outlive_it() {
    let at = |seconds| Some(Timestamp::from_seconds(seconds));
    let told = format!("change workload {API}: valid_until: none -> 1970-01-01T00:16:39Z (2)");
    let events = ["cut nothing privilege-withdrawn 1121", "workload_recorded"];
    check(|document| document.workloads[0].valid_until = at(999), &[&told], &events, [true, true]);
    let told = format!("change workload {API}: valid_until: none -> 1970-01-01T00:16:41Z (0)");
    check(|document| document.workloads[0].valid_until = at(1001), &[&told], &["workload_recorded"], [false, false]);
    let told = "change owner a: contract_end: none -> 1970-01-01T00:16:39Z (2)";
    let events = ["cut nothing privilege-withdrawn 1121", "owner_recorded"];
    check(|document| document.owners[0].contract_end = at(999), &[told], &events, [true, true]);
    let told = "change owner a: contract_end: none -> 1970-01-01T00:16:41Z (0)";
    check(|document| document.owners[0].contract_end = at(1001), &[told], &["owner_recorded"], [false, false]);
}

#[test]
fn what_reads_differently_without_taking_anything_away_kills_nothing() {
    let told = format!("change workload {API}: purpose: Takes payments -> Other (0)");
    check(|document| document.workloads[0].purpose = "Other".parse().expect("a purpose"), &[&told], &["workload_recorded"], [false, false]);
    let told = "change owner a: technical_owner: oncall@example.org -> new@example.org (0)";
    check(
        |document| document.owners[0].technical_owner = "new@example.org".parse().expect("a contact"),
        &[told],
        &["owner_recorded"],
        [false, false],
    );
}

#[test]
fn an_owner_that_ends_takes_its_workloads_and_what_is_named_again_stays_dead() {
    let gone = |document: &mut Document| {
        document.workloads.clear();
        document.owners.remove(0);
    };
    let workload = format!("end workload {API}: no longer named by the registry (2)");
    let owner = "end owner a: no longer named by the registry (2)";
    let cut = "cut unregister cessation-of-operation 1121";
    let mut world = check(gone, &[&workload, owner], &[cut, cut], [true, true]);
    let again = world.apply(&base());
    assert_eq!(again.ends, 0);
    assert!(again.changes.iter().all(|change| change.action == Action::Add && change.detail.starts_with("named again; ")), "{again:?}");
    assert!(world.is_cut(&world.issued[0]) && world.is_cut(&world.issued[1]));
    world.issue(API, "production", 10);
    assert!(!world.is_cut(&world.issued[2]));
}

#[test]
fn naming_again_does_not_lift_a_revocation() {
    let mut world = issued_world();
    let number = world.facts.owner(&"a".parse().expect("an id")).expect("known").number;
    let (reason, closing) = (Reason::KeyCompromise, Closing::Offboard);
    world.append(Event::Cut(CutMade { number, reason, ends: None, closing, note: None, concerns: None, source: None }));
    assert_eq!(world.plan(&base()), Difference::default(), "a revocation is no difference of the registry");
    let mut without = base();
    without.workloads.clear();
    without.owners.remove(0);
    world.apply(&without);
    let again = world.apply(&base());
    assert!(again.changes[0].detail.starts_with("named again, and still closed by a revocation; "), "{again:?}");
    let known = world.facts.owner(&"a".parse().expect("an id")).expect("known");
    assert!(known.is_registered() && !known.is_open());
}

#[test]
fn a_downstream_that_ends_takes_the_tokens_for_it_and_named_again_is_a_new_one() {
    let named = |name: &str, audiences: &[&str]| DownstreamSpec {
        name: name.parse().expect("a name"),
        accepts_tokens: true,
        accepts_certificates: true,
        audiences: audiences.iter().map(|audience| audience.parse().expect("an audience")).collect(),
        environments: ["production".parse().expect("a name")].into(),
        verifier_kind: crate::model::VerifierKind::None,
        verifier: None,
        business_owner: None,
        technical_owner: None,
    };
    let mut with = base();
    with.downstreams = vec![named("api", &["own", "shared"]), named("billing", &["bills", "shared"])];
    let mut world = World::at(&with);
    world.issue(API, "production", 1000);
    ["own", "shared", "bills"].iter().for_each(|audience| world.issue_token(API, "production", audience));
    let number = world.facts.downstream(&"api".parse().expect("a name")).expect("named").number;
    let mut without = with.clone();
    without.downstreams.remove(0);
    let end = world.apply(&without);
    let [change] = &end.changes[..] else { panic!("{end:?}") };
    assert_eq!((change.action, change.subject, change.living, end.ends), (Action::End, Subject::Downstream, 2, 1));
    let [Event::Cut(cut), removed] = &end.events[..] else { panic!("{end:?}") };
    assert_eq!((cut.number, cut.closing, removed), (number, Closing::Nothing, &Event::DownstreamRemoved { number }));
    let concerned: Vec<_> =
        cut.concerns.iter().flat_map(|concerns| concerns.downstreams()).map(|one| (one.downstream, one.living)).collect();
    assert_eq!(concerned, [(Some(number), 2), (Some(number.next()), 1)], "where they were accepted, each");
    let dead: Vec<bool> = world.issued.iter().map(|one| world.is_cut(one)).collect();
    assert_eq!(dead, [false, true, true, false], "the certificate, and the token for the other, live");
    world.apply(&with);
    assert_ne!(world.facts.downstream(&"api".parse().expect("a name")).expect("named again").number, number);
    world.issue_token(API, "production", "own");
    assert!(!world.is_cut(&world.issued[4]), "what is issued for the new one lives");
}

#[test]
fn a_cut_under_which_nothing_can_be_alive_never_enters_the_list() {
    let mut world = issued_world();
    world.now = Timestamp::from_seconds(1001).plus(CUT_GRACE).plus(CLOCK_STEP);
    let difference = world.plan(&Document::default());
    let ends: Vec<_> =
        difference.events.iter().map(|event| if let Event::Cut(cut) = event { cut.ends } else { panic!("{event:?}") }).collect();
    assert_eq!(ends, [None; 5]);
    world.now = world.now.minus(Duration::from_millis(1));
    let difference = world.plan(&Document::default());
    assert!(difference.events.iter().all(|event| matches!(event, Event::Cut(cut) if cut.ends == Some(Timestamp::from_seconds(1121)))));
}

/// A source that holds everything.
fn source(name: &str) -> Scope {
    let holds = [Subject::Owner, Subject::Environment, Subject::Workload, Subject::Downstream, Subject::Person, Subject::Contract];
    Scope { source: Some(name.parse().expect("a name")), holds: holds.into(), takes_over: false }
}

const BATCH: &str = "spiffe://example.org/payments/batch";

/// A document that names one workload under owner `a` of somebody else.
fn batch() -> Document {
    let mut document = base();
    document.workloads[0].spiffe_id = BATCH.parse().expect("an identity");
    Document { owners: Vec::new(), environments: Vec::new(), ..document }
}

#[test]
fn a_source_ends_its_own_records_alone_and_nobody_else_ends_them() {
    let mut world = issued_world();
    let assets = source("assets");
    let added = world.hear(&assets, &Snapshot::from(batch()));
    assert_eq!((added.problems.as_slice(), added.ends, added.changes.len()), (&[][..], 0, 1), "its owner and environments are others'");
    world.issue(BATCH, "production", 1000);
    assert_eq!(world.apply(&base()), Difference::default(), "the registry ends nothing of a source by not naming it");
    assert_eq!(world.apply(&Document { workloads: [base().workloads, batch().workloads].concat(), ..base() }), Difference::default());
    let emptied = world.hear(&assets, &Snapshot::default());
    assert_eq!((emptied.ends, emptied.changes[0].name.as_str(), emptied.changes[0].living), (1, BATCH, 1));
    let Event::Cut(cut) = &emptied.events[0] else { panic!("not a cut") };
    assert_eq!(
        (cut.source.clone(), cut.note.as_ref().map(ToString::to_string)),
        (assets.source, Some("no longer named by source assets".to_owned()))
    );
    let alive: Vec<_> = world.issued.iter().map(|issued| !world.is_cut(issued)).collect();
    assert_eq!(alive, [true, true, false]);
}

#[test]
fn what_two_claim_stays_with_the_first_and_the_second_is_told() {
    let mut world = World::at(&base());
    world.hear(&source("assets"), &Snapshot::from(batch()));
    let mut other = batch();
    other.workloads[0].owner = "b".parse().expect("an id");
    let before = world.facts.clone();
    let told = world.hear(&source("cmdb"), &Snapshot::from(other.clone()));
    assert_eq!(told.problems, [format!("workload `{BATCH}` is recorded by source assets (as `{BATCH}`); left as it is")]);
    let by_hand = world.plan(&Document { workloads: [base().workloads, other.workloads].concat(), ..base() });
    assert_eq!((by_hand.problems.len(), by_hand.events.len()), (1, 0), "nor may an administrator change it");
    let claimed = world.hear(&source("cmdb"), &Snapshot::from(base()));
    assert_eq!((claimed.problems.len(), claimed.events.len()), (5, 0), "nor a source what the administrators recorded");
    assert_eq!(world.facts, before);
}

#[test]
fn a_source_may_take_over_what_the_administrators_recorded_and_nothing_dies() {
    let mut world = issued_world();
    let taken = world.hear(&Scope { takes_over: true, ..source("assets") }, &Snapshot::from(base()));
    assert_eq!((taken.problems.len(), taken.ends, taken.changes.len()), (0, 0, 5));
    assert!(world.issued.iter().all(|issued| !world.is_cut(issued)));
    assert_eq!(world.apply(&Document::default()), Difference::default(), "the administrators have nothing left");
    assert_eq!(world.hear(&source("assets"), &Snapshot::from(base())), Difference::default());
}

#[test]
fn what_a_source_names_wrongly_or_cannot_name_does_not_end() {
    let mut world = World::at(&base());
    world.hear(&source("assets"), &Snapshot::from(batch()));
    let kept = Snapshot { kept: [(Subject::Workload, BATCH.to_owned())].into(), ..Snapshot::default() };
    let unnamed = Snapshot { unnamed: [Subject::Workload].into(), ..Snapshot::default() };
    assert_eq!(world.hear(&source("assets"), &kept), Difference::default());
    assert_eq!(world.hear(&source("assets"), &unnamed), Difference::default());
    let other_row = Snapshot { unnamed: [Subject::Owner].into(), ..Snapshot::default() };
    assert_eq!(world.hear(&source("assets"), &other_row).ends, 1);
}

#[test]
fn a_contract_bounds_its_owner_and_offboards_it_when_it_is_named_no_longer() {
    let mut world = issued_world();
    let contract = |end: u64| Snapshot {
        contracts: vec![crate::directory::ContractSpec {
            record: "C-1".parse().expect("an id"),
            owner: "a".parse().expect("an id"),
            end: Timestamp::from_seconds(end),
        }],
        ..Snapshot::default()
    };
    let vendors = source("vendors");
    let end = |world: &World| world.facts.contract_end(world.facts.owner(&"a".parse().expect("an id")).expect("known"));
    let late = world.hear(&vendors, &contract(5000).indexed());
    assert_eq!((late.changes[0].living, end(&world)), (0, Some(Timestamp::from_seconds(5000))));
    let early = world.hear(&vendors, &contract(500).indexed());
    assert_eq!((early.changes[0].living, end(&world)), (2, Some(Timestamp::from_seconds(500))), "what would outlive it dies");
    assert_eq!(world.facts.next_end(), Some(Timestamp::from_seconds(500)));
    let gone = world.hear(&vendors, &Snapshot::default());
    assert_eq!((gone.ends, end(&world)), (1, None));
    let owner = world.facts.owner(&"a".parse().expect("an id")).expect("known");
    assert_eq!(owner.closed.map(|closed| closed.by), Some(Closing::Offboard));
    let again = world.hear(&vendors, &contract(5000).indexed());
    assert_eq!((again.ends, again.changes.len()), (0, 1));
    let owner = world.facts.owner(&"a".parse().expect("an id")).expect("known");
    assert!(!owner.is_open(), "a contract that is named again reopens nothing");
}

#[test]
fn a_person_whom_a_source_names_no_longer_is_known_to_have_left() {
    let mut world = World::at(&base());
    let people = |active| Snapshot {
        people: vec![crate::model::Person { id: "Ada@example.org".parse().expect("a contact"), active }],
        ..Snapshot::default()
    };
    let stands = |world: &World| {
        let known = world.facts.person(&"ada@example.org".parse().expect("a contact")).expect("known");
        (known.record.active, known.is_registered())
    };
    let hr = source("hr");
    world.hear(&hr, &people(true).indexed());
    assert_eq!(stands(&world), (true, true));
    assert_eq!(world.hear(&hr, &people(true).indexed()), Difference::default());
    world.hear(&hr, &people(false).indexed());
    assert_eq!(stands(&world), (false, true));
    world.hear(&hr, &Snapshot::default());
    assert_eq!(stands(&world), (false, false));
}
