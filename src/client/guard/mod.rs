//! A layer that lets nobody through without a good credential, for services of tonic and axum.
//!
//! It takes the token of the header `authorization`, bound to the client certificate of the connection, or, where
//! there is no token, the certificate itself; what was verified is an extension of the request, [`Verified`]. What
//! is under way when its credential dies is ended: an answer that is not there yet is not given, and a stream stops.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use curfew::client::{Follower, Guard};
//! # fn example(follower: Arc<Follower>) -> axum::Router {
//! use axum::{Extension, Router, routing::get};
//! use curfew::client::Verified;
//!
//! async fn hello(Extension(caller): Extension<Verified>) -> String {
//!     format!("hello, {}", caller.subject())
//! }
//!
//! Router::new().route("/", get(hello)).layer(Guard::new(follower))
//! # }
//! ```
//!
//! The certificate of the connection is found where tonic's TLS puts it. Whoever accepts connections in another way
//! inserts [`PeerCertificate`] into the extensions of each request. It has to be the one that the handshake proved.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, header};
use ring::digest;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tower::{Layer, Service};

use super::Follower;
use crate::model::SpiffeId;
use crate::verify::{AcceptedCertificate, AcceptedToken, Presented, Rejected};

mod answer;

pub use answer::GuardedBody;

/// How often it is asked whether a credential is good still, though no list came.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The client certificate of a connection, DER, as the handshake proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate(pub Arc<[u8]>);

/// What a request came with, once it was found to be good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// A token.
    Token(Arc<AcceptedToken>),
    /// A certificate of this broker.
    Certificate(Arc<AcceptedCertificate>),
}

impl Verified {
    /// Whom it identifies.
    pub fn subject(&self) -> &SpiffeId {
        match self {
            Self::Token(token) => &token.claims().subject,
            Self::Certificate(certificate) => certificate.spiffe_id(),
        }
    }

    /// Whether it is a token with this scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        match self {
            Self::Token(token) => token.claims().scopes.iter().any(|held| held.as_str() == scope),
            Self::Certificate(_) => false,
        }
    }
}

/// What a service takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Either,
    Tokens,
    Certificates,
}

/// The layer.
#[derive(Clone, Debug)]
pub struct Guard {
    follower: Arc<Follower>,
    takes: Takes,
}

impl Guard {
    /// Takes tokens, and certificates of whoever has no token.
    pub fn new(follower: Arc<Follower>) -> Self {
        Self { follower, takes: Takes::Either }
    }

    /// Takes tokens alone.
    #[must_use]
    pub fn tokens_only(self) -> Self {
        Self { takes: Takes::Tokens, ..self }
    }

    /// Takes certificates alone; a token is not looked at.
    #[must_use]
    pub fn certificates_only(self) -> Self {
        Self { takes: Takes::Certificates, ..self }
    }

    /// Who asks, if with something good.
    fn verify<B>(&self, request: &Request<B>) -> Result<Verified, Refused> {
        let certificate = certificate_of(request);
        let token = match self.takes {
            Takes::Either | Takes::Tokens => token_of(request)?,
            Takes::Certificates => None,
        };
        match (token, certificate) {
            (Some(token), certificate) => {
                let presented = certificate.map_or(Presented::Nothing, |leaf| Presented::Certificate(fingerprint(&leaf)));
                Ok(Verified::Token(Arc::new(self.follower.token(token, presented)?)))
            }
            (None, Some(leaf)) if self.takes != Takes::Tokens => Ok(Verified::Certificate(Arc::new(self.follower.certificate(&leaf)?))),
            (None, _) => Err(Refused::Nothing),
        }
    }

    /// Returns when what was verified is no longer good.
    async fn death(self, verified: Verified) -> Rejected {
        let mut lists = self.follower.lists();
        loop {
            let (verifier, moment) = (self.follower.verifier(), self.follower.moment());
            let still = match &verified {
                Verified::Token(token) => verifier.token_again(token, moment),
                Verified::Certificate(certificate) => verifier.certificate_again(certificate, moment),
            };
            if let Err(rejected) = still {
                return rejected;
            }
            tokio::select! {
                // The sender is in the follower, which is held here.
                _changed = lists.changed() => {}
                () = self.follower.clock().sleep(LOOK_AGAIN) => {}
            }
        }
    }
}

/// Why a request is not let through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("present a token in the header `authorization: Bearer`, or a client certificate of the broker")]
    Nothing,
    #[error("the header `authorization` is not one `Bearer` and a token")]
    Header,
    #[error(transparent)]
    Rejected(#[from] Rejected),
}

/// The token in `authorization` (RFC 6750, section 2.1).
fn token_of<B>(request: &Request<B>) -> Result<Option<&str>, Refused> {
    let mut given = request.headers().get_all(header::AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or(Refused::Header)?;
            if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(token)) } else { Err(Refused::Header) }
        }
        (Some(_), Some(_)) => Err(Refused::Header),
    }
}

fn certificate_of<B>(request: &Request<B>) -> Option<Arc<[u8]>> {
    let extensions = request.extensions();
    if let Some(PeerCertificate(leaf)) = extensions.get() {
        return Some(Arc::clone(leaf));
    }
    let chain = extensions.get::<TlsConnectInfo<TcpConnectInfo>>()?.peer_certs()?;
    chain.first().map(|leaf| Arc::from(leaf.as_ref()))
}

fn fingerprint(leaf: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(digest::digest(&digest::SHA256, leaf).as_ref()).for_each(|(byte, digest)| *byte = *digest);
    bytes
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }
}

/// A service behind the layer.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S, In, Out> Service<Request<In>> for Guarded<S>
where
    S: Service<Request<In>, Response = Response<Out>> + Clone + Send + 'static,
    S::Future: Send,
    In: Send + 'static,
    Out: Send + 'static,
{
    type Response = Response<GuardedBody<Out>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<In>) -> Self::Future {
        // The one that was ready answers; its clone takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let is_grpc = answer::is_grpc(&request);
        let verified = match self.guard.verify(&request) {
            Ok(verified) => verified,
            Err(refused) => return Box::pin(async move { Ok(answer::refusal(&refused, is_grpc)) }),
        };
        request.extensions_mut().insert(verified.clone());
        let mut death: Death = Box::pin(self.guard.clone().death(verified));
        Box::pin(async move {
            tokio::select! {
                biased;
                answered = inner.call(request) => Ok(answered?.map(|body| GuardedBody::alive(body, death, is_grpc))),
                rejected = &mut death => Ok(answer::refusal(&rejected.into(), is_grpc)),
            }
        })
    }
}

/// Ends when a credential is no longer good.
type Death = Pin<Box<dyn Future<Output = Rejected> + Send>>;
