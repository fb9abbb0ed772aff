//! What is answered to who is not let through, and to whose credential dies meanwhile.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use tonic::{Code, Status};

use super::{Death, Refused};
use crate::verify::Rejected;

/// Whether a request is a call of gRPC, and is to be answered as one.
pub(super) fn is_grpc<B>(request: &Request<B>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// Whether the fault is this service's, whose list is too old, and not that of who asks.
const fn is_blind(refused: &Refused) -> bool {
    matches!(refused, Refused::Rejected(Rejected::NoList | Rejected::Stale { .. }))
}

/// The stable code, and a text for people.
fn told(refused: &Refused) -> String {
    match refused {
        Refused::Nothing | Refused::Header => refused.to_string(),
        Refused::Rejected(rejected) => format!("{}: {rejected}", rejected.code()),
    }
}

fn status(refused: &Refused) -> Status {
    let code = if is_blind(refused) { Code::Unavailable } else { Code::Unauthenticated };
    Status::new(code, told(refused))
}

/// The answer to who is not let through.
pub(super) fn refusal<B>(refused: &Refused, is_grpc: bool) -> Response<GuardedBody<B>> {
    if is_grpc {
        return status(refused).into_http::<()>().map(|()| GuardedBody::told(String::new()));
    }
    let told = told(refused);
    let mut response = Response::new(GuardedBody::told(format!("{told}\n")));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if is_blind(refused) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    } else {
        // RFC 6750, section 3: no error is told to who presents nothing.
        let challenge = if *refused == Refused::Nothing { "Bearer" } else { "Bearer error=\"invalid_token\"" };
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}

/// The body of an answer, which ends with the credential of who asked.
pub struct GuardedBody<B>(State<B>);

enum State<B> {
    /// What the service answers.
    Alive { body: Pin<Box<B>>, death: Death, is_grpc: bool },
    /// A text, once.
    Told(Option<Bytes>),
    /// It has ended.
    Ended,
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
#[error("the credential of the request is no longer good: {0}")]
struct Died(Rejected);

impl<B> GuardedBody<B> {
    pub(super) fn alive(body: B, death: Death, is_grpc: bool) -> Self {
        Self(State::Alive { body: Box::pin(body), death, is_grpc })
    }

    fn told(text: String) -> Self {
        Self(State::Told(Some(text).filter(|text| !text.is_empty()).map(Bytes::from)))
    }
}

impl<B> std::fmt::Debug for GuardedBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match self.0 {
            State::Alive { .. } => "alive",
            State::Told(_) => "told",
            State::Ended => "ended",
        };
        write!(f, "GuardedBody({state})")
    }
}

impl<B> Body for GuardedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.0 {
            State::Ended => Poll::Ready(None),
            State::Told(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            State::Alive { body, death, is_grpc } => {
                if let Poll::Ready(rejected) = death.as_mut().poll(context) {
                    let end = if *is_grpc { trailers(rejected) } else { Err(Died(rejected).into()) };
                    self.0 = State::Ended;
                    return Poll::Ready(Some(end));
                }
                let frame = ready!(body.as_mut().poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Alive { body, .. } => body.is_end_stream(),
            State::Told(text) => text.is_none(),
            State::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Alive { body, .. } => body.size_hint(),
            State::Told(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            State::Ended => SizeHint::with_exact(0),
        }
    }
}

/// How a call of gRPC ends.
fn trailers(rejected: Rejected) -> Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
    let mut trailers = HeaderMap::new();
    status(&rejected.into()).add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}
