//! The accept loop over real sockets, with a handshake of one byte: the peer's name.

use std::future::pending;
use std::net::SocketAddr;

use axum::Extension;
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::ambient::ManualClock;
use crate::model::Timestamp;

type Peer = u8;

struct OneByte;

impl Admit for OneByte {
    type Stream = TcpStream;
    type Peer = Peer;

    /// Strangers are written small.
    fn name(peer: &Peer) -> Option<String> {
        peer.is_ascii_uppercase().then(|| char::from(*peer).to_string())
    }

    /// Z runs the place.
    fn goes_first(&self, peer: &Peer) -> bool {
        *peer == b'Z'
    }

    async fn admit(&self, mut tcp: TcpStream) -> io::Result<(TcpStream, Peer)> {
        let peer = tcp.read_u8().await?;
        if peer == b'!' { Err(io::Error::other("not welcome")) } else { Ok((tcp, peer)) }
    }
}

struct Running {
    address: SocketAddr,
    connections: Connections<Peer>,
    meters: Meters,
    hand: ManualClock,
    shutdown: CancellationToken,
    done: JoinHandle<()>,
}

async fn run(router: Router, limits: Limits, connections: Connections<Peer>) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (meters, shutdown) = (Meters::default(), CancellationToken::new());
    let (clock, hand) = Clock::manual(Timestamp::from_seconds(1));
    let server = Server { admit: OneByte, router, limits, connections: connections.clone(), meters: meters.clone(), clock };
    let done = tokio::spawn(serve(listener, server, shutdown.clone()));
    Running { address, connections, meters, hand, shutdown, done }
}

async fn start(router: Router, limits: Limits) -> Running {
    run(router, limits, Connections::default()).await
}

impl Running {
    async fn connect(&self, peer: u8) -> TcpStream {
        let mut tcp = TcpStream::connect(self.address).await.expect("connected");
        tcp.write_u8(peer).await.expect("sent");
        tcp
    }
}

async fn ask(tcp: &mut TcpStream) {
    tcp.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("sent");
}

/// Reads to the end of the connection; the answer's body.
async fn rest(mut tcp: TcpStream) -> String {
    let mut text = String::new();
    tcp.read_to_string(&mut text).await.expect("closed in order");
    text.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned()
}

fn who() -> Router {
    Router::new().route("/", get(|Extension(peer): Extension<Peer>| async move { char::from(peer).to_string() }))
}

#[tokio::test]
async fn every_request_carries_the_peer_of_its_connection() {
    let server = start(who(), Limits::default()).await;
    for peer in [b'a', b'b'] {
        let mut tcp = server.connect(peer).await;
        tcp.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.expect("sent");
        assert_eq!(rest(tcp).await, char::from(peer).to_string());
    }
    let mut registry = Registry::with_prefix("test");
    server.meters.register(&server.connections, &mut registry);
    assert_eq!(rest(server.connect(b'!').await).await, "", "refused");
    server.shutdown.cancel();
    server.done.await.expect("ended");
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
    for line in ["test_handshakes_total 2", "test_handshakes_refused_total 1", "test_connections 0"] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

#[tokio::test]
async fn no_more_connections_are_open_than_allowed_and_the_others_wait() {
    let connections = Connections::default();
    let seen = connections.clone();
    let router = Router::new().route("/", get(move || async move { seen.len().to_string() }));
    let server = run(router, Limits { connections: 2, ..Limits::default() }, connections).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut tcp = server.connect(b'A').await;
        tcp.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.expect("sent");
        clients.push(tokio::spawn(rest(tcp)));
    }
    for client in clients {
        let open = client.await.expect("answered");
        assert!(["1", "2"].contains(&open.as_str()), "{open} connections were open");
    }
}

#[tokio::test]
async fn strangers_who_stay_make_room_for_others_and_those_with_a_name_do_not() {
    let server = start(who(), Limits { connections: 3, ..Limits::default() }).await;
    let mut named = server.connect(b'A').await;
    ask(&mut named).await;
    let mut stayed = Vec::new();
    for peer in [b'b', b'c'] {
        let mut tcp = server.connect(peer).await;
        ask(&mut tcp).await;
        assert_ne!(tcp.read(&mut [0; 512]).await.expect("answered"), 0);
        stayed.push(tcp);
    }
    let mut next = server.connect(b'd').await;
    next.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.expect("sent");
    assert_eq!(rest(next).await, "d");
    assert_eq!(rest(stayed.remove(0)).await, "", "the oldest stranger's was closed");
    for mut tcp in [named, stayed.remove(0)] {
        tcp.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.expect("sent");
        assert_ne!(rest(tcp).await, "", "the others are answered");
    }
}

