//! What is open here and exists nowhere, and whom nobody answers for, as other systems tell it.

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};

use super::*;
use crate::broker::{Declared, Said, SourceKind};
use crate::directory::rows::{Columns, Gather, csv};
use crate::directory::{Names, Subject};
use crate::model::{Event, FindingAction, FindingKind, Origin, Person, Recording, Share, SourceName};

const DAY: Duration = Duration::from_secs(86_400);

fn name() -> SourceName {
    "elsewhere".parse().unwrap()
}

/// A broker with a source that says what exists, or who there is.
async fn world(kind: FindingKind, covers: Option<&str>, is_complete: bool) -> World {
    world_of(kind, Declared { covers: covers.map(|covers| covers.parse().unwrap()), is_complete, ..declared(covers.is_some()) }).await
}

fn declared(is_inventory: bool) -> Declared {
    Declared {
        name: name(),
        kind: SourceKind::Feed,
        holds: [if is_inventory { Subject::Inventory } else { Subject::Person }].into(),
        takes_over: false,
        max_ended: Share::percent(10),
        covers: None,
        is_complete: false,
    }
}

/// A broker with a source, that looks for one kind of finding.
async fn world_of(kind: FindingKind, source: Declared) -> World {
    let ignored = FindingKind::ALL.iter().map(|kind| (*kind, FindingAction::Ignore));
    let actions = ignored.chain([(kind, FindingAction::Suspend)]).collect();
    World::told_by(source, Reconciling { grace: DAY * 2, actions, ..Reconciling::default() }).await
}

impl World {
    /// The source says these rows.
    async fn hear_rows(&self, subject: Subject, text: &str) {
        let columns = Columns::new(subject, &BTreeMap::new(), &BTreeMap::new()).unwrap();
        let names = Names::default();
        let mut gather = Gather::new(&columns, &names, 1000);
        csv::read(text.as_bytes(), b',', &columns, |row| gather.take(row)).unwrap();
        let gathered = gather.finish().unwrap();
        let sum = digest(&SHA256, text.as_bytes()).as_ref().try_into().unwrap();
        let said = Said { digest: sum, snapshot: gathered.snapshot, wrong: gathered.wrong, problems: gathered.problems };
        self.broker.hear_source(&name(), Ok(said)).await.unwrap();
    }

    /// These workloads exist.
    async fn exist(&self, paths: &[&str]) {
        let rows: Vec<String> = paths.iter().map(|path| format!("spiffe://example.org/{path}\n")).collect();
        self.hear_rows(Subject::Inventory, &format!("spiffe_id\n{}", rows.concat())).await;
    }

    async fn doubted(&self) -> Option<String> {
        self.broker.source(&administrator(), &name()).await.unwrap().doubted.map(|doubted| doubted.why)
    }

    /// What a run does.
    async fn reconciled(&self) -> Vec<String> {
        let run = self.broker.reconcile(&administrator(), false).await.unwrap();
        run.steps.iter().map(|step| format!("{} {}", step.what, step.about.trim_start_matches("spiffe://example.org/"))).collect()
    }
}

#[tokio::test]
async fn a_ghost_is_told_then_suspended_and_never_on_the_word_of_what_is_not_believed() {
    let world = world(FindingKind::Ghost, Some("spiffe://example.org/payments/"), false).await;
    assert_eq!(world.reconciled().await, [""; 0], "nothing was read yet");
    world.exist(&["payments/api", "payments/batch", "payments/other"]).await;
    assert_eq!(world.reconciled().await, [""; 0], "of the vendor's workload the inventory does not speak");
    world.exist(&["payments/api", "payments/other"]).await;
    assert_eq!(world.reconciled().await, ["raise payments/batch"]);
    assert!(world.token(&caller("/payments/batch")).await.is_ok(), "not before its grace");

    // It is not believed when it would act: nothing is done, and nothing forgotten.
    world.hand.set(START.plus(DAY * 3));
    world.broker.hear_source(&name(), Err("nobody answers".to_owned())).await.unwrap();
    assert_eq!(world.reconciled().await, [""; 0]);
    world.exist(&[]).await;
    assert_eq!(world.doubted().await.as_deref(), Some("it is empty, and 2 of its records are known"));
    assert_eq!(world.reconciled().await, [""; 0]);
    // A row of which nothing can be read may be anybody.
    world.hear_rows(Subject::Inventory, "spiffe_id\nspiffe://example.org/payments/api\npayments-batch\n").await;
    assert_eq!((world.doubted().await, world.reconciled().await), (None, Vec::new()));

    world.exist(&["payments/api", "payments/other", "payments/third"]).await;
    assert_eq!(world.reconciled().await, ["suspend payments/batch"]);
    assert_eq!(denied(world.token(&caller("/payments/batch")).await), DenialCode::WorkloadNotActive);
    assert!(world.token(&caller("/payments/api")).await.is_ok());
    assert_eq!(world.reconciled().await, ["resolve payments/batch"], "it is open no longer");
}

