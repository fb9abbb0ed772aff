//! Reading is authorised, and an administrator's reads are entries, coalesced.

use std::time::Duration;

use super::{REGISTRY, START, World, administrator, caller, denied, withdrawal};
use crate::broker::whoami::WhoAmI;
use crate::broker::{Error, Issuance, Limits, Opening, TokenRequest, Wanted};
use crate::model::{CredentialId, CredentialKind, DenialCode, Event, Position};
use crate::policy::Action;

async fn reads(world: &World) -> usize {
    let entries = world.broker.ledger().entries(Position::new(1), 1000).await.unwrap();
    entries.iter().filter(|stored| matches!(stored.entry.as_ref().unwrap().event, Event::AdministrativeRead { .. })).count()
}

#[tokio::test]
async fn the_first_read_of_five_minutes_is_recorded_and_stands_for_the_others() {
    let world = World::new().await;
    let before = reads(&world).await;
    for _ in 0..3 {
        world.broker.owner(&administrator(), &"payments".parse().unwrap()).await.unwrap();
    }
    assert_eq!(reads(&world).await, before + 1);
    world.broker.owner(&administrator(), &"acme".parse().unwrap()).await.unwrap();
    assert_eq!(reads(&world).await, before + 2, "another subject is another read");
    world.hand.set(START.plus(Duration::from_secs(300)));
    world.broker.owner(&administrator(), &"payments".parse().unwrap()).await.unwrap();
    assert_eq!(reads(&world).await, before + 3);
}

#[tokio::test]
async fn a_workload_reads_its_own_credentials_and_nobody_elses() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let token = world.token(&api).await.unwrap();
    let story = world.broker.credential(&api, token.id).await.unwrap().story;
    assert_eq!((story.owner.as_str(), story.workload.as_str()), ("payments", "spiffe://example.org/payments/api"));
    assert_eq!(denied(world.broker.credential(&caller("/acme/sync"), token.id).await), DenialCode::PolicyDenied);
    assert_eq!(denied(world.broker.ledger_rows(&api, Position::new(1), 10).await), DenialCode::PolicyDenied);
}

#[tokio::test]
async fn following_needs_an_identity_and_not_a_standing() {
    let world = World::new().await;
    world.revoke_owner("payments").await.unwrap();
    world.broker.may_follow(&caller("/payments/api")).await.expect("a closed owner's workload may follow");
    assert_eq!(denied(world.broker.may_follow(&caller("/nobody")).await), DenialCode::IdentityUnknown);
}

#[tokio::test]
async fn a_caller_learns_who_it_is_and_what_policy_allows() {
    let world = World::new().await;
    let me = world.broker.who_am_i(&caller("/payments/batch")).unwrap();
    assert_eq!(me.role, "workload");
    assert_eq!(me.workload.as_ref().map(|(owner, ..)| owner.as_str()), Some("payments"));
    assert!(me.allowed.iter().any(|allowance| allowance.resource == "https://ledger.example.org" && allowance.outcome.is_ok()));
    assert!(me.allowed.iter().filter_map(|allowance| allowance.environment.as_ref()).all(|name| name.as_str() == "production"));
    assert_eq!(
        calls(&me),
        [
            "OpenTask tasks of workload spiffe://example.org/payments/batch, spiffe://example.org/payments/api",
            "CloseTask tasks of workload spiffe://example.org/payments/batch, spiffe://example.org/payments/api",
            "ReadTask owner payments",
            "ReadTask tasks of workload spiffe://example.org/payments/batch, spiffe://example.org/payments/api",
            "ReadCredential credentials of workload spiffe://example.org/payments/batch",
            "RevokeCredential credentials of workload spiffe://example.org/payments/batch",
            "ReadList the broker",
            "ExplainPolicy workload spiffe://example.org/payments/batch",
            "RequestException workload spiffe://example.org/payments/batch",
            "ReadException workload spiffe://example.org/payments/batch",
        ]
    );
    world.revoke_owner("payments").await.unwrap();
    let closed = world.broker.who_am_i(&caller("/payments/batch")).unwrap();
    assert_eq!(calls(&closed), ["ReadList the broker"]);
    assert!(closed.allowed.iter().all(|allowance| allowance.action == Action::ReadList || allowance.outcome.is_err()));
}

