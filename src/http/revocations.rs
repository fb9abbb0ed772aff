//! The signed list over HTTPS: whole or since a position, at once or when there is something newer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::LONGEST_REQUEST;
use super::documents::{ASK, Answer, Document, is_known};
use super::problem::Problem;
use crate::lists::entity_tag;
use crate::model::Position;
use crate::publish::{Publication, Publisher};

/// How many requests may wait for something newer.
const WAITING: usize = 1024;

/// How long one may, in seconds: no longer than a list lasts by default.
const LONGEST_WAIT: u64 = 30;

/// What the list is answered from.
pub(super) struct Revocations {
    publisher: Arc<Publisher>,
    waiting: Semaphore,
    stopping: CancellationToken,
}

impl Revocations {
    pub(super) fn new(publisher: Arc<Publisher>, stopping: CancellationToken) -> Self {
        Self { publisher, waiting: Semaphore::new(WAITING), stopping }
    }

    /// What is published now.
    async fn published(&self, since: Option<Position>) -> Result<Arc<Publication>, Problem> {
        let signed = tokio::time::timeout(LONGEST_REQUEST, self.publisher.since(since)).await;
        let signed = signed.map_err(|_elapsed| Problem::unavailable("the list is not signed in time; try again"))?;
        let published = signed.map_err(|error| Problem::fault(&error))?;
        published.ok_or_else(|| Problem::unavailable("no list is published yet"))
    }
}

/// Serves it.
pub(super) fn router(revocations: Revocations) -> Router {
    Router::new().route("/v1/revocations", get(answer)).with_state(Arc::new(revocations))
}

async fn answer(State(lists): State<Arc<Revocations>>, uri: Uri, asked: HeaderMap) -> Answer {
    let query = Query::parse(uri.query())?;
    // Looked at before the list, so that none that comes meanwhile is missed.
    let mut newest = lists.publisher.follow();
    let mut published = lists.published(query.since).await?;
    if !query.wait.is_zero() && !query.is_news(&published, &asked) {
        let too_many = |_full| Problem::unavailable("too many requests wait for the next list; ask without `wait`, or later");
        let _room = lists.waiting.try_acquire().map_err(too_many)?;
        let elapsed = lists.publisher.clock().sleep(query.wait);
        tokio::pin!(elapsed);
        loop {
            let goes_on = tokio::select! {
                changed = newest.changed() => changed.is_ok(),
                () = &mut elapsed => false,
                () = lists.stopping.cancelled() => false,
            };
            published = lists.published(query.since).await?;
            if !goes_on || query.is_news(&published, &asked) {
                break;
            }
        }
    }
    Ok(Document { body: published.jws.clone().into(), media_type: "application/jwt", caching: ASK.to_owned() }.answer(&asked))
}

/// What the query says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Query {
    /// What came after here is wanted; the whole list without it.
    since: Option<Position>,
    /// How long to wait for something newer.
    wait: Duration,
}

impl Query {
    fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let wrong = |field: &str, why: &dyn std::fmt::Display| Problem::new(StatusCode::BAD_REQUEST, format!("{field}: {why}"));
        let once = |field: &str| {
            let named = |pair: &'_ str| pair.strip_prefix(field).and_then(|rest| rest.strip_prefix('=')).map(str::to_owned);
            let mut given = query.unwrap_or_default().split('&').filter_map(named);
            let first = given.next();
            if given.next().is_some() { Err(wrong(field, &"give it once")) } else { Ok(first) }
        };
        let since = once("since")?.map(|text| text.parse().map_err(|error| wrong("since", &error))).transpose()?;
        let seconds = |text: String| text.parse().ok().filter(|seconds| *seconds <= LONGEST_WAIT);
        let wait = once("wait")?.map(|text| seconds(text).ok_or_else(|| wrong("wait", &"give whole seconds, at most 30"))).transpose()?;
        Ok(Self { since, wait: Duration::from_secs(wait.unwrap_or(0)) })
    }

    /// Whether a list says something that the caller does not have: above the position that it names, or else
    /// other bytes than those that it holds.
    fn is_news(self, list: &Publication, asked: &HeaderMap) -> bool {
        match self.since {
            Some(since) => list.position > since,
            None => {
                let tag = HeaderValue::try_from(format!("\"{}\"", entity_tag(list.jws.as_bytes())));
                !asked.contains_key(header::IF_NONE_MATCH) || tag.is_ok_and(|tag| !is_known(asked, &tag))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_position_and_wait_is_in_seconds_each_given_once() {
        let parse = |query: &str| Query::parse(Some(query)).ok().map(|query| (query.since.map(Position::get), query.wait.as_secs()));
        assert_eq!(Query::parse(None).ok(), Some(Query { since: None, wait: Duration::ZERO }));
        assert_eq!(parse(""), Some((None, 0)));
        assert_eq!(parse("a=b&since=17"), Some((Some(17), 0)));
        assert_eq!(parse("wait=30&since=17"), Some((Some(17), 30)));
        assert_eq!(parse("sincere=x&waiting=y"), Some((None, 0)));
        for wrong in [
            "since=",
            "since=0",
            "since=017",
            "since=-1",
            "since=x",
            "since=1&since=2",
            "wait=31",
            "wait=-1",
            "wait=",
            "wait=1&wait=1",
            "wait=1.5",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
