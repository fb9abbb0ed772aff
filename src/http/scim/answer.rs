//! Answers in SCIM's media type, and why there is none (RFC 7644, section 3.12).

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::broker::{self, Trouble};
use crate::directory::scim::{Refused, Resource, Wrong};

const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// How long to wait before what is not believed is tried again, in seconds.
const WHILE_STOPPED: u64 = 300;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Option<Value>,
    headers: Vec<(HeaderName, String)>,
}

impl Answer {
    pub(super) const fn of(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body), headers: Vec::new() }
    }

    pub(super) const fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, headers: Vec::new() }
    }

    /// The client has it already.
    pub(super) fn unchanged(resource: &Resource) -> Self {
        Self { status: StatusCode::NOT_MODIFIED, ..Self::nothing() }.versioned(resource)
    }

    pub(super) fn versioned(mut self, resource: &Resource) -> Self {
        self.headers.push((header::ETAG, resource.version()));
        self
    }

    pub(super) fn created(mut self, location: String) -> Self {
        self.status = StatusCode::CREATED;
        self.headers.push((header::LOCATION, location));
        self
    }

    pub(super) fn response(self) -> Response {
        let mut response = match self.body {
            Some(body) => {
                let mut response = (self.status, body.to_string()).into_response();
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/scim+json"));
                response
            }
            None => self.status.into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// Why a request was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// No token, or none that is known.
    Unauthorised,
    /// Nothing is found there.
    Unknown,
    /// Another method is needed.
    Method(&'static str),
    /// The body is too long, or ends too early.
    TooLong,
    /// RFC 7644 has it, and this server has not.
    Unsupported,
    /// The request cannot be done as it is.
    Trouble(Trouble),
    /// The broker could not do it.
    Broker(broker::Error),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Trouble(refused.into())
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<broker::Error> for Failure {
    fn from(error: broker::Error) -> Self {
        Self::Broker(error)
    }
}

impl Failure {
    /// A fault of the broker.
    pub(super) fn fault(error: &dyn std::error::Error) -> Self {
        Self::Broker(broker::Error::Internal(error.to_string().into()))
    }

    pub(super) fn answer(self) -> Response {
        use StatusCode as Code;
        match self {
            Self::Unauthorised => {
                let answer = failed(Code::UNAUTHORIZED, None, "send the bearer token of a source");
                with(answer, header::WWW_AUTHENTICATE, "Bearer realm=\"scim\"".to_owned())
            }
            Self::Unknown | Self::Trouble(Trouble::Unknown) => failed(Code::NOT_FOUND, None, "nothing is found here"),
            Self::Method(allowed) => {
                with(failed(Code::METHOD_NOT_ALLOWED, None, &format!("use {allowed}")), header::ALLOW, allowed.to_owned())
            }
            Self::TooLong => failed(Code::PAYLOAD_TOO_LARGE, None, "a body has at most 1 MiB, and comes whole"),
            Self::Unsupported => {
                failed(Code::NOT_IMPLEMENTED, None, "this server does not do that; ServiceProviderConfig says what it does")
            }
            Self::Trouble(Trouble::Version) => failed(Code::PRECONDITION_FAILED, None, "it was changed since; get it again"),
            Self::Trouble(Trouble::Refused(Refused { wrong, detail })) => {
                let code = if wrong == Wrong::Uniqueness { Code::CONFLICT } else { Code::BAD_REQUEST };
                failed(code, Some(wrong), &detail)
            }
            Self::Trouble(Trouble::Full) => failed(
                Code::INSUFFICIENT_STORAGE,
                None,
                "this source wrote as much as its max_bytes allows; delete something, or raise that",
            ),
            Self::Trouble(Trouble::Stopped(stop)) => {
                let (ends, of) = (stop.ends, stop.of);
                let detail =
                    format!("{ends} of {of} would have ended within a day, more than max_ended of the source allows; nothing was changed");
                with(failed(Code::SERVICE_UNAVAILABLE, None, &detail), header::RETRY_AFTER, WHILE_STOPPED.to_string())
            }
            Self::Broker(error) => of_broker(&error),
        }
        .response()
    }
}

fn of_broker(error: &broker::Error) -> Answer {
    use StatusCode as Code;
    let after = |answer, seconds: u64| with(answer, header::RETRY_AFTER, seconds.max(1).to_string());
    match error {
        broker::Error::Limited { retry_after, .. } => {
            after(failed(Code::TOO_MANY_REQUESTS, None, &error.to_string()), retry_after.as_secs().saturating_add(1))
        }
        broker::Error::Conflict | broker::Error::Unavailable(_) | broker::Error::Unsigned => {
            after(failed(Code::SERVICE_UNAVAILABLE, None, &error.to_string()), 1)
        }
        broker::Error::Denied(_) | broker::Error::Invalid(_) | broker::Error::NotFound { .. } | broker::Error::Internal(_) => {
            tracing::error!(%error, "a SCIM request failed");
            failed(Code::INTERNAL_SERVER_ERROR, None, "a fault of the broker; its log says more")
        }
    }
}

fn with(mut answer: Answer, name: HeaderName, value: String) -> Answer {
    answer.headers.push((name, value));
    answer
}

fn failed(status: StatusCode, wrong: Option<Wrong>, detail: &str) -> Answer {
    let mut body = json!({ "schemas": [ERROR], "status": status.as_u16().to_string(), "detail": detail });
    if let (Some(wrong), Some(members)) = (wrong, body.as_object_mut()) {
        members.insert("scimType".to_owned(), wrong.word().into());
    }
    Answer { status, ..Answer::of(body) }
}
