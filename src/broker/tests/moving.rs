//! A workload that goes to another owner leaves everything behind, and waits for that owner unless policy lets it go there.

use super::*;
use crate::broker::Said;
use crate::directory::{Names, Snapshot, yaml};
use crate::model::{Event, SpiffeId, Standing};

/// A workload that the source `assets` records.
pub(super) const JOB: &str = "/assets/job";

/// A policy that lets the source move workloads to teams, and one team's deployer accept for it.
const LETS: &str = r#"
    permit (principal is Curfew::Administrator, action, resource);
    permit (principal is Curfew::Workload, action == Curfew::Action::"IssueToken", resource);
    permit (principal == Curfew::Source::"assets", action == Curfew::Action::"MoveWorkload", resource is Curfew::Owner)
    when { resource.kind == Curfew::OwnerKind::"team" };
    permit (principal is Curfew::Workload, action == Curfew::Action::"AcceptWorkload", resource is Curfew::Owner)
    when { resource == principal.owner };
"#;

impl World {
    /// The source says whose the job is; another digest each time.
    pub(super) async fn assets_say(&self, owner: &str) {
        let text = format!(
            "workloads:\n  - {{spiffe_id: spiffe://example.org{JOB}, owner: {owner}, purpose: a job, environments: [production]}}\n"
        );
        let names = Names::of_others(&self.broker.ledger().facts(), Some(&"assets".parse().unwrap()));
        let (snapshot, problems): (Snapshot, _) = yaml::sift(&[("all.yaml".into(), text)], &names, &mut yaml::Parsed::default()).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&self.head().get().to_be_bytes());
        let said = Said { digest, snapshot, wrong: 0, problems: Vec::new() };
        self.broker.hear_source(&"assets".parse().unwrap(), Ok(said)).await.unwrap();
    }

    pub(super) async fn accept(&self, caller: &Caller, owner: Option<&str>) -> Result<Option<Position>, Error> {
        let owner = owner.map(|owner| owner.parse().unwrap());
        self.broker.accept_workload(caller, job(), owner, None).await.map(|(position, _)| position)
    }

    async fn policy(&self, text: &str) {
        self.broker.apply_policy(&administrator(), vec![("all.cedar".parse().unwrap(), text.to_owned())]).await.unwrap();
    }

    fn standing_of_job(&self) -> Standing {
        self.broker.ledger().facts().workload(&job()).unwrap().standing(START)
    }
}

fn job() -> SpiffeId {
    caller(JOB).spiffe_id
}

#[tokio::test]
async fn what_was_issued_under_the_old_owner_is_dead_and_nothing_is_issued_until_the_new_one_accepts() {
    let world = World::new().await;
    world.assets_say("payments").await;
    let before = world.token(&caller(JOB)).await.unwrap();
    world.assets_say("acme").await;
    assert!(world.is_dead(&before).await);
    assert_eq!(denied(world.token(&caller(JOB)).await), DenialCode::WorkloadAwaitsOwner);
    assert_eq!(world.standing_of_job(), Standing::AwaitsOwner);
    world.assets_say("acme").await;
    assert_eq!(world.standing_of_job(), Standing::AwaitsOwner, "to say it again is no acceptance");

    for nobody in [caller(JOB), caller("/payments/api"), caller("/acme/sync")] {
        let refused = denied(world.accept(&nobody, None).await);
        let own = nobody.spiffe_id == job();
        assert_eq!(refused, if own { DenialCode::WorkloadAwaitsOwner } else { DenialCode::PolicyDenied }, "{}", nobody.spiffe_id);
    }
    let accepted = world.accept(&administrator(), Some("acme")).await.unwrap();
    assert!(accepted.is_some());
    assert_eq!(world.accept(&administrator(), None).await.unwrap(), None, "once");
    let after = world.token(&caller(JOB)).await.unwrap();
    assert!(world.is_dead(&before).await && !world.is_dead(&after).await);
    world.assets_say("acme").await;
    assert!(!world.is_dead(&after).await, "what is accepted is not closed by hearing it again");

    let entry = world.broker.ledger().find(accepted.unwrap()).await.unwrap().unwrap().entry.unwrap();
    assert_eq!(entry.actor, Some(administrator().spiffe_id));
    assert!(matches!(entry.event, Event::WorkloadAccepted { .. }));
}