#[tokio::test]
async fn who_goes_first_gets_in_though_all_room_is_taken_for_good() {
    let server = start(who(), Limits { connections: 2, handshakes: 4, ..Limits::default() }).await;
    let mut staying = Vec::new();
    for peer in [b'A', b'B'] {
        let mut tcp = server.connect(peer).await;
        ask(&mut tcp).await;
        assert_ne!(tcp.read(&mut [0; 512]).await.expect("answered"), 0);
        staying.push(tcp);
    }
    for _ in 0..8 {
        staying.push(server.connect(b'C').await);
    }
    let mut first = server.connect(b'Z').await;
    first.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.expect("sent");
    assert_eq!(rest(first).await, "Z");
    let mut second = server.connect(b'D').await;
    ask(&mut second).await;
    drop(staying);
    assert_ne!(second.read(&mut [0; 512]).await.expect("answered"), 0, "and the others once there is room");
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_ends() {
    let server = start(who(), Limits { handshake: Duration::from_millis(20), ..Limits::default() }).await;
    let silent = TcpStream::connect(server.address).await.expect("connected");
    assert_eq!(rest(silent).await, "", "closed without a word");
    assert_eq!(server.meters.refused.get(), 1);
}

#[tokio::test]
async fn handshakes_that_lead_nowhere_keep_nobody_waiting() {
    let server = start(who(), Limits { handshake: Duration::from_secs(600), handshakes: 2, ..Limits::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(server.address).await.expect("connected"));
    }
    let mut other = server.connect(b'b').await;
    other.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.expect("sent");
    assert_eq!(rest(other).await, "b");
    assert_eq!(rest(silent.remove(0)).await, "", "the oldest made room");
    assert!((6..=7).contains(&server.meters.shed.get()), "{}", server.meters.shed.get());
}

/// A service that says that it was reached, and answers when it is told to.
fn held(reached: &Arc<Notify>, answer: &Arc<Notify>) -> Router {
    let (reached, answer) = (Arc::clone(reached), Arc::clone(answer));
    let handler = move || async move {
        reached.notify_one();
        answer.notified().await;
        "done"
    };
    Router::new().route("/", get(handler)).route("/free", get(|| async { "free" }))
}

#[tokio::test]
async fn shutting_down_lets_requests_under_way_finish_and_accepts_no_more() {
    let (reached, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = start(held(&reached, &answer), Limits::default()).await;
    let (mut busy, mut idle) = (server.connect(b'a').await, server.connect(b'b').await);
    ask(&mut busy).await;
    reached.notified().await;
    idle.write_all(b"GET /free HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("sent");
    let mut answered = Vec::new();
    while !answered.ends_with(b"free") {
        answered.push(idle.read_u8().await.expect("an answer"));
    }
    server.shutdown.cancel();
    assert_eq!(rest(idle).await, "");
    answer.notify_one();
    assert_eq!(rest(busy).await, "done");
    server.done.await.expect("ended");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn shutting_down_waits_no_longer_than_it_may() {
    let reached = Arc::new(Notify::new());
    let entered = Arc::clone(&reached);
    let handler = move || async move {
        entered.notify_one();
        pending::<()>().await;
    };
    let limits = Limits { drain: Duration::from_millis(20), ..Limits::default() };
    let server = start(Router::new().route("/", get(handler)), limits).await;
    let mut tcp = server.connect(b'a').await;
    ask(&mut tcp).await;
    reached.notified().await;
    server.shutdown.cancel();
    server.done.await.expect("ended though a request was under way");
}

#[tokio::test]
async fn connections_of_an_unwelcome_peer_end_after_the_answer_that_is_under_way() {
    let (reached, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = start(held(&reached, &answer), Limits::default()).await;
    let (mut cut, mut other) = (server.connect(b'a').await, server.connect(b'b').await);
    ask(&mut cut).await;
    reached.notified().await;
    ask(&mut other).await;
    reached.notified().await;
    assert_eq!(server.connections.close_where(|peer| *peer == b'a'), 1);
    answer.notify_waiters();
    assert_eq!(rest(cut).await, "done", "and closed, though the client asked to keep it open");
    assert_eq!(server.connections.len(), 1, "the other peer's stays");
}

#[tokio::test]
async fn a_connection_ends_at_the_age_that_is_allowed() {
    let limits = Limits { longest_connection: Some(Duration::from_secs(300)), ..Limits::default() };
    let (reached, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = start(held(&reached, &answer), limits).await;
    let mut tcp = server.connect(b'a').await;
    ask(&mut tcp).await;
    reached.notified().await;
    server.hand.advance(Duration::from_secs(300));
    answer.notify_one();
    assert_eq!(rest(tcp).await, "done");
}
