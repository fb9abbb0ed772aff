//! Services behind the layer: of axum, as the layer sees requests, and of tonic, over mutual TLS.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use curfew::client::{Client, Config, Guard, PeerCertificate, Verified};
use futures_util::StreamExt as _;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt as _;

use crate::follower::{SOON, World, covers};
use crate::harness::eventually;
use crate::holder::{self, Holder};
use crate::wire::Wire;

struct Service {
    world: World,
    follower: Arc<curfew::client::Follower>,
    router: Router,
}

async fn greet(Extension(caller): Extension<Verified>) -> String {
    format!("{} {}", caller.subject(), caller.has_scope("entries:read"))
}

/// A stream without end.
async fn endless() -> Body {
    let first = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"first"))]);
    Body::from_stream(first.chain(futures_util::stream::pending()))
}

async fn never() -> String {
    std::future::pending().await
}

impl Service {
    async fn new(guard: impl FnOnce(Guard) -> Guard) -> Self {
        let world = World::new().await;
        let config = world.verifier();
        Self::of(world, config, guard).await
    }

    async fn of(world: World, config: Config, guard: impl FnOnce(Guard) -> Guard) -> Self {
        let follower = Arc::new(world.follow(config).await.unwrap());
        let router = Router::new().route("/", get(greet)).route("/endless", get(endless)).route("/never", get(never));
        let router = router.layer(guard(Guard::new(Arc::clone(&follower))));
        Self { world, follower, router }
    }

