//! SCIM 2.0 under `/scim/v2`, for the clients of sources that provision: each proves which source it is
//! by a bearer token, and sees and changes what is that source's.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use futures_util::StreamExt;
use http::request::Parts;
use http::{Method, header};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value};

use crate::broker::{Provisioning, Rules, What, Write};
use crate::directory::scim::{self, Kind, Patch, Query, Refused, Resource, Wrong};

mod answer;

use answer::{Answer, Failure};

/// Where SCIM is found below the public URL.
pub(crate) const SCIM_PATH: &str = "/scim/v2";

/// The longest body of a request, in bytes.
const LONGEST_BODY: usize = 1 << 20;
/// How much of a longer one is taken in, to be thrown away.
const PASSED_OVER: usize = 4 << 20;

/// A source that provisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// SHA-256 of its token.
    pub(crate) token: [u8; 32],
    /// What the configuration says of it.
    pub(crate) rules: Rules,
}

/// What answers clients.
#[derive(Debug)]
pub(crate) struct Scim {
    /// What does what they want.
    pub(crate) provisioning: Provisioning,
    /// Who they are.
    pub(crate) clients: Vec<Client>,
}

/// Serves it.
pub(super) fn routes(scim: Arc<Scim>) -> Router {
    Router::new().route(&format!("{SCIM_PATH}/{{*path}}"), any(serve)).with_state(scim)
}

async fn serve(State(scim): State<Arc<Scim>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // Before anything of the request is looked at, or any of its body is waited for.
    let Some(client) = scim.client(&parts) else { return Failure::Unauthorised.answer() };
    let rules = client.rules.clone();
    match scim.dispatch(&rules, &parts, body).await {
        Ok(answer) => answer.response(),
        Err(failure) => failure.answer(),
    }
}

impl Scim {
    /// Who proves to be a client. Every token is looked at in the same time, whichever is the one.
    fn client(&self, parts: &Parts) -> Option<&Client> {
        let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        let shown = digest(&SHA256, token.trim().as_bytes());
        let mut found = None;
        for client in &self.clients {
            let differs = client.token.iter().zip(shown.as_ref()).fold(0, |differs, (one, other)| differs | (one ^ other));
            if differs == 0 {
                found = Some(client);
            }
        }
        found.filter(|_| scheme.eq_ignore_ascii_case("bearer"))
    }

    async fn dispatch(self: &Arc<Self>, rules: &Rules, parts: &Parts, body: Body) -> Result<Answer, Failure> {
        self.provisioning.hear(&rules.source)?;
        let path = parts.uri.path().strip_prefix(SCIM_PATH).unwrap_or_default();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let base = self.provisioning.base();
        let is_get = parts.method == Method::GET;
        match *segments {
            ["ServiceProviderConfig"] if is_get => Ok(Answer::of(scim::provider(base))),
            ["ResourceTypes"] if is_get => Ok(Answer::of(scim::whole(&scim::resource_types(base)))),
            ["ResourceTypes", name] if is_get => named(scim::resource_types(base), name),
            ["Schemas"] if is_get => Ok(Answer::of(scim::whole(&scim::schemas(base)))),
            ["Schemas", name] if is_get => named(scim::schemas(base), name),
            ["ServiceProviderConfig" | "ResourceTypes" | "Schemas"] | ["ResourceTypes" | "Schemas", _] => Err(Failure::Method("GET")),
            [".search" | "Bulk" | "Me"] | ["Users" | "Groups", ".search"] => Err(Failure::Unsupported),
            ["Users"] => self.collection(rules, Kind::User, parts, body).await,
            ["Groups"] => self.collection(rules, Kind::Group, parts, body).await,
            ["Users", id] => self.resource(rules, (Kind::User, id), parts, body).await,
            ["Groups", id] => self.resource(rules, (Kind::Group, id), parts, body).await,
            _ => Err(Failure::Unknown),
        }
    }

