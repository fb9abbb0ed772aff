//! What verifiers see of a rotation: before, while the next key waits, after, and when they missed it.

use super::api::keys_server::Keys;
use super::*;
use crate::formats::checkpoint::Checkpoint;
use crate::formats::jwk::Ed25519;
use crate::model::{KeyPurpose, Position};
use crate::verify::{KeySet, ListRejected, Moment, Presented, Rejected, Settings as Checks, Verifier};

const HOUR: Duration = Duration::from_secs(3600);
const WORKLOAD: &str = "spiffe://example.org/acme/sync";

/// A broker whose keys are looked after, and a service that follows it.
struct World {
    api: Api,
    hand: ManualClock,
    now: Timestamp,
}

/// A request of somebody whose certificate lives for as long as the test.
fn of<T>(id: &str, message: T) -> Request<T> {
    let caller = Caller {
        spiffe_id: id.parse().expect("an ID"),
        fingerprint: [1; 32],
        expires_at: START.plus(HOUR * 10_000),
        issued_here: None,
        address: None,
    };
    let trust = crate::grpc::Trust::new("example.org".parse().expect("a domain"), &[], crate::grpc::TrustBundles::default());
    let trust = Arc::new(trust.expect("nobody"));
    let mut request = Request::new(message);
    request.extensions_mut().insert(Peer::new(caller, Vec::new(), Arc::clone(&trust), trust.generation()));
    request
}

impl World {
    async fn new() -> Self {
        let (api, hand) = with_hand().await;
        api.apply_registry(document()).await;
        let world = Self { api, hand, now: START };
        world.tend().await;
        world
    }

    async fn at(&mut self, hours: u32) {
        self.now = START.plus(HOUR * hours);
        self.hand.set(self.now);
        self.tend().await;
    }

    async fn tend(&self) {
        self.api.0.broker.tend_keys().await.expect("tended");
        self.api.0.publisher.publish().expect("published");
    }

    fn moment(&self) -> Moment {
        Moment { wall: self.now, steady: self.now.since(START) }
    }

    async fn token(&self) -> String {
        let ask = api::IssueTokenRequest {
            environment: "production".to_owned(),
            audience: "https://ledger.example.org".to_owned(),
            ..Default::default()
        };
        self.api.issue_token(of(WORKLOAD, ask)).await.expect("issued").into_inner().token
    }

    async fn certificate(&self) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().expect("a key");
        let csr = rcgen::CertificateParams::default().serialize_request(&key).expect("signed").der().to_vec();
        let ttl = Some(prost_types::Duration { seconds: 86_400, nanos: 0 });
        let ask = api::IssueCertificateRequest { csr, environment: "production".to_owned(), ttl, ..Default::default() };
        self.api.issue_certificate(of(WORKLOAD, ask)).await.expect("issued").into_inner().chain.remove(0)
    }

    fn keys(&self) -> KeySet {
        KeySet::from_json(&self.api.0.publisher.keys().expect("open").to_json().expect("written")).expect("usable")
    }

    fn list(&self) -> String {
        self.api.0.publisher.publish().expect("published").jws.clone()
    }

    /// A service with the keys of now.
    fn service(&self) -> Verifier {
        Verifier::new(Checks::new("https://ledger.example.org".parse().expect("an audience")), self.keys())
    }

    fn accepts(&self, service: &Verifier, token: &str) -> Result<(), Rejected> {
        service.token(token, Presented::Certificate([1; 32]), self.moment()).map(drop)
    }

    fn sequence(&self) -> u64 {
        self.api.0.publisher.numbered_keys().expect("open").0
    }

    async fn rotate(&self, purpose: &str, now: bool) -> api::KeysRotateResponse {
        self.api.rotate(of(ADMINISTRATOR, api::KeysRotateRequest { purpose: purpose.to_owned(), now })).await.expect("rotated").into_inner()
    }

    async fn states(&self, purpose: &str) -> Vec<api::KeyState> {
        let listed = Keys::list(&self.api, of(ADMINISTRATOR, api::KeysListRequest {})).await.expect("listed").into_inner();
        listed.keys.iter().filter(|key| key.purpose == purpose).map(api::Key::state).collect()
    }
}