#[tokio::test]
async fn a_workload_is_no_ghost_on_the_word_of_an_inventory_from_before_it_was_recorded() {
    let world = world(FindingKind::Ghost, Some("spiffe://example.org/"), false).await;
    let minutes = |minutes: u64| world.hand.set(START.plus(Duration::from_secs(60 * minutes)));
    let known = ["payments/api", "payments/batch", "acme/sync"];
    world.exist(&known).await;
    minutes(1);
    let new = "  - {spiffe_id: spiffe://example.org/payments/new, owner: payments, purpose: x, environments: [production]}\ndownstreams:\n";
    world.apply(&REGISTRY.replace("downstreams:\n", new), 0).await.unwrap();
    assert_eq!(world.reconciled().await, [""; 0], "nobody has looked for it yet");
    minutes(2);
    world.exist(&known).await;
    assert_eq!(world.reconciled().await, ["raise payments/new"], "the inventory says what it said, and was read again");
    minutes(3);
    world.apply(REGISTRY, 1).await.unwrap();
    assert_eq!(world.reconciled().await, ["resolve payments/new"]);
    world.apply(&REGISTRY.replace("downstreams:\n", new), 0).await.unwrap();
    assert_eq!(world.reconciled().await, [""; 0], "it was named again since");
    minutes(4);
    world.broker.source_unchanged(&name());
    assert_eq!(world.reconciled().await, ["raise payments/new"]);
    // What is told already stays so meanwhile.
    minutes(5);
    world.apply(&REGISTRY.replace("downstreams:\n", &new.replace("purpose: x", "purpose: y")), 0).await.unwrap();
    assert_eq!(world.reconciled().await, [""; 0]);
    minutes(6);
    world.exist(&["payments/api", "payments/batch", "payments/new", "acme/sync"]).await;
    assert_eq!(world.reconciled().await, ["resolve payments/new"]);
}

#[tokio::test]
async fn the_first_inventory_after_a_start_is_held_against_what_is_open() {
    let world = world(FindingKind::Ghost, Some("spiffe://example.org/"), false).await;
    world.exist(&[]).await;
    assert_eq!(world.doubted().await.as_deref(), Some("it is empty, and 3 of its records are known"));
    assert_eq!(world.reconciled().await, [""; 0]);
    let workload = |n: usize| {
        format!(
            "  - {{spiffe_id: spiffe://example.org/payments/w{n}, owner: payments, purpose: x, environments: [production]}}\ndownstreams:\n"
        )
    };
    let more = (0..6).fold(REGISTRY.to_owned(), |text, n| text.replace("downstreams:\n", &workload(n)));
    world.apply(&more, 0).await.unwrap();
    world.exist(&["payments/api", "payments/batch", "acme/sync", "payments/w0"]).await;
    assert_eq!(world.doubted().await.as_deref(), Some("it would end 5 of 9 records, and at most 10 in a hundred may end within a day"));
    assert_eq!(world.reconciled().await, [""; 0]);
    world.exist(&["payments/api", "payments/batch", "acme/sync", "payments/w0", "payments/w1", "payments/w2"]).await;
    assert_eq!(world.doubted().await, None, "a few may be missing");
    assert_eq!(world.reconciled().await, ["raise payments/w3", "raise payments/w4", "raise payments/w5"]);
    // From then on it is held against itself, and what it loses within a day counts together.
    let left = ["payments/api", "payments/batch", "acme/sync", "payments/w0", "payments/w1"];
    for (named, ends) in [(&left[..2], 4), (&left, 1)] {
        world.exist(named).await;
        let why =
            format!("it would end {ends} of 6 records besides those that ended before, and at most 10 in a hundred may end within a day");
        assert_eq!(world.doubted().await, Some(why));
        assert_eq!(world.reconciled().await, [""; 0]);
    }
    world.hand.set(START.plus(DAY));
    world.exist(&left).await;
    assert_eq!((world.doubted().await, world.reconciled().await), (None, vec!["raise payments/w2".to_owned()]));
}