    async fn ask(&self, path: &str, token: Option<&str>, leaf: Option<&[u8]>) -> Response<Body> {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let mut request = request.body(Body::empty()).unwrap();
        if let Some(leaf) = leaf {
            request.extensions_mut().insert(PeerCertificate(leaf.into()));
        }
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Status and text.
    async fn answer(&self, token: Option<&str>, leaf: Option<&[u8]>) -> (StatusCode, String) {
        let (parts, body) = self.ask("/", token, leaf).await.into_parts();
        (parts.status, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
    }

    /// A certificate of the broker's own, and its holder as a client.
    async fn certified(&self) -> (Holder, Config) {
        let client = Client::connect(self.world.workload.config.clone()).await.unwrap();
        let (_, holder) = holder::certificate(&client, "production", 0).await.unwrap();
        let config = holder.over(&self.world.workload.config);
        (holder, config)
    }
}

/// The leaf of an identity from outside.
fn leaf(config: &Config) -> Vec<u8> {
    use rustls_pki_types::pem::PemObject as _;
    rustls_pki_types::CertificateDer::from_pem_slice(&config.certificate).unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_gets_through_over_the_connection_that_it_is_bound_to_and_over_no_other() {
    let service = Service::new(|guard| guard).await;
    let token = service.world.token().await;
    let own = leaf(&service.world.workload.config);
    let other = leaf(&service.world.verifier());
    assert_eq!(service.answer(Some(&token), Some(&own)).await, (StatusCode::OK, "spiffe://example.org/payments/api false".to_owned()));
    for (token, leaf, code) in [
        (Some(token.as_str()), Some(other.as_slice()), "CERTIFICATE_MISMATCH"),
        (Some(token.as_str()), None, "CERTIFICATE_MISSING"),
        (Some("a.b.c"), Some(own.as_slice()), "MALFORMED"),
        // Of an authority that is not the broker's: it proves who calls the broker, and opens nothing here.
        (None, Some(own.as_slice()), "KEY_UNKNOWN"),
        (None, None, "present a token"),
    ] {
        let (status, told) = service.answer(token, leaf).await;
        assert!(status == StatusCode::UNAUTHORIZED && told.starts_with(code), "{status} {told}");
    }
    let doubled = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}")).header(header::AUTHORIZATION, "Bearer x");
    let answer = service.router.clone().oneshot(doubled.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(
        (answer.status(), answer.headers()[header::WWW_AUTHENTICATE].to_str().unwrap()),
        (StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\"")
    );

    let cut = service.world.revoke().await;
    covers(&service.follower, cut).await;
    let (status, told) = service.answer(Some(&token), Some(&own)).await;
    assert!(status == StatusCode::UNAUTHORIZED && told.starts_with("REVOKED"), "{status} {told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_gets_through_where_certificates_are_taken() {
    let service = Service::new(|guard| guard).await;
    let (holder, _) = service.certified().await;
    assert_eq!(service.answer(None, Some(&holder.leaf)).await.0, StatusCode::OK);
    let tokens = Service::new(Guard::tokens_only).await;
    let (holder, _) = tokens.certified().await;
    assert_eq!(tokens.answer(None, Some(&holder.leaf)).await.0, StatusCode::UNAUTHORIZED);
    let certificates = Service::new(Guard::certificates_only).await;
    let token = certificates.world.token().await;
    assert_eq!(certificates.answer(Some(&token), None).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_ends_with_its_credential() {
    let service = Arc::new(Service::new(|guard| guard).await);
    let token = service.world.token().await;
    let own = leaf(&service.world.workload.config);
    let mut stream = service.ask("/endless", Some(&token), Some(&own)).await.into_body();
    assert_eq!(stream.frame().await.unwrap().unwrap().into_data().unwrap(), Bytes::from_static(b"first"));
    let waiting = tokio::spawn({
        let (service, token, own) = (Arc::clone(&service), token.clone(), own.clone());
        async move { service.ask("/never", Some(&token), Some(&own)).await.status() }
    });
    let ended = tokio::spawn(async move { stream.frame().await });
    service.world.revoke().await;
    assert_eq!(waiting.await.unwrap(), StatusCode::UNAUTHORIZED);
    let error = ended.await.unwrap().unwrap().unwrap_err();
    assert!(format!("{error:?}").contains("Revoked"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_cannot_see_says_so_and_lets_nobody_through() {
    let world = World::new().await;
    let mut config = world.verifier();
    let wire = Wire::to(config.addresses[0].clone()).await;
    config.addresses = vec![wire.address.to_string()];
    let service = Service::of(world, config, |guard| guard).await;
    let token = service.world.token().await;
    let own = leaf(&service.world.workload.config);
    assert_eq!(service.answer(Some(&token), Some(&own)).await.0, StatusCode::OK);
    wire.cut();
    eventually(SOON, || service.follower.health().failure);
    service.world.broker.advance(Duration::from_secs(31));
    let (status, told) = service.answer(Some(&token), Some(&own)).await;
    assert!(status == StatusCode::SERVICE_UNAVAILABLE && told.starts_with("LIST_STALE"), "{status} {told}");
}

/// A service of tonic over mutual TLS, in which the layer finds the certificate by itself: where it is, and what it is
/// trusted by.
async fn tonic_service(service: &Service) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(&certificate, &key))
        .client_ca_root(Certificate::from_pem(&service.world.workload.config.ca));
    let (_, health) = tonic_health::server::health_reporter();
    let server = Server::builder().tls_config(tls).unwrap().layer(Guard::new(Arc::clone(&service.follower))).add_service(health);
    let accepted =
        futures_util::stream::unfold(listener, |listener| async { Some((listener.accept().await.map(|(stream, _)| stream), listener)) });
    tokio::spawn(server.serve_with_incoming(accepted));
    (format!("https://127.0.0.1:{}", address.port()), certificate)
}

async fn connect((url, ca): &(String, String), caller: &Config) -> Channel {
    let tls =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).identity(Identity::from_pem(&caller.certificate, &caller.key));
    Endpoint::from_shared(url.clone()).unwrap().tls_config(tls).unwrap().connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_grpc_ends_with_a_status_when_the_certificate_of_its_connection_dies() {
    let service = Service::new(|guard| guard).await;
    let server = tonic_service(&service).await;
    let (_, caller) = service.certified().await;
    let mut health = HealthClient::new(connect(&server, &caller).await);
    let mut stream = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();

    // A token that is bound to that certificate gets through as well.
    let token = holder::token(&Client::connect(caller.clone()).await.unwrap(), "production", 0).await.unwrap().token;
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    health.check(request).await.unwrap();

    let cut = service.world.revoke().await;
    let status = stream.message().await.unwrap_err();
    assert!(status.code() == Code::Unauthenticated && status.message().starts_with("REVOKED"), "{status:?}");
    covers(&service.follower, cut).await;
    let status = health.check(HealthCheckRequest::default()).await.unwrap_err();
    assert!(status.code() == Code::Unauthenticated && status.message().starts_with("REVOKED"), "{status:?}");
}
