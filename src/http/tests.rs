//! Both routers over an in-memory ledger.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{Admin, admin, lists, public};
use crate::ambient::{Clock, Entropy, ManualClock};
use crate::broker::{Broker, Followers};
use crate::formats::jws;
use crate::formats::status_list::{MAX_STATUS_LIST, StatusListToken};
use crate::formats::urls::Urls;
use crate::keys::Material;
use crate::ledger::{Ledger, Options, Place, SqliteLedger};
use crate::lists::{self as dead, Lifetimes, Lists};
use crate::model::{Epoch, KeyPurpose, Timestamp, TrustDomain, Windows};
use crate::publish::{Publisher, Settings};

struct World {
    ledger: Arc<dyn Ledger>,
    publisher: Arc<Publisher>,
    lists: Arc<Lists>,
    hand: ManualClock,
    stopping: CancellationToken,
}

impl World {
    async fn new() -> Self {
        let start = Timestamp::from_seconds(1_780_272_000);
        let (clock, hand) = Clock::manual(start);
        let domain: TrustDomain = "example.org".parse().expect("a domain");
        let options = Options::new(domain.clone(), Epoch([7; 16]));
        let ledger: Arc<dyn Ledger> = SqliteLedger::open(&Place::Memory, options, clock.clone()).expect("opened");
        let material = Material::generate(&domain, &Entropy::system(), start).expect("keys");
        let keyring = Arc::new(Broker::activate_keys(&*ledger, material).await.expect("activated"));
        let settings = Settings {
            issuer: "https://curfew.example.org".to_owned(),
            origin: "example.org/curfew".to_owned(),
            max_staleness: Duration::from_secs(30),
            heartbeat: Duration::from_secs(2),
            keys_refresh: Duration::from_secs(60),
        };
        let followers = Arc::new(Followers::new(Windows::of_lists(settings.max_staleness), clock.now()));
        let publisher = Publisher::new(Arc::clone(&ledger), Arc::clone(&keyring), settings, followers, clock.clone());
        let publisher = Arc::new(publisher);
        let urls = Urls { issuer: "https://curfew.example.org".to_owned(), crl: "http://crl.example.org".to_owned() };
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let lifetimes = Lifetimes { interval: minutes(2), crl: minutes(10), status: minutes(10), ttl: minutes(1) };
        let native = Box::new(|| None);
        let lists = Arc::new(Lists::new(dead::Parts {
            ledger: Arc::clone(&ledger),
            keyring,
            urls,
            lifetimes,
            native,
            out: Box::new(|_, _| ()),
            clock,
        }));
        lists.build().await.expect("built");
        Self { ledger, publisher, lists, hand, stopping: CancellationToken::new() }
    }

    fn public(&self) -> Router {
        public(Arc::clone(&self.publisher), Arc::clone(&self.lists), None, self.stopping.clone())
    }

    fn admin(&self) -> Router {
        let (ledger, publisher) = (Arc::clone(&self.ledger), Arc::clone(&self.publisher));
        let lists = Arc::clone(&self.lists);
        admin(Admin { ledger, publisher, lists, unreadable: 0, registry: Registry::with_prefix("curfew") })
    }
}

async fn send(router: Router, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let (parts, body) = router.oneshot(request).await.expect("answered").into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body");
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).expect("text"))
}

