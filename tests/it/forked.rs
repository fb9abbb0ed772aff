//! A follower in face of a fork: a broker of the test's own, over a real socket, that first serves true lists and then
//! others, signed by the same list key.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use curfew::ambient::{Ambient, Clock, Entropy, ManualClock};
use curfew::client::api::revocations_server::{Revocations, RevocationsServer};
use curfew::client::api::trust_server::{Trust, TrustServer};
use curfew::client::{Config, Follower, Following, api};
use curfew::formats::binding::Binding;
use curfew::formats::claims::{TokenClaims, TokenKind};
use curfew::formats::jwk::P256;
use curfew::formats::keyset::Keys;
use curfew::formats::list::List;
use curfew::model::{CredentialId, Cut, Epoch, KeyPurpose, Position, PublicKey, Reason, Subjects};
use curfew::verify::{Presented, Rejected, Settings};
use futures_util::{Stream, StreamExt as _};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::follower::SOON;
use crate::harness::{AUDIENCE, eventually};

const ISSUER: &str = "https://broker.example";

/// A key with its name.
struct Key {
    pair: EcdsaKeyPair,
    public: P256,
}

impl Key {
    fn new() -> Self {
        let entropy = Entropy::system();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, entropy.generator()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), entropy.generator()).unwrap();
        let point = pair.public_key().as_ref();
        let public = P256::from_coordinates(&point[1..33], &point[33..]).unwrap();
        Self { pair, public }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ring::error::Unspecified> {
        Ok(self.pair.sign(Entropy::system().generator(), message)?.as_ref().to_vec())
    }

    fn entry(&self, purpose: KeyPurpose, number: u64) -> (Position, PublicKey) {
        let (kid, material) = (self.public.thumbprint(), self.public.to_spki());
        (Position::new(number), PublicKey { purpose, kid, material, not_after: None, signs_from: None })
    }
}

type Lists = Pin<Box<dyn Stream<Item = Result<api::WatchResponse, Status>> + Send>>;

/// What is served: keys, and whatever list was put in force last.
struct Served {
    keys: String,
    list: watch::Receiver<String>,
    /// The position that each stream began from.
    begun: mpsc::UnboundedSender<u64>,
    /// What is confirmed.
    confirmed: mpsc::UnboundedSender<api::AcknowledgeRequest>,
}

struct Door(Arc<Served>);

#[tonic::async_trait]
impl Trust for Door {
    async fn get_bundle(&self, _: Request<api::GetBundleRequest>) -> Result<Response<api::GetBundleResponse>, Status> {
        Ok(Response::new(api::GetBundleResponse { keys: self.0.keys.clone(), ..Default::default() }))
    }

    async fn who_am_i(&self, _: Request<api::WhoAmIRequest>) -> Result<Response<api::WhoAmIResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

#[tonic::async_trait]
impl Revocations for Door {
    type WatchStream = Lists;
    type FollowEnforcementStream = Pin<Box<dyn Stream<Item = Result<api::FollowEnforcementResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<api::WatchRequest>) -> Result<Response<Lists>, Status> {
        self.0.begun.send(request.into_inner().since).unwrap();
        let first = self.0.list.clone();
        let lists = futures_util::stream::unfold((first, true), |(mut list, is_first)| async move {
            if !is_first {
                list.changed().await.ok()?;
            }
            let signed = list.borrow_and_update().clone();
            Some((Ok(api::WatchResponse { list: signed }), (list, false)))
        });
        Ok(Response::new(lists.boxed()))
    }

    async fn acknowledge(&self, request: Request<api::AcknowledgeRequest>) -> Result<Response<api::AcknowledgeResponse>, Status> {
        self.0.confirmed.send(request.into_inner()).unwrap();
        Ok(Response::new(api::AcknowledgeResponse::default()))
    }

