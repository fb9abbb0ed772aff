//! CRLs and status lists, for whoever checks credentials: signed, so over plain HTTP too.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde_json::json;

use super::documents::{Answer, Document, JSON};
use super::problem::Problem;
use super::{finished, timely};
use crate::formats::urls::{CRL_PATH, STATUS_PATH};
use crate::lists::{Lists, Served};
use crate::model::Position;

/// What is built every few minutes.
const FOR_A_MINUTE: &str = "public, max-age=60";

/// RFC 2585, section 4.2.
const CRL: &str = "application/pkix-crl";
/// draft-ietf-oauth-status-list, section 8.1.
const STATUS_LIST: &str = "application/statuslist+jwt";

type Source = State<Arc<Lists>>;

/// A listener of its own for them.
pub(crate) fn lists(lists: Arc<Lists>) -> Router {
    finished(timely(routes(lists)))
}

/// Where they are found.
pub(super) fn routes(lists: Arc<Lists>) -> Router {
    Router::new()
        .route(&format!("{CRL_PATH}/{{key}}"), get(crl))
        .route(&format!("{STATUS_PATH}/{{list}}"), get(status))
        .route(STATUS_PATH, get(aggregation))
        .with_state(lists)
}

fn served(lists: &Lists) -> Result<Arc<Served>, Problem> {
    lists.served().ok_or_else(|| Problem::unavailable("nothing is published yet"))
}

async fn crl(State(lists): Source, Path(name): Path<String>, asked: HeaderMap) -> Answer {
    let served = served(&lists)?;
    let key = name.strip_suffix(".crl").and_then(|key| key.parse::<Position>().ok());
    let unknown = || match key {
        Some(key) if served.withholds(key) => Problem::unavailable("it is held back: the log of the broker says why"),
        Some(_) | None => Problem::new(StatusCode::NOT_FOUND, "no issuing key with this number has certificates that are not expired"),
    };
    let body = &key.and_then(|key| served.crl(key)).ok_or_else(unknown)?.body;
    Ok(Document { body: body.bytes.clone(), media_type: CRL, caching: FOR_A_MINUTE.to_owned() }.tagged(&body.tag, &asked))
}

async fn status(State(lists): Source, Path(number): Path<String>, uri: Uri, asked: HeaderMap) -> Answer {
    now_only(&uri)?;
    let served = served(&lists)?;
    // One form of each number, since a token names its list byte for byte.
    let number = number.parse::<u64>().ok().filter(|list| list.to_string() == number);
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "no such list: everything in it has expired, or nothing is issued yet");
    let list = number.and_then(|list| served.status(list)).ok_or_else(unknown)?;
    let gzip = accepts_gzip(&asked);
    let body = if gzip { &list.gzip } else { &list.body };
    let document = Document { body: body.bytes.clone(), media_type: STATUS_LIST, caching: FOR_A_MINUTE.to_owned() };
    let mut response = open(document.tagged(&body.tag, &asked));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if gzip && response.status() == StatusCode::OK {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// Names all lists (section 9 of the draft).
async fn aggregation(State(lists): Source, uri: Uri, asked: HeaderMap) -> Answer {
    now_only(&uri)?;
    let served = served(&lists)?;
    let all: Vec<String> = served.status_lists().map(|list| lists.urls().status_list(list)).collect();
    let body = json!({ "status_lists": all }).to_string().into();
    Ok(open(Document { body, media_type: JSON, caching: FOR_A_MINUTE.to_owned() }.answer(&asked)))
}

/// What was so at another time is not told (section 8.4 of the draft).
fn now_only(uri: &Uri) -> Result<(), Problem> {
    let of_the_past = uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("time=")));
    if of_the_past { Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "only what is so now is told: ask without `time`")) } else { Ok(()) }
}

/// Pages of other origins may read it: it is public (section 8.1 of the draft).
fn open(mut response: Response) -> Response {
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// Whether the client takes gzip (RFC 9110, section 12.5.3), and does not say that it would rather not.
fn accepts_gzip(asked: &HeaderMap) -> bool {
    let accepted = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        let refused = parts.any(|weight| weight.strip_prefix("q=").and_then(|weight| weight.parse().ok()) == Some(0.0));
        is_gzip && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        let accepts =
            |value: &str| accepts_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_str(value).expect("a value"))]));
        for takes in ["gzip", "deflate, gzip", "br;q=1.0, GZIP;q=0.8, *;q=0.1", "*", "gzip;q=1"] {
            assert!(accepts(takes), "{takes}");
        }
        for refuses in ["", "identity", "gzip;q=0", "gzip;q=0.0", "x-gzip", "deflate"] {
            assert!(!accepts(refuses), "{refuses}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
