//! Issuing at full speed over many connections while the owner is revoked: a verifier with the
//! published list rejects everything from before, and there is nothing from after.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use curfew::ambient::Clock;
use curfew::client::{Client, api};
use curfew::model::CredentialId;
use curfew::verify::{KeySet, Moment, Presented, Rejected, Settings, Verifier};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::harness::{AUDIENCE, Broker, Identity, eventually};

const ROUNDS: usize = 8;
const CONNECTIONS: usize = 4;
const CALLERS: usize = 4;

/// Asks for tokens until it is refused, and notes each that it got.
async fn call(client: Client, received: Arc<Mutex<Vec<String>>>) {
    let ask = api::IssueTokenRequest { environment: "production".to_owned(), audience: AUDIENCE.to_owned(), ..Default::default() };
    while let Ok(answer) = client.credentials().issue_token(ask.clone()).await {
        received.lock().unwrap().push(answer.into_inner().token);
    }
}

/// What a service that accepts tokens knows, as of now.
async fn verifier(client: &Client) -> (Verifier, Moment) {
    let bundle = client.trust().get_bundle(api::GetBundleRequest {}).await.unwrap().into_inner();
    let list = client.revocations().get_list(api::GetListRequest::default()).await.unwrap().into_inner().list;
    let verifier = Verifier::new(Settings::new(AUDIENCE.parse().unwrap()), KeySet::from_json(&bundle.keys).unwrap());
    let moment = Moment { wall: Clock::system().now(), steady: Duration::ZERO };
    verifier.apply(&list, moment).unwrap();
    (verifier, moment)
}

fn presented(identity: &Identity) -> Presented {
    let leaf = CertificateDer::from_pem_slice(&fs::read(&identity.certificate).unwrap()).unwrap();
    Presented::Certificate(ring::digest::digest(&ring::digest::SHA256, &leaf).as_ref().try_into().unwrap())
}

/// The position in a token's id.
fn position(token: &str) -> u64 {
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims["jti"].as_str().unwrap().parse::<CredentialId>().unwrap().position().get()
}

#[test]
fn nothing_of_an_owner_survives_a_revocation_in_the_middle_of_issuing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let broker = Broker::start();
    let (workload, other) = (broker.identity("payments/api"), broker.identity("acme/reporting"));
    let administrator = runtime.block_on(broker.client(&broker.administrator()));
    for round in 1..=ROUNDS {
        let received = Arc::new(Mutex::new(Vec::new()));
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| runtime.block_on(broker.client(&workload))).collect();
        let callers = clients.iter().flat_map(|client| std::iter::repeat_n(client, CALLERS));
        let callers: Vec<_> = callers.map(|client| runtime.spawn(call(client.clone(), Arc::clone(&received)))).collect();
        eventually(Duration::from_secs(30), || (received.lock().unwrap().len() >= 13 * round).then_some(()));
        let ask = api::RevokeByOwnerRequest {
            owner: "payments".to_owned(),
            reason: api::RevocationReason::CessationOfOperation.into(),
            ..Default::default()
        };
        let cut = runtime.block_on(administrator.owners().revoke_by_owner(ask)).unwrap().into_inner().position;
        for caller in callers {
            runtime.block_on(caller).unwrap();
        }
        // The list is published beside the call; it covers the cut as soon as it says so.
        let (verifier, moment) = eventually(Duration::from_secs(10), || {
            let (verifier, moment) = runtime.block_on(verifier(&administrator));
            (verifier.position().unwrap().get() >= cut).then_some((verifier, moment))
        });
        for token in received.lock().unwrap().iter() {
            assert!(position(token) < cut, "round {round}: issued above the cut");
            let checked = verifier.token(token, presented(&workload), moment);
            assert!(matches!(checked, Err(Rejected::Revoked { .. })), "round {round}: {checked:?}");
        }
        let living = Arc::new(Mutex::new(Vec::new()));
        let client = runtime.block_on(broker.client(&other));
        let caller = runtime.spawn(call(client, Arc::clone(&living)));
        eventually(Duration::from_secs(10), || (!living.lock().unwrap().is_empty()).then_some(()));
        caller.abort();
        let token = living.lock().unwrap()[0].clone();
        let moment = Moment { wall: Clock::system().now(), ..moment };
        verifier.token(&token, presented(&other), moment).expect("the other owner's are accepted");
        let note = api::OwnersReinstateRequest { owner: "payments".to_owned(), note: "next round".to_owned() };
        runtime.block_on(administrator.owners().reinstate(note)).unwrap();
    }
}
