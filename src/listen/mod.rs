//! The accept loop that every listener runs: bounds on handshakes, connections and streams, the
//! peer of each connection at each of its requests, and an orderly end.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::ambient::Clock;
use handshakes::Handshakes;
use prompt::Prompt;

mod connections;
mod handshakes;
mod meters;
#[cfg(test)]
pub(crate) mod pki;
mod prompt;
mod tls;

pub(crate) use connections::Connections;
pub(crate) use meters::Meters;
pub(crate) use tls::{Alpn, Identity, Tls, TlsError, server_config};

/// How long calls under way may take to finish on a connection that is to end, such as that of a peer who is no longer welcome.
/// Each new call is refused by itself, so this only lets an answer out.
const CLOSING: Duration = Duration::from_secs(1);

/// How long to wait after `accept` failed, as it does when no file descriptor is left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What one listener bears.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Handshakes under way; 1,024 by default. Beyond it the oldest is ended, of the address that has most.
    pub(crate) handshakes: usize,
    /// How long one handshake may take, with the wait for room, and then the first bytes, and the head of a request of
    /// HTTP/1; 10 s by default.
    pub(crate) handshake: Duration,
    /// Connections; 16,384 by default. Beyond it the oldest of a stranger is asked to end; where all
    /// peers have names, which bounds what each can hold, the next waits as long as a handshake may take,
    /// unless it [goes first](Admit::goes_first).
    pub(crate) connections: usize,
    /// Connections of one peer, where peers have names; as many as there may be by default.
    pub(crate) peer_connections: usize,
    /// Whether HTTP/1.1 is spoken beside HTTP/2; it is by default.
    pub(crate) http_1: bool,
    /// Requests under way on one HTTP/2 connection; 256 by default.
    pub(crate) streams: u32,
    /// Bytes of the headers of one request, as HTTP/2 counts them; 16 KiB by default.
    pub(crate) header_list: u32,
    /// Streams reset by the peer before they were accepted (CVE-2023-44487), and streams reset
    /// here for errors of the peer (CVE-2025-8671), until a connection is closed; 64 by default.
    pub(crate) resets: usize,
    /// When a connection is asked to end, though it be in use; never by default.
    pub(crate) longest_connection: Option<Duration>,
    /// How long requests under way may take to finish at shutdown; 30 s by default.
    pub(crate) drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes: 1024,
            handshake: Duration::from_secs(10),
            connections: 16_384,
            peer_connections: usize::MAX,
            http_1: true,
            streams: 256,
            header_list: 16 << 10,
            resets: 64,
            longest_connection: None,
            drain: Duration::from_secs(30),
        }
    }
}

/// How a listener comes from a TCP connection to a stream of requests and a known peer.
pub(crate) trait Admit: Send + Sync + 'static {
    /// What requests are read from.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Who is at the other end; every request carries it as an extension.
    type Peer: Clone + Send + Sync + 'static;

    /// By what the connections of a peer are counted; strangers have no name.
    fn name(_peer: &Self::Peer) -> Option<String> {
        None
    }

    /// Whether the peer gets in however many others are in. Its own connections are counted all the same.
    fn goes_first(&self, _peer: &Self::Peer) -> bool {
        false
    }

    /// Returns when whatever answers requests wants the connection to end.
    fn over(_peer: Self::Peer) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Does the handshake. An error ends the connection.
    fn admit(&self, tcp: TcpStream) -> impl Future<Output = io::Result<(Self::Stream, Self::Peer)>> + Send;
}

/// A stream, who is at its other end, and its room among the connections.
type Admitted<A> = (<A as Admit>::Stream, <A as Admit>::Peer, Option<OwnedSemaphorePermit>);

/// What a listener serves, to whom, and within which limits.
pub(crate) struct Server<A: Admit> {
    /// The handshake.
    pub(crate) admit: A,
    /// What answers requests.
    pub(crate) router: Router,
    /// The limits.
    pub(crate) limits: Limits,
    /// The open connections; shared with whoever may close them.
    pub(crate) connections: Connections<A::Peer>,
    /// What is counted.
    pub(crate) meters: Meters,
    /// By which connections grow old.
    pub(crate) clock: Clock,
}