#[tokio::test]
async fn an_administrator_learns_each_call_that_policy_allows_and_a_stranger_none() {
    let world = World::new().await;
    let me = world.broker.who_am_i(&administrator()).unwrap();
    assert_eq!(me.role, "administrator");
    let allowed = calls(&me);
    for action in Action::ALL.iter().copied().filter(|action| !action.issues()) {
        assert!(allowed.iter().any(|call| call.starts_with(&format!("{action} "))), "{action} is missing in {allowed:?}");
    }
    assert!(allowed.contains(&"RevokeOwner every owner".to_owned()) && allowed.contains(&"ApplyRegistry the broker".to_owned()));
    assert!(!allowed.iter().any(|call| call.starts_with("Issue")), "nothing is issued to an administrator");

    let files = [("a.cedar", "permit (principal is Curfew::Administrator, action, resource);"), ("b.cedar", PARTLY)];
    let files = files.map(|(name, text)| (name.parse().unwrap(), text.to_owned())).to_vec();
    world.broker.apply_policy(&administrator(), files).await.unwrap();
    let allowed = calls(&world.broker.who_am_i(&administrator()).unwrap());
    assert!(allowed.contains(&"RevokeOwner owner acme".to_owned()), "{allowed:?}");
    assert!(!allowed.iter().any(|call| call.starts_with("ApplyPolicy")), "{allowed:?}");

    let stranger = world.broker.who_am_i(&caller("/nobody")).unwrap();
    assert_eq!((stranger.role, calls(&stranger)), ("unknown", Vec::new()));
}

/// What takes something from an administrator.
const PARTLY: &str = r#"
forbid (principal, action == Curfew::Action::"RevokeOwner", resource == Curfew::Owner::"payments");
forbid (principal, action == Curfew::Action::"ApplyPolicy", resource);
"#;

/// The calls that are allowed, apart from issuing.
fn calls(me: &WhoAmI) -> Vec<String> {
    let calls = me.allowed.iter().filter(|allowance| !allowance.action.issues() && allowance.outcome.is_ok());
    calls.map(|allowance| format!("{} {}", allowance.action, allowance.resource)).collect()
}

/// The positions of the credentials that are found, page after page.
async fn found(world: &World, wanted: &Wanted, page: usize) -> Vec<u64> {
    let (mut positions, mut before) = (Vec::new(), None);
    loop {
        let (stories, next) = world.broker.credentials(&administrator(), wanted.clone(), before, page).await.unwrap();
        assert!(stories.len() <= page);
        positions.extend(stories.iter().map(|story| story.id.position().get()));
        match next {
            None => return positions,
            next => before = next,
        }
        // What is issued meanwhile shifts nothing.
        world.token(&caller("/payments/batch")).await.unwrap();
    }
}

#[tokio::test]
async fn credentials_are_listed_by_what_they_stand_on_the_newest_first() {
    let world = World::new().await;
    let (api, acme) = (caller("/payments/api"), caller("/acme/sync"));
    let one = world.token(&api).await.unwrap();
    let (certificate, with_certificate) = world.certificate(&api, "production", None).await.unwrap();
    let through = world.token(&with_certificate).await.unwrap();
    let other = world.token(&acme).await.unwrap();
    let staging = world.token_in(&api, "staging", None).await.unwrap();
    let positions = |issuances: &[&Issuance]| issuances.iter().map(|issuance| issuance.position.get()).collect::<Vec<_>>();
    let payments = Wanted { workload: "spiffe://example.org/payments/api".parse().ok(), ..Wanted::default() };
    for page in [1, 2, 100] {
        assert_eq!(found(&world, &payments, page).await, positions(&[&staging, &through, &certificate, &one]));
    }
    let cases = [
        (Wanted { owner: "acme".parse().ok(), ..Wanted::default() }, positions(&[&other])),
        (Wanted { environment: "staging".parse().ok(), ..Wanted::default() }, positions(&[&staging])),
        (Wanted { kind: Some(CredentialKind::Certificate), ..Wanted::default() }, positions(&[&certificate])),
        (Wanted { through: Some(certificate.id), ..Wanted::default() }, positions(&[&through])),
        (Wanted { kind: Some(CredentialKind::JwtSvid), ..Wanted::default() }, Vec::new()),
        (Wanted { task: Some(Position::new(1)), ..Wanted::default() }, Vec::new()),
        (Wanted { audience: "https://nobody.example.org".parse().ok(), ..Wanted::default() }, Vec::new()),
    ];
    for (wanted, expected) in cases {
        assert_eq!(found(&world, &wanted, 100).await, expected, "{wanted:?}");
    }
    let live = Wanted { live: true, ..payments.clone() };
    world.broker.revoke_credential(&administrator(), certificate.id, withdrawal().reason, None, Limits::default()).await.unwrap();
    assert_eq!(found(&world, &live, 100).await, positions(&[&staging, &one]), "cut");
    world.hand.set(one.expires_at);
    assert_eq!(found(&world, &live, 100).await, Vec::<u64>::new(), "expired");
    assert_eq!(found(&world, &payments, 100).await.len(), 4, "and listed still");
}

