//! Both routers over an in-memory ledger.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode, header};
use prometheus_client::registry::Registry;
use tower::ServiceExt;

use super::{Admin, admin, public};
use crate::ambient::{Clock, Entropy, ManualClock};
use crate::broker::{Broker, Followers};
use crate::keys::Material;
use crate::ledger::{Ledger, Options, Place, SqliteLedger};
use crate::model::{Epoch, Timestamp, TrustDomain, Windows};
use crate::publish::{Publisher, Settings};

struct World {
    ledger: Arc<dyn Ledger>,
    publisher: Arc<Publisher>,
    hand: ManualClock,
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
            max_staleness: std::time::Duration::from_secs(30),
            heartbeat: std::time::Duration::from_secs(2),
        };
        let followers = Arc::new(Followers::new(Windows::of_lists(settings.max_staleness), clock.now()));
        let publisher = Arc::new(Publisher::new(Arc::clone(&ledger), keyring, settings, followers, clock));
        Self { ledger, publisher, hand }
    }

    fn public(&self) -> Router {
        public(Arc::clone(&self.publisher))
    }

    fn admin(&self) -> Router {
        let (ledger, publisher) = (Arc::clone(&self.ledger), Arc::clone(&self.publisher));
        admin(Admin { ledger, publisher, unreadable: 0, registry: Registry::with_prefix("curfew") })
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
    world.hand.advance(std::time::Duration::from_secs(2));
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

#[tokio::test]
async fn errors_are_problems() {
    let world = World::new().await;
    let posted = Request::post("/v1/keys").body(Body::empty()).expect("a request");
    for (status, (found, headers, body)) in [
        (StatusCode::NOT_FOUND, get(world.public(), "/nothing").await),
        (StatusCode::NOT_FOUND, get(world.public(), "/metrics").await),
        (StatusCode::NOT_FOUND, get(world.admin(), "/v1/keys").await),
        (StatusCode::BAD_REQUEST, get(world.public(), "/v1/revocations?since=x").await),
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