/// Serves connections until `shutdown`, then lets requests under way finish, and returns when the
/// last connection is closed.
pub(crate) async fn serve<A: Admit>(listener: TcpListener, server: Server<A>, shutdown: CancellationToken) {
    let server = Arc::new(server);
    let handshakes = Handshakes::at_most(server.limits.handshakes);
    let connections = Arc::new(Semaphore::new(server.limits.connections));
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, from)) => {
                let (server, shutdown, handshake) = (Arc::clone(&server), shutdown.clone(), handshakes.begin(from.ip()));
                let connections = Arc::clone(&connections);
                tasks.spawn(async move {
                    // Who waits for room is under way still, so that no more wait than may.
                    let admitted = tokio::select! {
                        () = shutdown.cancelled() => None,
                        () = handshake.shed() => server.shed(),
                        admitted = server.admit(tcp, connections) => admitted,
                    };
                    drop(handshake);
                    if let Some((stream, peer, _room)) = admitted {
                        server.converse(stream, peer, shutdown).await;
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    () = server.clock.sleep(ACCEPT_AGAIN) => {}
                }
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

impl<A: Admit> Server<A> {
    async fn admit(&self, tcp: TcpStream, connections: Arc<Semaphore>) -> Option<Admitted<A>> {
        let from = tcp.peer_addr().ok();
        // Without it small answers wait for an acknowledgement.
        let handshake = async {
            tcp.set_nodelay(true)?;
            let (stream, peer) = self.admit.admit(tcp).await?;
            let room = self.room(&peer, connections).await;
            Ok((stream, peer, room))
        };
        let error = match timeout(self.limits.handshake, handshake).await {
            Ok(Ok(admitted)) => return Some(admitted),
            Ok(Err(error)) => error,
            Err(_elapsed) => io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long, or no connection has ended meanwhile"),
        };
        self.meters.refused.inc();
        if self.meters.may_tell(self.clock.now()) {
            tracing::info!(?from, %error, "a connection was refused");
        }
        None
    }

    /// Room for a connection of this peer, once there is some; none is needed by who goes first.
    async fn room(&self, peer: &A::Peer, connections: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        if self.admit.goes_first(peer) {
            return None;
        }
        if connections.available_permits() == 0 {
            self.connections.oldest_stranger_leaves();
        }
        connections.acquire_owned().await.ok()
    }

    /// A handshake made room for another.
    fn shed(&self) -> Option<Admitted<A>> {
        self.meters.shed.inc();
        if self.meters.may_tell(self.clock.now()) {
            tracing::warn!(most = self.limits.handshakes, "too many handshakes are under way: the oldest are ended");
        }
        None
    }

    /// Answers the requests of one connection until it ends or is to end.
    async fn converse(&self, stream: A::Stream, peer: A::Peer, shutdown: CancellationToken) {
        let name = A::name(&peer);
        let Some(open) = self.connections.open(peer.clone(), name.as_deref(), self.limits.peer_connections) else {
            self.meters.refused.inc();
            if self.meters.may_tell(self.clock.now()) {
                tracing::info!(name, most = self.limits.peer_connections, "a connection was refused: its peer has too many");
            }
            return;
        };
        self.meters.accepted.inc();
        let router = self.router.clone();
        let over = A::over(peer.clone());
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            router.clone().call(request)
        });
        let builder = self.builder();
        let connection = builder.serve_connection(TokioIo::new(Prompt::new(stream, self.limits.handshake)), service);
        tokio::pin!(connection);
        let aged = async {
            match self.limits.longest_connection {
                Some(age) => self.clock.sleep(age).await,
                None => std::future::pending().await,
            }
        };
        let patience = tokio::select! {
            // How it ended is the peer's affair; each request was answered by itself.
            _ended = connection.as_mut() => return,
            () = open.unwelcome() => CLOSING,
            () = over => CLOSING,
            () = shutdown.cancelled() => self.limits.drain,
            () = aged => self.limits.drain,
        };
        connection.as_mut().graceful_shutdown();
        let _ended_or_dropped = timeout(patience, connection).await;
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.limits.handshake).max_buf_size(64 << 10);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .max_concurrent_streams(self.limits.streams)
            .max_header_list_size(self.limits.header_list)
            .max_pending_accept_reset_streams(self.limits.resets)
            .max_local_error_reset_streams(self.limits.resets);
        if self.limits.http_1 { builder } else { builder.http2_only() }
    }
}

#[cfg(test)]
mod tests;
