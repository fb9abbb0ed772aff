//! Suspending a downstream, and opening it again.

use super::*;
use crate::model::Standing;

/// A second service in production, which answers to an audience of its own and to that of `ledger`.
const REPORTS: &str = "  - {name: reports, accepts: [tokens], audiences: [https://reports.example.org, https://ledger.example.org], environments: [production], \
     verifier_kind: follower}\n";

fn downstream_named(name: &str) -> Target {
    Target::Downstream(name.parse().unwrap())
}

fn suspended() -> Withdrawal {
    Withdrawal { suspend: true, ..withdrawal() }
}

impl World {
    async fn suspend(&self, name: &str) -> crate::broker::Revoked {
        self.broker.revoke(&administrator(), downstream_named(name), suspended()).await.unwrap()
    }

    async fn open_again(&self, name: &str) -> Option<Position> {
        let note = "it is repaired".parse().ok();
        self.broker.reinstate(&administrator(), downstream_named(name), note).await.unwrap().position
    }

    async fn token_for(&self, audience: &str) -> Result<Issuance, Error> {
        let ask = TokenRequest { audience: audience.parse().unwrap(), ..Self::ask("production", None) };
        self.broker.issue_token(&caller("/payments/api"), ask).await.map(|(_, issuance)| issuance)
    }
}

#[tokio::test]
async fn what_was_issued_for_it_is_dead_and_nothing_more_is_issued_for_it_until_it_is_reinstated() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let here = world.token(&api).await.unwrap();
    let there = world.token_in(&api, "staging", None).await.unwrap();
    let (certificate, certified) = world.certificate(&api, "production", None).await.unwrap();
    let cut = world.suspend("ledger").await;
    assert_eq!((cut.ended.total, cut.standing, cut.repeated), (2, Some(Standing::Suspended), false));
    assert!(world.is_dead(&here).await && world.is_dead(&there).await && !world.is_dead(&certificate).await);
    let refused = world.token(&api).await.unwrap_err().to_string();
    let why = format!("downstream ledger is closed to issuing since position {}", cut.position.unwrap());
    assert!(refused.contains(&why), "{refused}");
    for outcome in [world.token(&certified).await, world.token_in(&api, "staging", None).await] {
        assert_eq!(denied(outcome), DenialCode::DownstreamNotActive);
    }
    world.certificate(&api, "production", None).await.expect("certificates are for every downstream of their environment");
    let again = world.suspend("ledger").await;
    assert_eq!((again.position, again.repeated), (cut.position, true));

    // It is what the registry says of it that changes then, and not where it stands.
    world
        .apply(
            &REGISTRY.replace(
                "environments: [production, staging], verifier_kind: follower",
                "environments: [production, staging], verifier_kind: none",
            ),
            0,
        )
        .await
        .unwrap();
    assert_eq!(denied(world.token(&api).await), DenialCode::DownstreamNotActive);
    let closed = world.broker.export_registry(&administrator()).await.unwrap().closed;
    let closed: Vec<_> = closed.iter().map(|record| (record.subject, record.name.as_str(), record.standing)).collect();
    assert_eq!(closed, [("downstream", "ledger", Standing::Suspended)]);

    assert!(world.open_again("ledger").await.is_some());
    let anew = world.token(&api).await.expect("it is open again");
    assert!(!world.is_dead(&anew).await && world.is_dead(&here).await && world.is_dead(&there).await);
    assert_eq!(world.open_again("ledger").await, None, "it was open");
}

#[tokio::test]
async fn of_an_audience_that_several_accept_nothing_is_issued_while_one_of_them_is_suspended() {
    let world = World::new().await;
    world.apply(&format!("{REGISTRY}{REPORTS}"), 0).await.unwrap();
    let both = world.token_for("https://ledger.example.org").await.unwrap();
    let one = world.token_for("https://reports.example.org").await.unwrap();
    world.suspend("ledger").await;
    assert!(world.is_dead(&both).await && !world.is_dead(&one).await);
    // The one that is suspended would accept it as well.
    assert_eq!(denied(world.token_for("https://ledger.example.org").await), DenialCode::DownstreamNotActive);
    world.token_for("https://reports.example.org").await.expect("it is for nobody else");
    world.open_again("ledger").await.unwrap();
    world.token_for("https://ledger.example.org").await.expect("all are open");
}