    async fn get_list(&self, _: Request<api::GetListRequest>) -> Result<Response<api::GetListResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn revoke(&self, _: Request<api::RevokeRequest>) -> Result<Response<api::RevokeResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn reinstate(&self, _: Request<api::RevocationsReinstateRequest>) -> Result<Response<api::RevocationsReinstateResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn list_followers(&self, _: Request<api::ListFollowersRequest>) -> Result<Response<api::ListFollowersResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn follow_enforcement(
        &self,
        _: Request<api::FollowEnforcementRequest>,
    ) -> Result<Response<Self::FollowEnforcementStream>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

/// The broker, and the follower of a service before it.
struct World {
    token_key: Key,
    list_key: Key,
    list: watch::Sender<String>,
    begun: mpsc::UnboundedReceiver<u64>,
    confirmed: mpsc::UnboundedReceiver<api::AcknowledgeRequest>,
    clock: Clock,
    hand: ManualClock,
    follower: Follower,
}

impl World {
    /// One whose follower has applied the true list at position 1000, which knows of one cut.
    async fn new() -> Self {
        let (token_key, list_key) = (Key::new(), Key::new());
        let (clock, hand) = Clock::manual(Clock::system().now().floor_to_second());
        let keys = Keys {
            trust_domain: "example.org".parse().unwrap(),
            issuer: ISSUER.to_owned(),
            keys: vec![token_key.entry(KeyPurpose::Token, 2), list_key.entry(KeyPurpose::List, 4)],
        };
        let (list, lists) = watch::channel(signed(&list_key, &true_list(&clock, 1000)));
        let ((begin, begun), (confirm, confirmed)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let config = serve(Arc::new(Served { keys: keys.to_json().unwrap(), list: lists, begun: begin, confirmed: confirm })).await;
        let following = Following {
            settings: Settings::new(AUDIENCE.parse().unwrap()),
            instance: "ledger-1".parse().unwrap(),
            ambient: Ambient { clock: clock.clone(), entropy: Entropy::system() },
        };
        let follower = Follower::start(move || Ok(config.clone()), following).await.unwrap();
        Self { token_key, list_key, list, begun, confirmed, clock, hand, follower }
    }

    fn serve(&self, list: &List) {
        self.list.send_replace(signed(&self.list_key, list));
    }

    /// What becomes of the token of this owner, from position 500.
    fn token(&self, owner: u64) -> Result<(), Rejected> {
        let (position, number) = (Position::new(500), Position::new);
        let subjects = Subjects { owner: number(owner), workload: number(11), environment: number(12), task: None, lineage: None };
        let claims = TokenClaims {
            kind: TokenKind::AccessToken,
            issuer: ISSUER.to_owned(),
            subject: "spiffe://example.org/payments/api".parse().unwrap(),
            audience: AUDIENCE.parse().unwrap(),
            issued_at: self.clock.now(),
            expires_at: self.clock.now().plus(Duration::from_secs(300)),
            id: CredentialId::new(position, [9; 8]),
            scopes: Vec::new(),
            confirmation: Some([7; 32]),
            status: None,
            binding: Binding { environment: "production".parse().unwrap(), position, subjects, further: Vec::new() },
        };
        let token = claims.encode(&self.token_key.public.thumbprint(), |message| self.token_key.sign(message)).unwrap();
        self.follower.token(&token, Presented::Certificate([7; 32])).map(|_| ())
    }
}

fn signed(key: &Key, list: &List) -> String {
    list.encode(&key.public.thumbprint(), |message| key.sign(message)).unwrap()
}

/// The whole list at a position, as of now: the owner 10 was cut at 900.
fn true_list(clock: &Clock, position: u64) -> List {
    List {
        issuer: ISSUER.to_owned(),
        issued_at: clock.now(),
        expires_at: clock.now().plus(Duration::from_secs(30)),
        epoch: Epoch([1; 16]),
        position: Position::new(position),
        root: [u8::try_from(position % 251).unwrap(); 32],
        since: None,
        cuts: vec![cut(clock, 10, 900)],
    }
}

fn cut(clock: &Clock, number: u64, position: u64) -> Cut {
    let (number, position) = (Position::new(number), Position::new(position));
    Cut { number, position, ends: clock.now().plus(Duration::from_secs(3600)), reason: Reason::CessationOfOperation }
}

/// Serves over TLS; how a client reaches it.
async fn serve(served: Arc<Served>) -> Config {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(&certificate, &key));
    let mut server = Server::builder().tls_config(tls).unwrap();
    let server = server.add_service(TrustServer::new(Door(Arc::clone(&served)))).add_service(RevocationsServer::new(Door(served)));
    let accepted =
        futures_util::stream::unfold(listener, |listener| async { Some((listener.accept().await.map(|(stream, _)| stream), listener)) });
    tokio::spawn(server.serve_with_incoming(accepted));
    // Who calls is of no matter here.
    Config::new(address, certificate.clone().into_bytes(), certificate.into_bytes(), key.into_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_keeps_a_fork_apart_says_so_and_ends_with_rejecting_everything() {
    type Twist = fn(List, &Clock) -> List;
    let contradictions: [(&str, Twist); 3] = [
        ("another root at the same position", |list, _| List { root: [9; 32], ..list }),
        ("it is of another epoch", |list, _| List { epoch: Epoch([2; 16]), position: Position::new(2000), ..list }),
        ("a cut has vanished", |list, clock| List { position: Position::new(2000), cuts: vec![cut(clock, 20, 1500)], ..list }),
    ];
    for (why, twist) in contradictions {
        let mut world = World::new().await;
        assert_eq!((world.begun.recv().await, world.confirmed.recv().await.map(|said| said.position)), (Some(0), Some(1000)));
        assert!(world.token(10).is_err_and(|rejected| rejected.code() == "REVOKED") && world.token(20).is_ok(), "{why}");

        // What it adds is believed: a cut, if it has one, is in force. Nothing that it lacks comes alive.
        world.hand.advance(Duration::from_secs(2));
        let forked = twist(
            List { cuts: vec![cut(&world.clock, 10, 900), cut(&world.clock, 20, 950)], ..true_list(&world.clock, 1000) },
            &world.clock,
        );
        world.serve(&forked);
        let health = eventually(SOON, || Some(world.follower.health()).filter(|health| health.forked));
        assert_eq!((health.position, health.age), (Some(Position::new(1000)), Some(Duration::from_secs(2))), "{why}: nothing advances");
        assert!(health.failure.as_ref().is_some_and(|told| told.contains(why)), "{why}: {health:?}");
        for owner in [10, 20] {
            assert!(world.token(owner).is_err_and(|rejected| rejected.code() == "REVOKED"), "{why}: {owner}");
        }
        assert!(world.token(30).is_ok(), "{why}: what neither speaks of, as long as the last true list is fresh");

        // True lists come again, and fresh: too late, until somebody has looked.
        world.serve(&true_list(&world.clock, 3000));
        let health = eventually(SOON, || {
            Some(world.follower.health()).filter(|health| health.failure.as_ref().is_some_and(|told| told.contains("an earlier list did")))
        });
        assert!(health.forked && health.position == Some(Position::new(1000)), "{why}: {health:?}");
        world.hand.advance(Duration::from_secs(29));
        assert_eq!(world.token(30).map_err(|rejected| rejected.code()), Err("LIST_STALE"), "{why}");
        assert!(world.confirmed.try_recv().is_err(), "{why}: of a fork nothing is confirmed");
    }
}