#[tokio::test]
async fn policy_decides_who_moves_it_where_and_who_accepts_it() {
    let world = World::new().await;
    world.policy(LETS).await;
    world.assets_say("acme").await;
    world.assets_say("payments").await;
    world.token(&caller(JOB)).await.expect("the source may give it to a team");
    world.assets_say("acme").await;
    assert_eq!(denied(world.token(&caller(JOB)).await), DenialCode::WorkloadAwaitsOwner, "and not to a vendor");
    assert_eq!(denied(world.accept(&caller("/payments/api"), None).await), DenialCode::PolicyDenied, "another owner's");
    world.accept(&caller("/acme/sync"), None).await.unwrap().expect("the vendor's own");
    world.token(&caller(JOB)).await.unwrap();
}

#[tokio::test]
async fn by_the_default_policies_an_administrator_moves_it_at_once() {
    let world = World::new().await;
    let token = world.token(&caller("/payments/batch")).await.unwrap();
    let moved = REGISTRY.replace("/payments/batch, owner: payments", "/payments/batch, owner: acme");
    assert_ne!(moved, REGISTRY);
    assert_eq!(denied(world.apply(&moved, 0).await), DenialCode::EndNotAllowed, "what was issued to it ends");
    world.apply(&moved, 1).await.unwrap();
    assert!(world.is_dead(&token).await);
    world.token(&caller("/payments/batch")).await.unwrap();
    let forbids = r#"permit (principal, action, resource);
        forbid (principal, action == Curfew::Action::"MoveWorkload", resource == Curfew::Owner::"payments");"#;
    world.policy(forbids).await;
    world.apply(REGISTRY, 1).await.unwrap();
    assert_eq!(denied(world.token(&caller("/payments/batch")).await), DenialCode::WorkloadAwaitsOwner);
}

#[tokio::test]
async fn suspending_and_waiting_are_apart() {
    let world = World::new().await;
    world.assets_say("payments").await;
    let target = || Target::Workload(job());
    let note = || "looked at".parse().ok();
    world.broker.revoke(&administrator(), target(), Withdrawal { suspend: true, ..withdrawal() }).await.unwrap();
    world.assets_say("acme").await;
    world.accept(&administrator(), None).await.unwrap().expect("accepted");
    assert_eq!(world.standing_of_job(), Standing::Suspended, "accepting lifts no suspension");
    world.assets_say("payments").await;
    world.broker.reinstate(&administrator(), target(), note()).await.unwrap();
    assert_eq!(denied(world.token(&caller(JOB)).await), DenialCode::WorkloadAwaitsOwner, "reinstating accepts nothing");
    assert_eq!(denied(world.broker.reinstate(&administrator(), target(), note()).await), DenialCode::WorkloadAwaitsOwner);
    world.accept(&administrator(), None).await.unwrap().expect("accepted");
    world.token(&caller(JOB)).await.unwrap();
}

#[tokio::test]
async fn nobody_accepts_for_another_owner_than_was_meant() {
    let world = World::new().await;
    world.assets_say("payments").await;
    world.assets_say("acme").await;
    let refused = world.accept(&administrator(), Some("payments")).await;
    assert!(matches!(&refused, Err(Error::Invalid(invalid)) if invalid.field == "owner"), "{refused:?}");
    assert_eq!(world.standing_of_job(), Standing::AwaitsOwner);
    let unknown = world.broker.accept_workload(&administrator(), caller("/nobody").spiffe_id, None, None).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })), "{unknown:?}");
}

#[tokio::test]
async fn a_certificate_of_before_obtains_nothing_under_the_new_owner() {
    let world = World::new().await;
    world.assets_say("payments").await;
    let (_, held) = world.certificate(&caller(JOB), "production", None).await.unwrap();
    world.assets_say("acme").await;
    world.accept(&administrator(), None).await.unwrap();
    assert_eq!(denied(world.token(&held).await), DenialCode::CertificateRevoked);
}
