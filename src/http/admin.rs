//! For the operator: whether it lives, whether it can do its work, and what it counts.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, header};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::problem::Problem;
use super::{finished, timely};
use crate::ledger::Ledger;
use crate::lists::Lists;
use crate::publish::Publisher;

/// What the admin listener looks at.
#[derive(Debug)]
pub(crate) struct Admin {
    /// Ready means that it can commit.
    pub(crate) ledger: Arc<dyn Ledger>,
    /// Ready means that a list is published.
    pub(crate) publisher: Arc<Publisher>,
    /// Ready means that CRLs and status lists are published, good, and say what the ledger says.
    pub(crate) lists: Arc<Lists>,
    /// How many entries could not be read at the start: it goes on without them, and says so.
    pub(crate) unreadable: usize,
    /// Everything that is counted.
    pub(crate) registry: Registry,
}

/// Everything that the admin listener serves.
pub(crate) fn admin(admin: Admin) -> Router {
    let router = Router::new().route("/livez", get(|| async { "ok\n" })).route("/readyz", get(ready)).route("/metrics", get(metrics));
    finished(timely(router.with_state(Arc::new(admin))))
}

async fn ready(State(admin): State<Arc<Admin>>) -> Result<String, Problem> {
    admin.ledger.probe().await.map_err(|error| Problem::unavailable(error.to_string()))?;
    admin.publisher.current().ok_or_else(|| Problem::unavailable("no list is published yet"))?;
    admin.lists.check().map_err(Problem::unavailable)?;
    Ok(match admin.unreadable {
        0 => "ready\n".to_owned(),
        count => format!("ready, without {count} entries that cannot be read: verify a backup of the ledger\n"),
    })
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Result<Response, Problem> {
    let mut body = String::new();
    text::encode(&mut body, &admin.registry).map_err(|error| Problem::fault(&error))?;
    let mut response = body.into_response();
    let openmetrics = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, openmetrics);
    Ok(response)
}