async fn get(router: Router, path: &str) -> (StatusCode, HeaderMap, String) {
    send(router, Request::get(path).body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn each_document_is_served_with_its_type() {
    let world = World::new().await;
    world.publisher.publish().expect("published");
    for (path, media_type, part) in [
        ("/.well-known/jwks.json", "application/json", "\"alg\":\"ES256\""),
        ("/.well-known/openid-configuration", "application/json", "\"https://curfew.example.org/.well-known/jwks.json\""),
        ("/v1/keys", "application/json", "\"purpose\":\"checkpoint\""),
        ("/v1/bundle", "application/json", "\"spiffe_sequence\":"),
        ("/v1/revocations", "application/jwt", "ey"),
        ("/v1/checkpoint", "text/plain; charset=utf-8", "example.org/curfew\n"),
    ] {
        let (status, headers, body) = get(world.public(), path).await;
        assert_eq!((status, headers[header::CONTENT_TYPE].to_str().ok()), (StatusCode::OK, Some(media_type)), "{path}");
        assert!(body.contains(part), "{path}: {body}");
    }
    let (_, _, jwks) = get(world.public(), "/.well-known/jwks.json").await;
    assert_eq!(jwks.matches("\"kid\"").count(), 1, "token keys only: {jwks}");
}

#[tokio::test]
async fn a_list_is_sent_again_only_when_it_was_signed_anew() {
    let world = World::new().await;
    assert_eq!(get(world.public(), "/v1/revocations").await.0, StatusCode::SERVICE_UNAVAILABLE, "none is published yet");
    let first = world.publisher.publish().expect("published");
    let (_, headers, body) = get(world.public(), "/v1/revocations").await;
    assert_eq!(body, first.jws);
    let again =
        || Request::get("/v1/revocations").header(header::IF_NONE_MATCH, &headers[header::ETAG]).body(Body::empty()).expect("a request");
    let (status, _, body) = send(world.public(), again()).await;
    assert_eq!((status, body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    world.hand.advance(Duration::from_secs(2));
    let second = world.publisher.publish().expect("published");
    let (status, _, body) = send(world.public(), again()).await;
    assert_eq!((status, body), (StatusCode::OK, second.jws.clone()));
}

#[tokio::test]
async fn a_delta_is_asked_for_by_position() {
    let world = World::new().await;
    let first = world.publisher.publish().expect("published");
    let (status, _, body) = get(world.public(), &format!("/v1/revocations?since={}", first.position)).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(body, first.jws, "a delta is signed by itself");
    let (status, _, body) = get(world.public(), "/v1/revocations?since=1").await;
    assert_eq!((status, body), (StatusCode::OK, first.jws.clone()), "from a point that was never published: the whole list");
}

/// A request that waits, once it does. What it is answered with at once was asked for before: a delta is signed
/// on another thread, and once.
async fn waiting(router: &Router, request: Request<Body>) -> tokio::task::JoinHandle<(StatusCode, HeaderMap, String)> {
    let mut answer = Box::pin(send(router.clone(), request));
    let waits = std::future::poll_fn(|context| std::task::Poll::Ready(answer.as_mut().poll(context).is_pending())).await;
    assert!(waits);
    tokio::spawn(answer)
}

fn wanting(query: &str, tag: Option<&HeaderValue>) -> Request<Body> {
    let request = Request::get(format!("/v1/revocations?{query}"));
    let request = tag.into_iter().fold(request, |request, tag| request.header(header::IF_NONE_MATCH, tag));
    request.body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn who_waits_is_answered_as_soon_as_there_is_something_newer_and_else_in_the_end() {
    let world = World::new().await;
    let first = world.publisher.publish().expect("published");
    let router = world.public();
    let (_, headers, _) = send(router.clone(), wanting("wait=30", None)).await;
    let tag = &headers[header::ETAG];
    send(router.clone(), wanting(&format!("since={}", first.position), None)).await;

    let held = waiting(&router, wanting("wait=30", Some(tag))).await;
    let since = waiting(&router, wanting(&format!("wait=30&since={}", first.position), None)).await;
    world.hand.advance(Duration::from_secs(2));
    let second = world.publisher.publish().expect("published");
    assert_eq!(
        (held.await.expect("answered").0, second.position),
        (StatusCode::OK, first.position),
        "a fresh list is news to who asks for that"
    );
    assert!(!since.is_finished(), "and none to who asks for what came after a position");
    world.hand.advance(Duration::from_secs(28));
    world.publisher.publish().expect("published");
    assert_eq!(since.await.expect("answered").0, StatusCode::OK, "a fresh delta in the end, since it waited for so long");

    world.hand.advance(Duration::from_secs(1));
    let (_, headers, _) = send(router.clone(), wanting("", None)).await;
    let nothing = waiting(&router, wanting("wait=5", Some(&headers[header::ETAG]))).await;
    world.hand.advance(Duration::from_secs(5));
    assert_eq!(nothing.await.expect("answered").0, StatusCode::NOT_MODIFIED);
    let stopped = waiting(&router, wanting("wait=30", Some(&headers[header::ETAG]))).await;
    world.stopping.cancel();
    assert_eq!(stopped.await.expect("answered").0, StatusCode::NOT_MODIFIED, "a broker that stops waits for nobody");
}

#[tokio::test]
async fn no_more_wait_than_may_and_the_list_is_there_all_the_same() {
    let world = World::new().await;
    let first = world.publisher.publish().expect("published");
    let router = world.public();
    let ask = || wanting(&format!("wait=30&since={}", first.position), None);
    send(router.clone(), wanting(&format!("since={}", first.position), None)).await;
    let mut held = Vec::new();
    for _ in 0..1024 {
        held.push(waiting(&router, ask()).await);
    }
    let (status, headers, body) = send(router.clone(), ask()).await;
    assert_eq!((status, headers[header::RETRY_AFTER].to_str().ok()), (StatusCode::SERVICE_UNAVAILABLE, Some("1")), "{body}");
    assert_eq!(send(router.clone(), wanting("", None)).await.0, StatusCode::OK);
    world.stopping.cancel();
    for answered in held {
        assert_eq!(answered.await.expect("answered").0, StatusCode::OK);
    }
}

#[tokio::test]
async fn errors_are_problems() {
    let world = World::new().await;
    let posted = Request::post("/v1/keys").body(Body::empty()).expect("a request");
    for (status, (found, headers, body)) in [
        (StatusCode::NOT_FOUND, get(world.public(), "/nothing").await),
        (StatusCode::NOT_FOUND, get(world.public(), "/metrics").await),
        (StatusCode::NOT_FOUND, get(world.admin(), "/v1/keys").await),
        (StatusCode::BAD_REQUEST, get(world.public(), "/v1/revocations?since=x").await),
        (StatusCode::BAD_REQUEST, get(world.public(), "/v1/revocations?wait=31").await),
        (StatusCode::METHOD_NOT_ALLOWED, send(world.public(), posted).await),
    ] {
        assert_eq!((found, headers[header::CONTENT_TYPE].to_str().ok()), (status, Some("application/problem+json")));
        assert!(body.contains(&format!("\"status\":{}", status.as_u16())), "{body}");
        assert_eq!(headers.contains_key(header::ALLOW), status == StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn it_is_ready_while_the_ledger_commits_and_a_list_is_published() {
    let world = World::new().await;
    let ready = || async { get(world.admin(), "/readyz").await.0 };
    assert_eq!(ready().await, StatusCode::SERVICE_UNAVAILABLE);
    world.publisher.publish().expect("published");
    let before = world.ledger.head().position;
    assert_eq!(ready().await, StatusCode::OK);
    assert_eq!(world.ledger.head().position, before, "asking appends nothing");
    world.ledger.close().await;
    assert_eq!(ready().await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(world.admin(), "/livez").await.0, StatusCode::OK, "it lives all the same");
}

#[tokio::test]
async fn metrics_are_openmetrics_text() {
    let (status, headers, body) = get(World::new().await.admin(), "/metrics").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "# EOF\n"));
    assert_eq!(headers[header::CONTENT_TYPE], "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

/// The bytes of an answer.
async fn bytes(router: Router, request: Request<Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
    let (parts, body) = router.oneshot(request).await.expect("answered").into_parts();
    (parts.status, parts.headers, to_bytes(body, 1 << 20).await.expect("a body").to_vec())
}

fn asking(path: &str, headers: &[(HeaderName, &str)]) -> Request<Body> {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(name, *value));
    request.body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn a_crl_is_found_under_the_number_of_its_key_on_both_listeners() {
    let world = World::new().await;
    let served = world.lists.served().expect("built");
    let issuer = world.ledger.facts().signing_keys().signing(KeyPurpose::Issuer).expect("one").number;
    let path = format!("/v1/crl/{issuer}.crl");
    for router in [world.public(), lists(Arc::clone(&world.lists))] {
        let (status, headers, body) = bytes(router.clone(), asking(&path, &[])).await;
        assert_eq!((status, headers[header::CONTENT_TYPE].to_str().ok()), (StatusCode::OK, Some("application/pkix-crl")));
        assert_eq!(headers[header::CACHE_CONTROL], "public, max-age=60");
        assert_eq!(Some(body.as_slice()), served.crl(issuer).map(|crl| &*crl.body.bytes));
        let tag = headers[header::ETAG].to_str().expect("text");
        assert_eq!(bytes(router.clone(), asking(&path, &[(header::IF_NONE_MATCH, tag)])).await.0, StatusCode::NOT_MODIFIED);
        for unknown in [
            "/v1/crl/1.crl",
            "/v1/crl/999.crl",
            "/v1/crl/x.crl",
            "/v1/crl/",
            "/v1/crl",
            &format!("/v1/crl/0{issuer}.crl"),
            &format!("/v1/crl/{issuer}"),
        ] {
            assert_eq!(bytes(router.clone(), asking(unknown, &[])).await.0, StatusCode::NOT_FOUND, "{unknown}");
        }
    }
    assert_eq!(bytes(lists(Arc::clone(&world.lists)), asking("/v1/keys", &[])).await.0, StatusCode::NOT_FOUND, "nothing else is plain");
}

#[tokio::test]
async fn a_status_list_is_its_uri_and_is_sent_as_gzip_to_who_takes_it() {
    let world = World::new().await;
    let (status, headers, plain) = bytes(world.public(), asking("/v1/status/0", &[])).await;
    assert_eq!((status, headers[header::CONTENT_TYPE].to_str().ok()), (StatusCode::OK, Some("application/statuslist+jwt")));
    assert_eq!(
        (&headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], headers.get(header::CONTENT_ENCODING)),
        (&HeaderValue::from_static("*"), None)
    );
    let jws = jws::parse(std::str::from_utf8(&plain).expect("text"), MAX_STATUS_LIST).expect("a JWS");
    let token = StatusListToken::decode(&jws.payload).expect("a list");
    assert_eq!((jws.typ.as_str(), token.uri.as_str()), ("statuslist+jwt", "https://curfew.example.org/v1/status/0"));
    assert_eq!((token.expires_at, token.ttl), (Some(token.issued_at.plus(Duration::from_secs(600))), Some(Duration::from_secs(60))));

    let (_, zipped, gzip) = bytes(world.public(), asking("/v1/status/0", &[(header::ACCEPT_ENCODING, "gzip")])).await;
    assert_eq!(
        (&zipped[header::CONTENT_ENCODING], &zipped[header::VARY]),
        (&HeaderValue::from_static("gzip"), &HeaderValue::from_static("accept-encoding"))
    );
    assert_ne!(zipped[header::ETAG], headers[header::ETAG], "other bytes, another tag");
    let mut inflated = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*gzip), &mut inflated).expect("gzip");
    assert_eq!(inflated, plain);

    let (_, _, all) = get(world.public(), "/v1/status").await;
    let all: serde_json::Value = serde_json::from_str(&all).expect("JSON");
    assert_eq!(
        (all["status_lists"][0].as_str(), token.aggregation_uri.as_deref()),
        (Some(token.uri.as_str()), Some("https://curfew.example.org/v1/status"))
    );
    assert_eq!(all["status_lists"].as_array().map(Vec::len), Some(5), "those that are begun soon are there already");
    for (path, expected) in [
        ("/v1/status/5", StatusCode::NOT_FOUND),
        ("/v1/status/00", StatusCode::NOT_FOUND),
        ("/v1/status/-1", StatusCode::NOT_FOUND),
        ("/v1/status/0?time=1790000000", StatusCode::NOT_IMPLEMENTED),
        ("/v1/status?time=1790000000", StatusCode::NOT_IMPLEMENTED),
    ] {
        assert_eq!(bytes(world.public(), asking(path, &[])).await.0, expected, "{path}");
    }
}

#[tokio::test]
async fn it_is_not_ready_once_crls_and_status_lists_have_ended() {
    let world = World::new().await;
    world.publisher.publish().expect("published");
    assert_eq!(get(world.admin(), "/readyz").await.0, StatusCode::OK);
    world.hand.advance(Duration::from_secs(600));
    let (status, _, body) = get(world.admin(), "/readyz").await;
    assert!(status == StatusCode::SERVICE_UNAVAILABLE && body.contains("have ended"), "{status} {body}");
    world.lists.build().await.expect("built");
    assert_eq!(get(world.admin(), "/readyz").await.0, StatusCode::OK);
}
