//! Programs that embed Curfew, tested against the broker of `curfew::testing`.

use std::time::Duration;

use curfew::client::{Client, Failure, api};
use curfew::testing::Broker;
use curfew::verify::{KeySet, Presented, Settings, Verifier};

use crate::harness::{AUDIENCE, REGISTRY};

async fn token(client: &Client) -> Result<api::IssueTokenResponse, Failure> {
    crate::holder::token(client, "production", 0).await
}

#[tokio::test]
async fn a_service_sees_a_revocation_an_expiry_and_a_list_that_is_too_old() {
    let broker = Broker::start(REGISTRY).await.unwrap();
    let workload = broker.identity("/payments/api").unwrap();
    let presented = Presented::Certificate(workload.fingerprint);
    let client = Client::connect(workload.config).await.unwrap();
    let issued = token(&client).await.unwrap().token;

    let service = Verifier::new(Settings::new(AUDIENCE.parse().unwrap()), KeySet::from_json(&broker.keys().unwrap()).unwrap());
    let check = |broker: &Broker| service.token(&issued, presented, broker.moment()).map(|_| ()).map_err(|rejected| rejected.code());
    let fetch = |broker: &Broker| service.apply(&broker.list().unwrap(), broker.moment()).unwrap();
    assert_eq!(check(&broker), Err("NO_LIST"));
    fetch(&broker);
    assert_eq!(check(&broker), Ok(()));
    broker.advance(Duration::from_secs(31));
    assert_eq!(check(&broker), Err("LIST_STALE"));
    fetch(&broker);
    assert_eq!(check(&broker), Ok(()));
    broker.advance(Duration::from_secs(300));
    fetch(&broker);
    assert_eq!(check(&broker), Err("EXPIRED"));

    let issued = token(&client).await.unwrap().token;
    let administrator = Client::connect(broker.administrator().unwrap().config).await.unwrap();
    let revoke = api::RevokeByOwnerRequest {
        owner: "payments".to_owned(),
        reason: api::RevocationReason::CessationOfOperation.into(),
        ..Default::default()
    };
    administrator.owners().revoke_by_owner(revoke).await.unwrap();
    fetch(&broker);
    let rejected = service.token(&issued, presented, broker.moment()).unwrap_err();
    assert_eq!(rejected.code(), "REVOKED");
    assert_eq!(token(&client).await.unwrap_err().reason.as_deref(), Some("OWNER_NOT_ACTIVE"));
}

#[tokio::test]
async fn a_registry_that_is_not_good_is_said_to_be_so() {
    let problem = Broker::start("owners: [{id: Payments}]").await.unwrap_err().to_string();
    assert!(problem.contains("registry:1"), "{problem}");
}