    async fn collection(self: &Arc<Self>, rules: &Rules, kind: Kind, parts: &Parts, body: Body) -> Result<Answer, Failure> {
        let query = Query::parse(kind, &parameters(parts))?;
        match parts.method {
            Method::GET => {
                let (scim, source) = (Arc::clone(self), rules.source.clone());
                // A look through many resources holds up nobody else.
                let listing = tokio::task::spawn_blocking(move || scim.provisioning.list(&source, kind, &query));
                listing.await.map(Answer::of).map_err(|error| Failure::fault(&error))
            }
            Method::POST => {
                let attributes = scim::take(kind, &json(body).await?)?;
                let done = self.write(rules, kind, What::Create(attributes), None).await?;
                Ok(self.shown(rules, &done, &query).created(done.location(self.provisioning.base())))
            }
            _ => Err(Failure::Method("GET, POST")),
        }
    }

    async fn resource(&self, rules: &Rules, (kind, id): (Kind, &str), parts: &Parts, body: Body) -> Result<Answer, Failure> {
        let query = Query::parse(kind, &parameters(parts))?;
        let versions = parts.headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let what = match parts.method {
            Method::GET => {
                let found = self.provisioning.find(&rules.source, kind, id).ok_or(Failure::Unknown)?;
                let held = parts.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
                let same = held.is_some_and(|held| held.split(',').any(|held| held.trim() == found.version()));
                return Ok(if same { Answer::unchanged(&found) } else { self.shown(rules, &found, &query) });
            }
            Method::PUT => What::Replace(id.to_owned(), scim::take(kind, &json(body).await?)?),
            Method::PATCH => What::Patch(id.to_owned(), Patch::parse(kind, &json(body).await?)?),
            Method::DELETE => {
                self.do_it(rules, kind, What::Delete(id.to_owned()), versions).await?;
                return Ok(Answer::nothing());
            }
            _ => return Err(Failure::Method("GET, PUT, PATCH, DELETE")),
        };
        let done = self.write(rules, kind, what, versions).await?;
        Ok(self.shown(rules, &done, &query))
    }

    async fn do_it(&self, rules: &Rules, kind: Kind, what: What, versions: Option<String>) -> Result<String, Failure> {
        let done = self.provisioning.write(rules, kind, Write { what, versions }).await??;
        Ok(done.to_string())
    }

    /// Does it, and answers the resource as it is now.
    async fn write(&self, rules: &Rules, kind: Kind, what: What, versions: Option<String>) -> Result<Arc<Resource>, Failure> {
        let id = self.do_it(rules, kind, what, versions).await?;
        // Gone only if somebody else has deleted it since.
        self.provisioning.find(&rules.source, kind, &id).ok_or(Failure::Unknown)
    }

    fn shown(&self, rules: &Rules, resource: &Resource, query: &Query) -> Answer {
        Answer::of(self.provisioning.shown(&rules.source, resource, &query.selection)).versioned(resource)
    }
}

fn named(all: Vec<Value>, name: &str) -> Result<Answer, Failure> {
    let found = all.into_iter().find(|one| one.get("id").and_then(Value::as_str).is_some_and(|id| id.eq_ignore_ascii_case(name)));
    found.map(Answer::of).ok_or(Failure::Unknown)
}

fn parameters(parts: &Parts) -> Vec<(String, String)> {
    form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

/// The body of a request, JSON.
async fn json(body: Body) -> Result<Value, Failure> {
    let bytes = whole(body).await.ok_or(Failure::TooLong)?;
    let read: Result<Map<String, Value>, _> = serde_json::from_slice(&bytes);
    read.map(Value::Object).map_err(|error| Refused::new(Wrong::Syntax, format!("the body is no JSON object: {error}")).into())
}

/// A body that is not too long. Of one that is, some is passed over, so that a client which is still sending sees
/// the answer instead of a connection that breaks.
async fn whole(body: Body) -> Option<Vec<u8>> {
    let (mut bytes, mut length, mut parts) = (Vec::new(), 0, body.into_data_stream());
    while let Some(data) = parts.next().await {
        let data = data.ok()?;
        length += data.len();
        if length <= LONGEST_BODY {
            bytes.extend_from_slice(&data);
        } else if length > PASSED_OVER {
            return None;
        }
    }
    (length <= LONGEST_BODY).then_some(bytes)
}
