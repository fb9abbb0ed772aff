//! What an address answers: one connection for one answer, to an address that was judged, and nowhere else.
//!
//! Nobody who answers for a feed can send the broker to another place: redirects are refused, and what is judged is the
//! address that is connected to, not the name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, ETAG, HOST, HeaderValue, IF_NONE_MATCH, USER_AGENT,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::address::is_inside;
use super::chain;
use crate::app::config::sources::Web;

/// How long it may take to find an address and connect to it.
const CONNECT: Duration = Duration::from_secs(10);

/// What is behind an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// What was there before.
    Same,
    /// This, under its tag.
    Body(Vec<u8>, Option<HeaderValue>),
}

/// Why there is no answer to use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    TooLong,
    Refused(String),
}

impl From<String> for Unanswered {
    fn from(problem: String) -> Self {
        Self::Refused(problem)
    }
}

/// Asks for what is there now, of at most `most` bytes; `known` is the tag of what is there already.
pub(super) async fn get(web: &Web, known: Option<&HeaderValue>, most: u64) -> Result<Answer, Unanswered> {
    let asked = tokio::time::timeout(web.timeout, ask(web, known, most)).await;
    asked.map_err(|_elapsed| Unanswered::Refused(format!("it did not answer whole within {} s", web.timeout.as_secs())))?
}

async fn ask(web: &Web, known: Option<&HeaderValue>, most: u64) -> Result<Answer, Unanswered> {
    let request = request(web, known)?;
    let stream = tokio::time::timeout(CONNECT, connect(web)).await;
    let stream = stream.map_err(|_elapsed| format!("no connection to {} within {} s", web.host, CONNECT.as_secs()))??;
    if !web.is_https {
        return exchange(stream, request, most).await;
    }
    let tls = TlsConnector::from(Arc::new(web.trusted.tls()?));
    let name = ServerName::try_from(web.host.clone()).map_err(|error| error.to_string())?;
    let stream = tls.connect(name, stream).await.map_err(|error| chain(&error))?;
    exchange(stream, request, most).await
}

fn request(web: &Web, known: Option<&HeaderValue>) -> Result<Request<Empty<Bytes>>, String> {
    let path = web.uri.path_and_query().map_or("/", |path| path.as_str());
    let host = web.uri.authority().map_or(web.host.as_str(), |authority| authority.as_str());
    let mut request = Request::get(path)
        .header(HOST, host)
        .header(ACCEPT, "application/json, text/csv, */*;q=0.1")
        .header(ACCEPT_ENCODING, "identity")
        .header(USER_AGENT, concat!("curfew/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close");
    if let Some(tag) = known {
        request = request.header(IF_NONE_MATCH, tag);
    }
    if let Some(authorization) = web.authorization()? {
        request = request.header(AUTHORIZATION, authorization);
    }
    request.body(Empty::new()).map_err(|error| error.to_string())
}

/// A connection to an address that may be asked.
async fn connect(web: &Web) -> Result<TcpStream, String> {
    let found = tokio::net::lookup_host((web.host.as_str(), web.port)).await;
    let found: Vec<SocketAddr> = found.map_err(|error| format!("{} has no address: {error}", web.host))?.collect();
    if let Some(inside) = found.iter().find(|address| !web.allow_private && is_inside(address.ip())) {
        let problem = "which is not of the public network; write `allow_private = true` if that is right";
        return Err(format!("{} leads to {}, {problem}", web.host, inside.ip()));
    }
    let mut last = format!("{} has no address", web.host);
    for address in found {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("cannot connect to {address}: {error}"),
        }
    }
    Err(last)
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>, most: u64) -> Result<Answer, Unanswered>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let is_conditional = request.headers().contains_key(IF_NONE_MATCH);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
    // Ends with the answer, or when that is waited for no longer.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| chain(&error))?;
    match response.status() {
        StatusCode::OK => body(response, most).await,
        StatusCode::NOT_MODIFIED if is_conditional => Ok(Answer::Same),
        status if status.is_redirection() => {
            Err(format!("it answers {status}, and nobody is followed elsewhere: write the address where it is").into())
        }
        status => Err(format!("it answers {status}").into()),
    }
}

async fn body(response: Response<Incoming>, most: u64) -> Result<Answer, Unanswered> {
    let encoding = response.headers().get(CONTENT_ENCODING).filter(|encoding| encoding.as_bytes() != b"identity");
    if let Some(encoding) = encoding {
        return Err(format!("it answers in the encoding {encoding:?}, which was not asked for").into());
    }
    // What is announced as too long is not waited for.
    if response.body().size_hint().lower() > most {
        return Err(Unanswered::TooLong);
    }
    let tag = response.headers().get(ETAG).cloned();
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    match Limited::new(response.into_body(), most).collect().await {
        Ok(body) => Ok(Answer::Body(body.to_bytes().into(), tag)),
        Err(error) if error.is::<LengthLimitError>() => Err(Unanswered::TooLong),
        Err(error) => Err(chain(&*error).into()),
    }
}
