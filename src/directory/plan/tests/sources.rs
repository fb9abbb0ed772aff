//! What sources record, end and leave alone.

use super::*;
use crate::directory::yaml;
use crate::model::{Contract, Facts, Known, Person};

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
    let people =
        |active| Snapshot { people: vec![Person { id: "Ada@example.org".parse().expect("a contact"), active }], ..Snapshot::default() };
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

/// How many would end, and what is told of each change, if a source that recorded everything said otherwise by
/// `change`. At second 1, with two credentials of owner `a` that are alive until second 1001.
#[track_caller]
fn check_ends(change: impl FnOnce(&mut Snapshot), ends: usize, told: &[&str]) {
    let said = || Snapshot {
        people: vec![Person { id: "ada@example.org".parse().expect("a contact"), active: true }],
        contracts: vec![contract_of("C-1", "b", 5000)],
        ..Snapshot::from(base())
    };
    let hr = source("hr");
    let mut world = World { now: Timestamp::from_seconds(1), ..World::default() };
    world.hear(&hr, &said().indexed());
    ["production", "staging"].iter().for_each(|environment| world.issue(API, environment, 1000));
    let mut changed = said();
    change(&mut changed);
    let changed = changed.indexed();
    let before = world.facts.clone();
    let difference = world.hear(&hr, &changed);
    let line = |change: &Change| format!("{} {} ({})", change.action, change.name, change.living);
    let ending = difference.changes.iter().filter(|change| change.ends());
    let numbers: Vec<_> = ending.filter_map(|change| number_of(&before, change).or_else(|| number_of(&world.facts, change))).collect();
    assert_eq!((difference.ended(), numbers.len()), (numbers, ends));
    assert_eq!(
        (difference.ends, difference.changes.iter().map(line).collect::<Vec<_>>()),
        (ends, told.iter().map(ToString::to_string).collect())
    );
    assert_eq!(world.hear(&hr, &changed), Difference::default(), "said again it is no change");
}

/// The number of what a change is about.
fn number_of(facts: &Facts, change: &Change) -> Option<Position> {
    let name = &change.name;
    match change.subject {
        Subject::Owner => facts.owners().find(|known| known.record.id.as_str() == name).map(|known| known.number),
        Subject::Workload => facts.workloads().find(|known| known.record.spiffe_id.as_str() == name).map(|known| known.number),
        Subject::Person => facts.people().find(|known| known.record.id.as_str() == name).map(|known| known.number),
        Subject::Contract => {
            let is_it = |known: &&Known<Contract>| known.origin.as_ref().is_some_and(|origin| origin.record.as_str() == name);
            facts.contracts().find(is_it).map(|known| known.number)
        }
        Subject::Environment | Subject::Downstream | Subject::Inventory => None,
    }
}

fn contract_of(record: &str, owner: &str, end: u64) -> crate::directory::ContractSpec {
    let end = Timestamp::from_seconds(end);
    crate::directory::ContractSpec { record: record.parse().expect("an id"), owner: owner.parse().expect("an id"), end }
}

#[test]
fn what_ends_by_a_date_or_a_word_counts_as_much_as_what_is_named_no_longer() {
    let at = |seconds| Some(Timestamp::from_seconds(seconds));
    check_ends(|said| said.people.clear(), 1, &["end ada@example.org (0)"]);
    check_ends(|said| said.people[0].active = false, 1, &["end ada@example.org (0)"]);
    // An end that is here, with anything alive or not.
    check_ends(|said| said.document.owners[0].contract_end = at(1), 1, &["end a (2)"]);
    check_ends(|said| said.document.owners[1].contract_end = at(1), 1, &["end b (0)"]);
    check_ends(|said| said.document.workloads[0].valid_until = at(1), 1, &[&format!("end {API} (2)")]);
    check_ends(|said| said.contracts[0] = contract_of("C-1", "b", 1), 1, &["end C-1 (0)"]);
    check_ends(|said| said.contracts.push(contract_of("C-2", "a", 1)), 1, &["end C-2 (2)"]);
    // One that is ahead counts by what dies of it at once.
    check_ends(|said| said.document.owners[0].contract_end = at(500), 1, &["change a (2)"]);
    check_ends(|said| said.document.owners[0].contract_end = at(2000), 0, &["change a (0)"]);
    check_ends(|said| said.document.owners[1].contract_end = at(2), 0, &["change b (0)"]);
    check_ends(|said| said.document.workloads[0].valid_until = at(500), 1, &[&format!("change {API} (2)")]);
    check_ends(|said| said.document.workloads[0].valid_until = at(2000), 0, &[&format!("change {API} (0)")]);
    check_ends(|said| said.contracts[0] = contract_of("C-1", "b", 2), 0, &["change C-1 (0)"]);
    check_ends(|said| said.contracts.push(contract_of("C-2", "a", 500)), 1, &["add C-2 (2)"]);
    check_ends(|said| said.contracts.push(contract_of("C-2", "a", 2000)), 0, &["add C-2 (0)"]);
    // So does what is taken away, and what goes to another owner.
    let staging = || ["staging".parse().expect("a name")].into();
    check_ends(|said| said.document.workloads[0].environments = staging(), 1, &[&format!("change {API} (2)")]);
    check_ends(|said| said.document.workloads[0].owner = "b".parse().expect("an id"), 1, &[&format!("move {API} (2)")]);
    check_ends(|said| said.document.workloads[0].purpose = "Other".parse().expect("a purpose"), 0, &[&format!("change {API} (0)")]);
}

