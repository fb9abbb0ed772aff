//! A workload that goes to another owner: at once, or once that owner has accepted it.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

impl World {
    /// What the source of the workload says of its owner, where policy lets it move workloads or not.
    fn owned_by(&mut self, owner: &str, may_move: bool) -> Difference {
        let mut document = batch();
        document.workloads[0].owner = owner.parse().expect("an id");
        self.hear_from(&source("assets"), &Snapshot::from(document), may_move)
    }

    fn batch(&self) -> &Known<Workload> {
        self.facts.workload(&BATCH.parse().expect("an identity")).expect("known")
    }

    fn accept(&mut self) {
        let (number, owner) = (self.batch().number, self.batch().record.owner);
        self.append(Event::WorkloadAccepted { number, owner, note: None });
    }

    fn suspend(&mut self) {
        let (number, closing) = (self.batch().number, Closing::Suspend);
        let reason = Reason::PrivilegeWithdrawn;
        self.append(Event::Cut(CutMade { number, reason, ends: None, closing, note: None, concerns: None, source: None }));
    }
}

/// A workload of a source under owner `a`, with a credential.
fn moving_world() -> World {
    let mut world = World::at(&base());
    world.owned_by("a", false);
    world.issue(BATCH, "production", 1000);
    assert!(world.batch().is_open(), "a first owner is not asked");
    world
}

#[test]
fn moved_by_who_may_not_it_leaves_everything_behind_and_waits_until_it_is_accepted() {
    let mut world = moving_world();
    let moved = world.owned_by("b", false);
    let [change] = &moved.changes[..] else { panic!("{moved:?}") };
    assert_eq!((change.action, change.living), (Action::Move, 1));
    assert_eq!(change.detail, "owner: a -> b; it waits until its new owner accepts it");
    let [Event::Cut(cut), Event::WorkloadRecorded(_)] = &moved.events[..] else { panic!("{moved:?}") };
    assert_eq!((cut.closing, cut.reason), (Closing::AwaitOwner, Reason::AffiliationChanged));
    assert!(world.is_cut(&world.issued[0]) && !world.batch().is_open());
    assert_eq!(world.owned_by("b", false), Difference::default(), "to say it again changes nothing");
    assert_eq!(world.owned_by("b", true), Difference::default(), "and a policy of later is not about this move");
    world.accept();
    assert!(world.batch().is_open());
    assert_eq!(world.owned_by("b", false), Difference::default(), "nor does what is said again close what was accepted");
    world.issue(BATCH, "production", 10);
    assert_eq!([0, 1].map(|at| world.is_cut(&world.issued[at])), [true, false], "accepting revives nothing");
}

#[test]
fn each_move_is_judged_by_itself_and_the_last_one_holds() {
    let mut world = moving_world();
    world.owned_by("b", false);
    world.owned_by("a", false);
    assert!(!world.batch().is_open(), "who had it gave it up");
    world.owned_by("b", true);
    assert!(world.batch().is_open(), "policy lets it go there");
    world.owned_by("a", false);
    assert!(!world.batch().is_open());
}

#[test]
fn to_end_and_come_back_under_another_owner_is_a_move() {
    let mut world = moving_world();
    world.hear(&source("assets"), &Snapshot::default());
    let back = world.owned_by("b", false);
    assert!(back.changes[0].detail.ends_with("it waits until its new owner accepts it"), "{back:?}");
    assert!(world.batch().is_registered() && !world.batch().is_open());
    world.hear(&source("assets"), &Snapshot::default());
    world.owned_by("b", false);
    assert!(!world.batch().is_open(), "to be named again under the same owner is no acceptance");
    world.hear(&source("assets"), &Snapshot::default());
    world.owned_by("a", true);
    assert!(world.batch().is_open());
}

#[test]
fn policy_is_asked_about_the_owner_as_it_will_be_recorded() {
    let mut world = moving_world();
    let assets = source("assets");
    let new = Owner { id: "new".parse().expect("an id"), kind: crate::model::OwnerKind::Vendor, ..base().owners.remove(0) };
    let mut document = batch();
    document.workloads[0].owner = new.id.clone();
    document.owners = vec![new.clone()];
    let asked = Cell::new(0);
    let ask = |world: &World, document: &Document, expected: &Owner| {
        let World { facts, living, head, latest_expiry, now, .. } = world;
        let present = Present { facts, living, head: *head, latest_expiry: *latest_expiry, now: *now };
        let may_move = |owner: &Owner| {
            asked.set(asked.get() + 1);
            assert_eq!(owner, expected);
            true
        };
        plan(&Snapshot::from(document.clone()), &assets, &present, &may_move)
    };
    ask(&world, &document, &new);
    // What others record stays as it is, whatever the source says of it.
    let theirs = base().owners.remove(1);
    document.workloads[0].owner = theirs.id.clone();
    document.owners = vec![Owner { kind: crate::model::OwnerKind::Vendor, ..theirs.clone() }];
    assert_eq!(ask(&world, &document, &theirs).problems.len(), 1);
    assert_eq!(asked.get(), 2);
    world.owned_by("a", true);
}

/// What may happen to a workload.
#[derive(Clone, Debug)]
enum Step {
    /// It is said to be of an owner; policy lets whoever says so move it.
    Owned(&'static str, bool),
    Gone,
    Accepted,
    Suspended,
    Reinstated,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (prop::sample::select(vec!["a", "b"]), any::<bool>()).prop_map(|(owner, may)| Step::Owned(owner, may)),
        1 => Just(Step::Gone),
        3 => Just(Step::Accepted),
        1 => Just(Step::Suspended),
        2 => Just(Step::Reinstated),
    ]
}

proptest! {
    /// The naive model keeps whose it is, and each of the three reasons for which it is closed, apart.
    #[test]
    fn it_is_open_unless_it_is_gone_suspended_or_waits_for_its_owner(steps in vec(step(), 1..30)) {
        let mut world = moving_world();
        let (mut owner, mut gone, mut suspended, mut waits) = ("a", false, false, false);
        for step in steps {
            match step {
                Step::Owned(to, may_move) => {
                    world.owned_by(to, may_move);
                    waits = if to == owner { waits } else { !may_move };
                    (owner, gone) = (to, false);
                }
                Step::Gone => {
                    world.hear(&source("assets"), &Snapshot::default());
                    gone = true;
                }
                Step::Accepted => {
                    world.accept();
                    waits = false;
                }
                Step::Suspended => {
                    world.suspend();
                    suspended = true;
                }
                Step::Reinstated => {
                    world.append(Event::Reinstated { number: world.batch().number, note: None });
                    suspended = false;
                }
            }
            let stands = (world.batch().is_registered(), world.batch().closed.is_some(), world.batch().awaiting.is_some());
            prop_assert_eq!(stands, (!gone, suspended, waits));
            prop_assert_eq!(world.batch().is_open(), !gone && !suspended && !waits);
            // Whatever was issued under another owner than now is dead.
            let now = world.batch().record.owner;
            prop_assert!(world.issued.iter().all(|one| one.1.subjects.owner == now || world.is_cut(one)));
            if world.batch().is_open() {
                world.issue(BATCH, "production", 1000);
            }
        }
    }
}
