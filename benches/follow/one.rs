//! One follower, and one credential after the other that is revoked.

use std::time::{Duration, Instant};

use curfew::ambient::Ambient;
use curfew::client::{Client, Follower, Following, api};
use curfew::verify::{Presented, Settings};
use ring::digest;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::harness::{AUDIENCE, Broker, Identity};

/// How long after the return of each call the follower rejected the credential; nothing if it did before.
pub(crate) async fn measure(broker: &Broker, revocations: usize) -> Vec<Duration> {
    let workload = broker.identity("payments/api");
    let (client, administrator) = (broker.client(&workload).await, broker.client(&broker.administrator()).await);
    let (follower, presented) = (follower(broker).await, presented(&workload));
    let mut times = Vec::new();
    for _ in 0..revocations {
        let (token, id) = issue(&client).await;
        assert!(follower.token(&token, presented).is_ok(), "it is alive");
        let returned = async {
            revoke(&administrator, id).await;
            Instant::now()
        };
        let (returned, rejected) = tokio::join!(returned, rejected(&follower, &token, presented));
        times.push(rejected.saturating_duration_since(returned));
    }
    times
}

/// When it rejects a token.
pub(crate) async fn rejected(follower: &Follower, token: &str, presented: Presented) -> Instant {
    let mut lists = follower.lists();
    while follower.token(token, presented).is_ok() {
        lists.changed().await.expect("it follows");
    }
    Instant::now()
}

/// A service that follows, on a stream.
pub(crate) async fn follower(broker: &Broker) -> Follower {
    let config = broker.client_config(&broker.identity("ledger/verifier"));
    let following = Following {
        settings: Settings::new(AUDIENCE.parse().expect("an audience")),
        instance: "bench".parse().expect("a name"),
        ambient: Ambient::system(),
    };
    Follower::start(move || Ok(config.clone()), following).await.expect("a follower")
}

/// With what a workload comes to it.
pub(crate) fn presented(workload: &Identity) -> Presented {
    let leaf = CertificateDer::from_pem_file(&workload.certificate).expect("a certificate");
    let fingerprint = digest::digest(&digest::SHA256, &leaf);
    Presented::Certificate(fingerprint.as_ref().try_into().expect("32 bytes"))
}

/// A token and its id.
pub(crate) async fn issue(client: &Client) -> (String, String) {
    let ask = api::IssueTokenRequest { environment: "production".to_owned(), audience: AUDIENCE.to_owned(), ..Default::default() };
    let issued = client.credentials().issue_token(ask).await.expect("issued").into_inner();
    (issued.token, issued.issuance.expect("an issuance").credential_id)
}

/// Revokes one credential; its position.
pub(crate) async fn revoke(administrator: &Client, id: String) -> u64 {
    let subject = Some(api::revoke_request::Subject::CredentialId(id));
    let ask = api::RevokeRequest { subject, reason: api::RevocationReason::Superseded.into(), ..Default::default() };
    administrator.revocations().revoke(ask).await.expect("revoked").into_inner().position
}