#[tokio::test]
async fn who_fetched_the_keys_while_the_next_was_announced_notices_nothing() {
    let mut world = World::new().await;
    let (before, first) = (world.service(), world.sequence());
    world.at(90).await;
    let (service, announced) = (world.service(), world.sequence());
    assert!(announced > first);
    world.at(99).await;
    let (old, certificate) = (world.token().await, world.certificate().await);
    assert_eq!(service.apply(&world.list(), world.moment()).map(drop), Ok(()));
    assert_eq!(world.accepts(&service, &old), Ok(()));

    world.at(100).await;
    let (new, issued) = (world.token().await, world.certificate().await);
    let signed = |token: &str| crate::formats::jws::parse(token, 10_000).expect("a JWS").kid;
    assert_ne!(signed(&old), signed(&new));
    assert!(world.sequence() > announced);
    assert_eq!(service.apply(&world.list(), world.moment()).map(drop), Ok(()), "by the next list key");
    for certificate in [&certificate, &issued] {
        service.certificate(certificate, world.moment()).expect("either issuer");
    }
    assert_eq!(world.accepts(&service, &new), Ok(()));

    // Who looks no more hears what to do.
    assert_eq!(before.apply(&world.list(), world.moment()).map(drop), Err(ListRejected::Key));
    before.replace_keys(world.keys());
    assert_eq!(before.apply(&world.list(), world.moment()).map(drop), Ok(()));
    let retired = world.sequence();
    world.at(126).await;
    assert!(world.sequence() > retired, "what has ended has left");
    let ended = world.api.0.publisher.keys().expect("open").keys;
    let of = |purpose| ended.iter().filter(|(_, key)| key.purpose == purpose).count();
    assert_eq!([KeyPurpose::Token, KeyPurpose::Issuer, KeyPurpose::List, KeyPurpose::Checkpoint].map(of), [1, 1, 1, 2]);
}

#[tokio::test]
async fn who_missed_the_change_rejects_by_name_until_the_keys_are_fetched_again() {
    let world = World::new().await;
    let service = world.service();
    let list = world.list();
    world.rotate("token", true).await;
    let token = world.token().await;
    assert_eq!(service.apply(&list, world.moment()).map(drop), Ok(()));
    assert_eq!(world.accepts(&service, &token), Err(Rejected::KeyUnknown));
    service.replace_keys(world.keys());
    assert_eq!(world.accepts(&service, &token), Ok(()));
}

#[tokio::test]
async fn a_revoked_key_ends_what_it_signed_at_any_position() {
    let world = World::new().await;
    let (service, token) = (world.service(), world.token().await);
    let announced = world.rotate("token", false).await;
    service.replace_keys(world.keys());
    assert_eq!(service.apply(&world.list(), world.moment()).map(drop), Ok(()));
    assert_eq!(world.accepts(&service, &token), Ok(()));
    let listed = Keys::list(&world.api, of(ADMINISTRATOR, api::KeysListRequest {})).await.expect("listed").into_inner();
    let signing = listed.keys.iter().find(|key| key.purpose == "token" && key.state() == api::KeyState::Signing).expect("one signs");
    let reason = api::RevocationReason::KeyCompromise.into();
    let ask = || of(ADMINISTRATOR, api::KeysRevokeRequest { number: signing.number, reason, note: "stolen".to_owned() });
    let revoked = Keys::revoke(&world.api, ask()).await.expect("revoked").into_inner();
    assert_eq!(revoked.signing, announced.next, "the one that was announced takes over");
    assert_eq!(service.apply(&world.list(), world.moment()).map(drop), Ok(()));
    let rejected = world.accepts(&service, &token).expect_err("dead");
    assert!(matches!(rejected, Rejected::KeyRevoked { position, .. } if position == Position::new(revoked.position)), "{rejected}");
    assert_eq!(world.accepts(&service, &world.token().await), Ok(()));
    assert_eq!(world.states("token").await, [api::KeyState::Revoked, api::KeyState::Signing]);
    assert!(Keys::revoke(&world.api, ask()).await.expect("again").into_inner().repeated);
    let stranger = Keys::revoke(&world.api, of(WORKLOAD, api::KeysRevokeRequest { number: announced.next, reason, note: "x".to_owned() }));
    assert_eq!(refusal(stranger.await).1, "POLICY_DENIED");
}

#[tokio::test]
async fn a_checkpoint_is_checked_by_the_key_of_its_time() {
    let world = World::new().await;
    let origin = "example.org/curfew";
    let keys = || {
        let keys = world.api.0.publisher.keys().expect("open").keys.into_iter();
        let checkpoints = keys.filter(|(_, key)| key.purpose == KeyPurpose::Checkpoint);
        checkpoints.map(|(_, key)| Ed25519::from_spki(&key.material).expect("Ed25519")).collect::<Vec<_>>()
    };
    let old = world.api.0.publisher.checkpoint().expect("signed");
    world.rotate("checkpoint", true).await;
    let new = world.api.0.publisher.checkpoint().expect("signed");
    let [first, next] = *keys() else { panic!("both are published") };
    assert!(Checkpoint::decode(&old, origin, &first).is_ok() && Checkpoint::decode(&new, origin, &next).is_ok());
    assert!(Checkpoint::decode(&new, origin, &first).is_err());
}