#[test]
fn a_first_reading_counts_what_it_ends_here_and_nothing_that_ended_elsewhere() {
    let mut world = World { now: Timestamp::from_seconds(1000), ..World::default() };
    world.apply(&base());
    let number = world.facts.owner(&"b".parse().expect("an id")).expect("known").number;
    let (reason, closing) = (Reason::CessationOfOperation, Closing::Offboard);
    world.append(Event::Cut(CutMade { number, reason, ends: None, closing, note: None, concerns: None, source: None }));
    let over = |record: &str, owner: &str| contract_of(record, owner, 500);
    let left = Person { id: "ada@example.org".parse().expect("a contact"), active: false };
    let said =
        Snapshot { people: vec![left], contracts: vec![over("C-1", "b"), over("C-2", "b"), over("C-3", "a")], ..Snapshot::default() };
    let told = world.hear(&source("hr"), &said.indexed());
    let line = |change: &Change| format!("{} {}", change.action, change.name);
    // The owner `a` was active here: its contract ends it. `b` had ended, and who left had never been here.
    assert_eq!(told.changes.iter().map(line).collect::<Vec<_>>(), ["add ada@example.org", "add C-1", "add C-2", "end C-3"]);
    assert_eq!((told.ends, told.problems), (1, vec![]));
}

/// What a source says in a file, which may refer to nothing of others.
fn written(text: &str) -> Snapshot {
    yaml::sift(&[("all.yaml".into(), text.to_owned())], &Names::default(), &mut yaml::Parsed::default()).expect("it is read").0
}

#[test]
fn an_owner_or_environment_that_a_source_still_refers_to_goes_on_and_that_is_told() {
    const OWNERS: &str = "owners:
  - {id: a, kind: team, business_owner: boss@example.org, technical_owner: oncall@example.org}
";
    const ENVIRONMENTS: &str = "environments: [{name: production}, {name: staging}]
";
    const WORKLOAD: &str = "workloads:
  - {spiffe_id: spiffe://example.org/payments/api, owner: a, purpose: pays, environments: [production]}
";
    const DOWNSTREAM: &str = "downstreams:
  - {name: api, accepts: [certificates], environments: [staging], verifier_kind: none}
";
    let mut world = World::default();
    let teams = source("teams");
    let mut hear = |parts: &[&str]| {
        let told = world.hear(&teams, &written(&parts.concat()));
        (told.ends, told.changes.len(), told.problems)
    };
    assert_eq!(hear(&[OWNERS, ENVIRONMENTS, WORKLOAD, DOWNSTREAM]), (0, 5, vec![]));
    let left = |what: &str, by: &str| format!("{what} is named by {by}, and recorded nowhere any more; left as it is");
    let (workload, downstream) = (format!("workload `{API}`"), "downstream `api`");
    assert_eq!(
        hear(&[OWNERS, WORKLOAD, DOWNSTREAM]),
        (0, 0, vec![left("environment `production`", &workload), left("environment `staging`", downstream)])
    );
    assert_eq!(hear(&[ENVIRONMENTS, WORKLOAD, DOWNSTREAM]), (0, 0, vec![left("owner `a`", &workload)]));
    assert_eq!(hear(&[OWNERS, ENVIRONMENTS, WORKLOAD, DOWNSTREAM]), (0, 0, vec![]));
    // What nothing refers to is at an end.
    assert_eq!(hear(&[OWNERS, "environments: [{name: production}]\n", WORKLOAD]), (2, 2, vec![]));
}

#[test]
fn what_a_source_recorded_that_is_no_more_goes_on_until_somebody_takes_it_over_who_names_it() {
    let gone = || Arc::new(["assets"].map(|name| name.parse().expect("a name")).into());
    let mut world = issued_world();
    let whole = || Snapshot { contracts: vec![contract_of("C-1", "b", 5000)], ..Snapshot::from(base()) }.indexed();
    world.hear(&Scope { takes_over: true, ..source("assets") }, &whole());
    let end = |world: &World| world.facts.contract_end(world.facts.owner(&"b".parse().expect("an id")).expect("known"));

    // Nobody ends it by saying nothing, and a source that takes nothing over leaves it.
    let administrators = Scope { gone: gone(), ..Scope::administrators() };
    assert_eq!(world.hear(&administrators, &Snapshot::default()), Difference::default());
    let told = world.hear(&Scope { gone: gone(), ..source("cmdb") }, &Snapshot::from(base()));
    let left = format!(
        "workload `{API}` is recorded by source assets (as `{API}`), which the configuration does not declare any more; left as it is"
    );
    assert!(told.events.is_empty() && told.problems.contains(&left), "{:?}", told.problems);

    for next in [Scope { takes_over: true, gone: gone(), ..source("cmdb") }, administrators] {
        let mut world = world.clone();
        let taken = world.hear(&next, &whole());
        assert_eq!((taken.ends, taken.changes[0].detail.starts_with("recorded by: source assets as ")), (0, true), "{taken:?}");
        assert!(world.issued.iter().all(|issued| !world.is_cut(issued)), "nothing dies by that");
        let held = next.holds(Subject::Contract);
        let later = Snapshot { contracts: vec![contract_of("C-1", "b", 6000)], ..Snapshot::from(base()) };
        world.hear(&next, &later.indexed());
        assert_eq!(end(&world), Some(Timestamp::from_seconds(if held { 6000 } else { 5000 })));
        let ended = world.hear(&next, &Snapshot::default());
        assert!(ended.ends > 0 && world.issued.iter().all(|issued| world.is_cut(issued)), "it is no longer named");
    }
}