#[tokio::test]
async fn whoever_left_answers_for_nothing_and_whom_nobody_knows_only_if_all_are_named() {
    for is_complete in [false, true] {
        let world = world(FindingKind::Ownerless, None, is_complete).await;
        assert_eq!(world.reconciled().await, [""; 0], "nobody was named yet");
        world.hear_rows(Subject::Person, "id\nPat@Example.org\n").await;
        let unknown: &[&str] = if is_complete { &["raise acme", "raise payments"] } else { &[] };
        assert_eq!(world.reconciled().await, unknown, "tea@example.org is in no list");
        // A list that is not believed says nothing of whoever is in none: nothing is done, and nothing forgotten.
        world.hand.set(START.plus(DAY * 3));
        world.broker.hear_source(&name(), Err("nobody answers".to_owned())).await.unwrap();
        assert_eq!(world.reconciled().await, [""; 0]);
        world.hear_rows(Subject::Person, "id\npat@example.org\ntea@example.org\n").await;
        let resolved: &[&str] = if is_complete { &["resolve acme", "resolve payments"] } else { &[] };
        assert_eq!(world.reconciled().await, resolved);

        world.hear_rows(Subject::Person, "id,active\npat@example.org,true\ntea@example.org,false\n").await;
        assert_eq!(world.reconciled().await, ["raise acme", "raise payments"]);
        // Whoever left has left, although the list is not believed.
        world.broker.hear_source(&name(), Err("nobody answers".to_owned())).await.unwrap();
        world.hand.set(START.plus(DAY * 6));
        assert_eq!(world.reconciled().await, ["suspend acme", "suspend payments"]);
        assert_eq!(denied(world.token(&caller("/payments/api")).await), DenialCode::OwnerNotActive);
    }
}

#[tokio::test]
async fn nobody_who_left_is_back_because_the_column_that_said_so_is_gone() {
    let world = world(FindingKind::Ownerless, None, false).await;
    let left = async || {
        let facts = world.broker.ledger().facts();
        facts.people().filter(|known| !known.record.active).count()
    };
    let rows = |columns: &str, left: &str| {
        let row = |n: usize| format!("p{n}@example.org{}\n", if n < 4 { left } else { left.trim_end_matches("false") });
        format!("{columns}\n{}", (0..9).map(row).collect::<String>())
    };
    world.hear_rows(Subject::Person, &rows("id,active", ",false")).await;
    assert_eq!((world.doubted().await, left().await), (None, 4));
    let renamed = rows("id,is_active", ",false");
    for gone in [renamed.as_str(), &rows("id", "")] {
        world.hear_rows(Subject::Person, gone).await;
        let why = "no record has `active` any more, by which 4 of its records have ended or will; if it is called otherwise now, say so in `columns`";
        assert_eq!((world.doubted().await.as_deref(), left().await), (Some(why), 4));
    }
    // All are back, and it is said of each; or somebody says that it is meant.
    world.hear_rows(Subject::Person, &rows("id,active", ",true")).await;
    assert_eq!((world.doubted().await, left().await), (None, 0));
    world.hear_rows(Subject::Person, &rows("id,active", ",false")).await;
    let doubted = world.broker.source(&administrator(), &name()).await.unwrap().doubted.expect("four at once");
    for text in [rows("id,active", ",false"), rows("id", "")] {
        world.hear_rows(Subject::Person, &text).await;
        let digest = world.broker.source(&administrator(), &name()).await.unwrap().doubted.and_then(|doubted| doubted.digest);
        world.broker.confirm_source(&administrator(), &name(), digest.expect("it is held")).await.unwrap();
        world.hear_rows(Subject::Person, &text).await;
    }
    assert_eq!((doubted.ends, world.doubted().await, left().await), (4, None, 0));
}