#[tokio::test]
async fn no_exception_lifts_a_suspension() {
    let world = exceptions::strict_within(QUOTAS).await;
    world.excepted(exceptions::asked(3600)).await;
    world.token(&caller("/payments/api")).await.expect("excepted");
    world.suspend("ledger").await;
    assert_eq!(denied(world.token(&caller("/payments/api")).await), DenialCode::DownstreamNotActive);
}

#[tokio::test]
async fn it_is_counted_limited_and_allowed_as_any_other_revocation() {
    let world = World::new().await;
    for _ in 0..2 {
        world.token(&caller("/payments/api")).await.unwrap();
    }
    let ask = |dry_run, max_affected| Withdrawal { limits: Limits { dry_run, max_affected }, ..suspended() };
    let suspend = async |caller: &Caller, ask| world.broker.revoke(caller, downstream_named("ledger"), ask).await;
    let dry = suspend(&administrator(), ask(true, None)).await.unwrap();
    assert_eq!((dry.position, dry.ended.total, dry.standing), (None, 2, Some(Standing::Active)));
    assert_eq!(denied(suspend(&administrator(), ask(false, Some(1))).await), DenialCode::MaxAffectedExceeded);
    let api = caller("/payments/api");
    assert_eq!(denied(suspend(&api, suspended()).await), DenialCode::PolicyDenied);
    world.token(&api).await.expect("nothing was changed");
    world.suspend("ledger").await;
    let note = "please".parse().ok();
    assert_eq!(denied(world.broker.reinstate(&api, downstream_named("ledger"), note).await), DenialCode::PolicyDenied);
    let unnamed = world.broker.revoke(&administrator(), downstream_named("ledgers"), suspended()).await;
    assert!(matches!(unnamed, Err(Error::NotFound { kind: "downstream", .. })), "{unnamed:?}");
}

#[tokio::test]
async fn it_stays_suspended_over_a_start_also_when_it_was_recorded_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let world = World::kept(file.clone()).await;
    let before = world.token(&caller("/payments/api")).await.unwrap();
    world.suspend("ledger").await;
    world.apply(&REGISTRY.replace("verifier_kind: follower}\n  - {name: mesh", "verifier_kind: none}\n  - {name: mesh"), 0).await.unwrap();
    let facts = crate::model::Facts::clone(&world.broker.ledger().facts());
    drop(world);
    let options = Options::new("example.org".parse().unwrap(), Epoch([7; 16]));
    let ledger = SqliteLedger::open(&Place::File(file), options, Clock::manual(START).0).unwrap();
    assert_eq!(*ledger.facts(), facts);
    let known = facts.downstream(&"ledger".parse().unwrap()).unwrap();
    assert_eq!(known.standing(START), Standing::Suspended);
    assert!(facts.cuts().get(known.number).is_some_and(|cut| cut.covers(before.position)));
}

#[tokio::test]
async fn one_that_is_named_again_after_it_was_gone_is_a_new_one() {
    let world = World::new().await;
    world.suspend("ledger").await;
    let (without, _) = REGISTRY.split_once("  - {name: ledger").unwrap();
    world
        .apply(&format!("{without}  - {{name: mesh, accepts: [certificates], environments: [production], verifier_kind: follower}}\n"), 1)
        .await
        .unwrap();
    assert_eq!(denied(world.token(&caller("/payments/api")).await), DenialCode::AudienceUnknown);
    world.apply(REGISTRY, 0).await.unwrap();
    world.token(&caller("/payments/api")).await.expect("it is open");
}
