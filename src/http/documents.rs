//! What anybody may fetch: keys, the signed checkpoint, and beside them the signed list.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio_util::sync::CancellationToken;

use super::problem::Problem;
use super::revocations::{self, Revocations};
use super::scim::{self, Scim};
use super::{bundle, finished, timely};
use crate::formats::urls::STATUS_PATH;
use crate::lists::{Lists, entity_tag};
use crate::publish::Publisher;

/// Everything that the public listener serves; once the broker stops, nobody waits any more.
pub(crate) fn public(publisher: Arc<Publisher>, lists: Arc<Lists>, scim: Option<Arc<Scim>>, stopping: CancellationToken) -> Router {
    let router = Router::new()
        .route("/.well-known/jwks.json", get(jwks))
        .route("/.well-known/openid-configuration", get(openid_configuration))
        .route("/v1/keys", get(keys))
        .route("/v1/bundle", get(spiffe_bundle))
        .route("/v1/checkpoint", get(checkpoint));
    let waiting = revocations::router(Revocations::new(Arc::clone(&publisher), stopping));
    let provisioning = scim.map(scim::routes).unwrap_or_default();
    finished(timely(router.with_state(publisher).merge(super::lists::routes(lists)).merge(provisioning)).merge(waiting))
}

/// Something that is fetched, and need not be fetched again while it is the same.
pub(super) struct Document {
    pub(super) body: Bytes,
    pub(super) media_type: &'static str,
    /// How it may be cached.
    pub(super) caching: String,
}

/// Ask every time: a copy may be used only if it is still the same.
pub(super) const ASK: &str = "no-cache";

/// Keys change seldom, and are published well before they are used.
fn for_a_while(publisher: &Publisher) -> String {
    format!("public, max-age={}", publisher.keys_refresh().as_secs())
}

pub(super) const JSON: &str = "application/json";

impl Document {
    /// The answer to a request with these headers. An answer 304 says that nothing has changed,
    /// and makes nothing older live longer: what is signed ends when it says.
    pub(super) fn answer(self, asked: &HeaderMap) -> Response {
        let tag = entity_tag(&self.body);
        self.tagged(&tag, asked)
    }

    /// The same, with a tag that is known.
    pub(super) fn tagged(self, tag: &str, asked: &HeaderMap) -> Response {
        let Ok(tag) = HeaderValue::try_from(format!("\"{tag}\"")) else {
            return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no entity tag").into_response();
        };
        let mut response = if is_known(asked, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = self.body.into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
            response
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, tag);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::try_from(self.caching).unwrap_or(HeaderValue::from_static(ASK)));
        response
    }
}

/// Whether the client holds what the tag names (RFC 9110, section 13.1.2).
pub(super) fn is_known(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let held = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = held.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|held| held == "*" || held.strip_prefix("W/").unwrap_or(held).as_bytes() == tag.as_bytes())
}

pub(super) type Answer = Result<Response, Problem>;
type Source = State<Arc<Publisher>>;

async fn jwks(State(publisher): Source, asked: HeaderMap) -> Answer {
    let keys = publisher.keys().map_err(|error| Problem::fault(&error))?;
    let body = keys.to_jwks().map_err(|error| Problem::fault(&error))?;
    Ok(Document { body: body.into(), media_type: JSON, caching: for_a_while(&publisher) }.answer(&asked))
}

/// What stock libraries look for to find the keys (OpenID Connect Discovery 1.0, section 3).
async fn openid_configuration(State(publisher): Source, asked: HeaderMap) -> Answer {
    let keys = publisher.keys().map_err(|error| Problem::fault(&error))?;
    let issuer = keys.issuer;
    let body = serde_json::json!({
        "issuer": issuer,
        "jwks_uri": format!("{}/.well-known/jwks.json", issuer.trim_end_matches('/')),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "status_list_aggregation_endpoint": format!("{}{STATUS_PATH}", issuer.trim_end_matches('/')),
    });
    Ok(Document { body: body.to_string().into(), media_type: JSON, caching: for_a_while(&publisher) }.answer(&asked))
}

async fn keys(State(publisher): Source, asked: HeaderMap) -> Answer {
    let keys = publisher.keys().map_err(|error| Problem::fault(&error))?;
    let body = keys.to_json().map_err(|error| Problem::fault(&error))?;
    Ok(Document { body: body.into(), media_type: JSON, caching: for_a_while(&publisher) }.answer(&asked))
}

async fn spiffe_bundle(State(publisher): Source, asked: HeaderMap) -> Answer {
    let (sequence, keys) = publisher.numbered_keys().map_err(|error| Problem::fault(&error))?;
    let body = bundle::encode(&keys, sequence, publisher.keys_refresh()).map_err(|error| Problem::fault(&error))?;
    Ok(Document { body: body.into(), media_type: JSON, caching: for_a_while(&publisher) }.answer(&asked))
}

async fn checkpoint(State(publisher): Source, asked: HeaderMap) -> Answer {
    let body = publisher.checkpoint().map_err(|error| Problem::fault(&error))?;
    Ok(Document { body: body.into(), media_type: "text/plain; charset=utf-8", caching: ASK.to_owned() }.answer(&asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        Document { body: "signed".into(), media_type: "application/jwt", caching: ASK.to_owned() }
    }

    fn holding(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(value).expect("a value"))])
    }

    #[test]
    fn who_holds_the_same_bytes_is_told_so_and_nobody_else() {
        let first = document().answer(&HeaderMap::new());
        assert_eq!(
            (first.status(), &first.headers()[header::CONTENT_TYPE]),
            (StatusCode::OK, &HeaderValue::from_static("application/jwt"))
        );
        let tag = first.headers()[header::ETAG].to_str().expect("text").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong tag: {tag}");
        for same in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = document().answer(&holding(&same));
            assert_eq!((again.status(), again.headers()[header::ETAG].to_str().ok()), (StatusCode::NOT_MODIFIED, Some(tag.as_str())));
            assert_eq!(again.headers()[header::CACHE_CONTROL], ASK);
        }
        for other in ["\"other\"", tag.trim_matches('"'), ""] {
            assert_eq!(document().answer(&holding(other)).status(), StatusCode::OK, "{other}");
        }
        let changed = Document { body: "signed anew".into(), ..document() };
        assert_eq!(changed.answer(&holding(&tag)).status(), StatusCode::OK);
    }
}
