//! The offboarding report: what it says of each stage, and that a ledger bears it out to the letter.

use std::time::Duration;

use super::following::LEDGER;
use super::{START, World, administrator, caller, denied, owner_named, withdrawal};
use crate::broker::Withdrawal;
use crate::formats::report::{Report, Verdict};
use crate::ledger::Offline;
use crate::model::{DenialCode, Timestamp};

impl World {
    async fn report(&self) -> Report {
        self.broker.report(&administrator(), &"payments".parse().unwrap()).await.unwrap()
    }

    /// A followed broker with a token and a certificate of payments, a minute after its start.
    async fn busy(self) -> Self {
        self.apply(&super::following::FOLLOWED, 10).await.unwrap();
        self.pass(60);
        let list = self.publish();
        self.hand(LEDGER, "a", list);
        self.token(&caller("/payments/api")).await.unwrap();
        self.token_in(&caller("/payments/api"), "staging", None).await.unwrap();
        self.token(&caller("/acme/sync")).await.unwrap();
        self
    }

    async fn ended(&self) {
        let ask = Withdrawal { note: "the contract ended".parse().ok(), ..withdrawal() };
        self.broker.revoke(&administrator(), owner_named("payments"), ask).await.unwrap();
        self.broker.follow_cuts().await.unwrap();
        self.publish();
    }
}

fn at(second: u64) -> Timestamp {
    START.plus(Duration::from_secs(second))
}

#[tokio::test]
async fn it_says_what_existed_who_ended_it_and_what_it_waits_for() {
    let world = World::new().await.busy().await;
    let before = world.report().await;
    assert_eq!((before.verdict, &before.revocation), (Verdict::NotRevoked, &None));
    assert_eq!(before.issued.before.iter().map(|count| count.count).sum::<u64>(), 2, "of this owner alone");
    world.ended().await;
    let waiting = world.report().await;
    assert_eq!((waiting.verdict, waiting.why.as_str()), (Verdict::Waiting, "it waits for ledger"));
    let revocation = waiting.revocation.clone().unwrap();
    assert_eq!(revocation.requested_by.as_deref(), Some("spiffe://example.org/admin"));
    assert_eq!((revocation.note.as_deref(), revocation.reason.as_str()), (Some("the contract ended"), "cessation-of-operation"));
    let ended: Vec<_> = revocation.ended.iter().map(|count| (count.kind.as_str(), count.environment.as_str(), count.count)).collect();
    assert_eq!(ended, [("access-token", "production", 1), ("access-token", "staging", 1)]);
    assert_eq!(waiting.last_moment.as_ref().map(|last| (last.at.clone(), last.downstream.as_str())), Some((at(120).to_string(), "ledger")));
    assert_eq!(waiting.downstreams[0].waiting_for, ["a"]);
    assert_eq!(waiting.contradiction(), None);
}

#[tokio::test]
async fn it_says_where_it_was_confirmed_by_the_entry_that_says_so() {
    let world = World::new().await.busy().await;
    world.ended().await;
    world.confirm(LEDGER, "a").await.unwrap();
    let report = world.report().await;
    assert_eq!(report.verdict, Verdict::Enforced, "{}", report.why);
    let confirmed = report.downstreams[0].confirmed.clone().unwrap();
    assert_eq!((Some(confirmed.position), confirmed.processes), (report.revocation.as_ref().map(|cut| cut.position), 1));
    let entry = report.downstreams[0].entry.unwrap();
    assert!(report.entries.contains(&entry) && report.entries.is_sorted(), "{:?}", report.entries);
    assert_eq!((report.issued.after, report.contradiction()), (0, None));
}

#[tokio::test]
async fn what_was_revoked_of_the_owner_before_is_not_forgotten() {
    let world = World::new().await.busy().await;
    let token = world.token(&caller("/payments/batch")).await.unwrap();
    let limits = crate::broker::Limits::default();
    world.broker.revoke_credential(&administrator(), token.id, withdrawal().reason, None, limits).await.unwrap();
    world.ended().await;
    world.confirm(LEDGER, "a").await.unwrap();
    world.broker.followers.forget();
    let report = world.report().await;
    assert_eq!(report.verdict, Verdict::Waiting);
    assert!(report.others[0].subject.starts_with("access-token at "), "{:?}", report.others);
}

#[tokio::test]
async fn it_is_for_those_who_may_look_at_the_owner() {
    let world = World::new().await;
    let outcome = world.broker.signed_report(&caller("/acme/sync"), &"payments".parse().unwrap()).await;
    assert_eq!(denied(outcome), DenialCode::PolicyDenied);
}

/// A change to a report that makes it untrue, and what it is.
type Lie = (&'static str, fn(&mut Report));

const LIES: [Lie; 16] = [
    ("root", |report| report.root = "00".repeat(32)),
    ("epoch", |report| report.epoch = "00".repeat(16)),
    ("position", |report| report.pos += 1000),
    ("owner", |report| report.owner.id = "acme".to_owned()),
    ("more issued", |report| report.issued.before[0].count += 1),
    ("fewer issued", |report| drop(report.issued.before.pop())),
    ("first", |report| report.issued.first = report.issued.last),
    ("after", |report| report.issued.after = 1),
    ("reason", |report| revocation(report).reason = "superseded".to_owned()),
    ("note", |report| revocation(report).note = None),
    ("who", |report| revocation(report).requested_by = Some("spiffe://example.org/other".to_owned())),
    ("when", |report| revocation(report).committed_at = "2020-01-01T00:00:00Z".to_owned()),
    ("less ended", |report| drop(revocation(report).ended.pop())),
    ("a downstream is left out", |report| report.downstreams.clear()),
    ("more processes", |report| report.downstreams[0].confirmed.as_mut().unwrap().processes = 10),
    ("another entry", |report| report.downstreams[0].entry = Some(report.owner.number)),
];

fn revocation(report: &mut Report) -> &mut crate::formats::report::Revocation {
    report.revocation.as_mut().unwrap()
}

#[tokio::test]
async fn a_ledger_bears_out_what_is_true_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let world = World::kept(file.clone()).await.busy().await;
    world.ended().await;
    world.confirm(LEDGER, "a").await.unwrap();
    let report = world.report().await;
    // What comes after the report changes nothing of it.
    world.token(&caller("/acme/sync")).await.unwrap();
    world.broker.ledger().close().await;
    drop(world);
    let offline = Offline::open(&file).unwrap();
    let told = |report: &Report| offline.hears(report, |_| ()).unwrap().differences;
    assert_eq!(told(&report), [""; 0]);
    for (what, lie) in LIES {
        let mut untrue = report.clone();
        lie(&mut untrue);
        assert_ne!(told(&untrue), [""; 0], "{what}");
    }
}
