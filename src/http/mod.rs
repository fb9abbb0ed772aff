//! The HTTP listeners: a public one for what is signed or public, over TLS without a client
//! certificate, and one for the operator.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::StatusCode;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::listen::{Admit, Limits, Tls};

mod admin;
mod bundle;
mod documents;
mod lists;
mod problem;
mod revocations;
mod scim;

pub(crate) use admin::{Admin, admin};
pub(crate) use documents::public;
pub(crate) use lists::lists;
pub(crate) use scim::{Client, SCIM_PATH, Scim};

use problem::Problem;

/// How long a request may take.
const LONGEST_REQUEST: Duration = Duration::from_secs(10);

/// The limits of an HTTP listener: strangers come here, and nobody needs to stay.
pub(crate) fn limits() -> Limits {
    Limits { handshakes: 256, connections: 4096, streams: 32, longest_connection: Some(Duration::from_secs(300)), ..Limits::default() }
}

/// TLS without a client certificate.
#[derive(Clone, Debug)]
pub(crate) struct Https(pub(crate) Tls);

impl Admit for Https {
    type Stream = TlsStream<TcpStream>;
    type Peer = ();

    async fn admit(&self, tcp: TcpStream) -> io::Result<(Self::Stream, ())> {
        Ok((self.0.handshake(tcp).await?, ()))
    }
}

/// HTTP as it is, for the operator's own machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain;

impl Admit for Plain {
    type Stream = TcpStream;
    type Peer = ();

    async fn admit(&self, tcp: TcpStream) -> io::Result<(TcpStream, ())> {
        Ok((tcp, ()))
    }
}

/// No request takes for ever.
fn timely(router: Router) -> Router {
    router.layer(from_fn(in_time))
}

/// What every router does: errors are problems.
fn finished(router: Router) -> Router {
    let unknown = || async { Problem::new(StatusCode::NOT_FOUND, "nothing is served at this path") };
    let wrong = || async { Problem::new(StatusCode::METHOD_NOT_ALLOWED, "use GET or HEAD") };
    router.fallback(unknown).method_not_allowed_fallback(wrong)
}

async fn in_time(request: Request, next: Next) -> Response {
    use axum::response::IntoResponse;
    match tokio::time::timeout(LONGEST_REQUEST, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "it took too long; try again").into_response(),
    }
}

#[cfg(test)]
mod tests;