#[tokio::test]
async fn a_downstream_whose_owner_left_is_suspended_like_any_other() {
    let world = world(FindingKind::Ownerless, None, true).await;
    world.apply(&of_ledger("business_owner: ops@example.org, technical_owner: pat@example.org, "), 0).await.unwrap();
    world.hear_rows(Subject::Person, "id\npat@example.org\ntea@example.org\nops@example.org\n").await;
    assert_eq!(world.reconciled().await, [""; 0]);
    let token = world.token(&caller("/payments/api")).await.unwrap();
    world.hear_rows(Subject::Person, "id\npat@example.org\ntea@example.org\n").await;
    assert_eq!(world.reconciled().await, ["raise downstream ledger"]);
    let (found, _) = world.broker.findings(&administrator(), 10).await.unwrap();
    assert_eq!(found[0].about, "downstream ledger");
    assert!(!world.is_dead(&token).await, "not before its grace");

    world.hand.set(START.plus(DAY * 2));
    let token = world.token(&caller("/payments/api")).await.unwrap();
    assert_eq!(world.reconciled().await, ["suspend downstream ledger"]);
    assert!(world.is_dead(&token).await);
    assert_eq!(denied(world.token(&caller("/payments/api")).await), DenialCode::DownstreamNotActive);
    assert!(world.certificate(&caller("/payments/api"), "production", None).await.is_ok());
    assert_eq!(world.reconciled().await, ["resolve downstream ledger"], "it is open no longer");
}

/// The registry, where these answer for the service `ledger`.
fn of_ledger(owners: &str) -> String {
    let both = "{name: ledger, business_owner: pat@example.org, technical_owner: pat@example.org, ";
    let named = REGISTRY.replace(both, &format!("{{name: ledger, {owners}"));
    assert_ne!(named, REGISTRY);
    named
}

#[tokio::test]
async fn a_downstream_that_does_not_name_both_any_more_is_told_until_it_does() {
    let world = world(FindingKind::Ownerless, None, false).await;
    assert_eq!(world.reconciled().await, [""; 0]);
    world.apply(&of_ledger("business_owner: pat@example.org, "), 0).await.unwrap();
    assert_eq!(world.reconciled().await, ["raise downstream ledger"]);
    let (found, _) = world.broker.findings(&administrator(), 10).await.unwrap();
    assert_eq!(found[0].known.record.detail.to_string(), "downstream ledger names no technical owner");
    world.apply(&of_ledger(""), 0).await.unwrap();
    assert_eq!(world.reconciled().await, [""; 0], "it is told already");
    world.apply(REGISTRY, 0).await.unwrap();
    assert_eq!(world.reconciled().await, ["resolve downstream ledger"]);
}

#[tokio::test]
async fn whoever_leaves_is_told_at_once_and_not_at_the_next_full_hour() {
    let world = world(FindingKind::Ownerless, None, false).await;
    let about = |name: &str| world.broker.ledger().facts().findings().iter().any(|known| known.record.detail.to_string().contains(name));
    world.apply(&of_ledger(""), 0).await.unwrap();
    world.hear_rows(Subject::Person, "id\npat@example.org\ntea@example.org\n").await;
    let reconciling = {
        let broker = Arc::clone(&world.broker);
        tokio::spawn(async move { broker.keep_reconciling(|| panic!("a run failed")).await })
    };
    // A quarter of an hour, in short steps, since it sleeps from when it is asleep.
    let mut ends = START;
    let mut until = async |name: &str| {
        let mut changes = world.broker.ledger().watch();
        while !about(name) {
            assert!(ends < START.plus(Duration::from_secs(900)), "nothing is told of {name}");
            ends = ends.plus(Duration::from_secs(10));
            world.hand.set(ends);
            let _told = tokio::time::timeout(Duration::from_millis(100), changes.changed()).await;
        }
    };
    until("downstream ledger names neither").await;
    world.hear_rows(Subject::Person, "id,active\npat@example.org,true\ntea@example.org,false\n").await;
    until("tea@example.org, who answers for payments, is here no longer").await;
    reconciling.abort();
}

#[tokio::test]
async fn whom_a_client_has_sent_is_everybody_also_after_a_start_if_the_configuration_says_so() {
    for (is_complete, told) in [(false, &[][..]), (true, &["raise acme", "raise payments"][..])] {
        let source = Declared { kind: SourceKind::Scim, is_complete, ..declared(false) };
        let world = world_of(FindingKind::Ownerless, source).await;
        assert_eq!(world.reconciled().await, [""; 0], "nobody was sent yet");
        // As it stands in the ledger when the broker starts.
        let person = Person { id: "pat@example.org".parse().unwrap(), active: true };
        let origin = Some(Origin { source: name(), record: "7".parse().unwrap() });
        let event = Event::PersonRecorded(Recording { number: None, origin, record: person });
        world.broker.change(None, |_| Ok((vec![event], ()))).await.unwrap();
        assert_eq!(world.reconciled().await, told, "tea@example.org was not sent");
    }
}