#[tokio::test]
async fn credentials_are_listed_by_their_task_audience_and_kind() {
    let world = World::new().await;
    let orders = "  - {name: orders, technical_owner: pat@example.org, accepts: [tokens], audiences: [https://orders.example.org], \
                  environments: [production], verifier_kind: follower}\n";
    world.apply(&format!("{REGISTRY}{orders}"), 0).await.unwrap();
    let api = caller("/payments/api");
    let issue = async |ask| world.broker.issue_token(&api, ask).await.unwrap().1.position.get();
    let opening = |purpose: &str| Opening {
        owner: None,
        environment: "production".parse().unwrap(),
        workload: None,
        deadline: START.plus(Duration::from_secs(600)),
        purpose: purpose.parse().unwrap(),
    };
    let task = world.broker.open_task(&api, opening("a job")).await.unwrap().number;
    let other_task = world.broker.open_task(&api, opening("another")).await.unwrap().number;
    let plain = issue(World::ask("production", None)).await;
    let first = issue(World::ask("production", Some(task))).await;
    let svid = issue(TokenRequest { kind: CredentialKind::JwtSvid, ..World::ask("production", Some(other_task)) }).await;
    let for_orders = TokenRequest { audience: "https://orders.example.org".parse().unwrap(), ..World::ask("production", Some(task)) };
    let for_orders = issue(for_orders).await;
    let certificate = world.certificate(&api, "production", Some(task)).await.unwrap().0.position.get();
    let of_task = |task| Wanted { task: Some(task), ..Wanted::default() };
    let of_kind = |kind| Wanted { kind: Some(kind), workload: api.spiffe_id.to_string().parse().ok(), ..Wanted::default() };
    let for_audience = |audience: &str| Wanted { audience: audience.parse().ok(), ..Wanted::default() };
    for (wanted, expected) in [
        (of_task(task), vec![certificate, for_orders, first]),
        (of_task(other_task), vec![svid]),
        (for_audience("https://orders.example.org"), vec![for_orders]),
        (for_audience("https://ledger.example.org"), vec![svid, first, plain]),
        (of_kind(CredentialKind::JwtSvid), vec![svid]),
        (of_kind(CredentialKind::AccessToken), vec![for_orders, first, plain]),
        (Wanted { task: Some(task), ..for_audience("https://ledger.example.org") }, vec![first]),
        (Wanted { task: Some(task), ..of_kind(CredentialKind::JwtSvid) }, vec![]),
    ] {
        assert_eq!(found(&world, &wanted, 100).await, expected, "{wanted:?}");
    }
}

#[tokio::test]
async fn a_list_is_for_those_whom_policy_allows_and_of_what_exists() {
    let world = World::new().await;
    let wanted = Wanted { owner: "payments".parse().ok(), ..Wanted::default() };
    let list = async |caller, wanted| world.broker.credentials(&caller, wanted, None, 10).await;
    assert_eq!(denied(list(caller("/payments/api"), wanted).await), DenialCode::PolicyDenied);
    assert_eq!(denied(list(caller("/payments/api"), Wanted::default()).await), DenialCode::PolicyDenied);
    for unknown in [
        Wanted { owner: "nobody".parse().ok(), ..Wanted::default() },
        Wanted { workload: "spiffe://example.org/nobody".parse().ok(), ..Wanted::default() },
        Wanted { environment: "nowhere".parse().ok(), ..Wanted::default() },
    ] {
        assert!(matches!(list(administrator(), unknown).await, Err(Error::NotFound { .. })));
    }
}

#[tokio::test]
async fn a_stranger_is_told_the_same_of_what_there_is_and_of_what_there_is_not() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let token = world.token(&api).await.unwrap();
    let stranger = caller("/nobody");
    let of_another = CredentialId::new(token.position, [0; 8]);
    for id in [token.id, of_another] {
        assert_eq!(denied(world.broker.credential(&stranger, id).await), DenialCode::IdentityUnknown);
        let revoked = world.broker.revoke_credential(&stranger, id, withdrawal().reason, None, Limits::default()).await;
        assert_eq!(denied(revoked), DenialCode::IdentityUnknown);
    }
    let opening = Opening {
        owner: None,
        environment: "production".parse().unwrap(),
        workload: None,
        deadline: START.plus(Duration::from_secs(60)),
        purpose: "a job".parse().unwrap(),
    };
    let task = world.broker.open_task(&api, opening).await.unwrap().number;
    world.broker.close_task(&api, task, None).await.unwrap();
    world.hand.set(START.plus(Duration::from_secs(100_000)));
    world.revoke_owner("acme").await.unwrap();
    assert!(world.broker.ledger().facts().task(task).is_none(), "it was closed long ago");
    for number in [task, Position::new(1_000)] {
        assert_eq!(denied(world.broker.close_task(&stranger, number, None).await), DenialCode::IdentityUnknown);
    }
}
