//! Mutual TLS over real sockets.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use axum::routing::get;
use axum::{Extension, Router};
use rcgen::{SanType, date_time_ymd};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::client;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::ambient::Clock;
use crate::grpc::trust::{Issuer, TrustBundles};
use crate::listen::pki::{Authority, Leaf, NOW, svid};
use crate::listen::{Alpn, Connections, Identity, Limits, Meters, Server, serve, server_config};
use crate::model::{Position, TrustDomain};

const ID: &str = "spiffe://a.example/billing";

/// A broker's listener that says who the caller is, and the authorities around it.
struct World {
    address: SocketAddr,
    a: Authority,
    b: Authority,
    issuer: Authority,
    trust: Arc<Trust>,
    /// Ends the listener with the test.
    _shutdown: tokio_util::sync::DropGuard,
}

/// Good for centuries: the client's side goes by the clock of this machine.
fn lasting(authority: &Authority, id: &str) -> Leaf {
    let mut params = svid(id);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2400, 1, 1);
    params.subject_alt_names.push(SanType::DnsName("localhost".try_into().expect("a name")));
    authority.sign(&params)
}

impl World {
    async fn start() -> Self {
        let (a, b, issuer) = (Authority::new("A"), Authority::new("B"), Authority::new("broker of A"));
        let domain = |name: &str| name.parse::<TrustDomain>().expect("a domain");
        let bundles = TrustBundles::parse(vec![(domain("a.example"), a.pem()), (domain("b.example"), b.pem())]).expect("usable");
        let own = Issuer { number: Position::new(3), certificate: issuer.der() };
        let trust = Arc::new(Trust::new(domain("a.example"), &[own], bundles).expect("usable"));
        let (clock, _hand) = Clock::manual(NOW);
        let server = lasting(&issuer, "spiffe://a.example/curfew");
        let identity = Identity::from_der(vec![server.chain[0].to_vec()], server.key.serialize_der());
        let verifier = Arc::new(ClientVerifier(Arc::clone(&trust)));
        let tls = Tls::new(server_config(identity, Some(verifier), Alpn::Http2, clock.clone()).expect("usable"));
        let who = |Extension(peer): Extension<Peer>| async move {
            let caller = peer.caller();
            format!("{} from {}", caller.spiffe_id, caller.address.expect("the address of a connection"))
        };
        let server = Server {
            admit: MutualTls { tls, trust: Arc::clone(&trust), administrators: BTreeSet::new() },
            router: Router::new().route("/", get(who)),
            limits: Limits::default(),
            connections: Connections::default(),
            meters: Meters::default(),
            clock,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let shutdown = CancellationToken::new();
        tokio::spawn(serve(listener, server, shutdown.clone()));
        Self { address, a, b, issuer, trust, _shutdown: shutdown.drop_guard() }
    }

    fn client(&self, leaf: Option<&Leaf>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().into()).expect("usable");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]).expect("supported");
        let config = config.with_root_certificates(roots);
        let mut config = match leaf {
            Some(leaf) => config.with_client_auth_cert(leaf.chain.clone(), leaf.private_key()).expect("usable"),
            None => config.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(8);
        Arc::new(config)
    }

    async fn connect(&self, config: &Arc<ClientConfig>) -> client::TlsStream<TcpStream> {
        self.connect_from([127, 0, 0, 1], config).await
    }

    async fn connect_from(&self, place: [u8; 4], config: &Arc<ClientConfig>) -> client::TlsStream<TcpStream> {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((place, 0).into()).expect("an address of this machine");
        let tcp = socket.connect(self.address).await.expect("connected");
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.expect("the client's half of the handshake")
    }

    /// Who the server says that the caller is, or the alert with which it ended the handshake.
    async fn ask(&self, config: &Arc<ClientConfig>) -> Result<String, AlertDescription> {
        ask(&mut self.connect(config).await).await
    }
}

async fn ask(stream: &mut client::TlsStream<TcpStream>) -> Result<String, AlertDescription> {
    let alert = |error: io::Error| match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(Error::AlertReceived(alert)) => *alert,
        _ => panic!("not an alert: {error}"),
    };
    // A server that has refused the certificate may have gone by now; its alert waits to be read.
    let _gone = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.map_err(alert)?;
    Ok(text.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn every_call_carries_the_identity_of_the_certificate_and_the_address_of_the_connection() {
    let world = World::start().await;
    let client = world.client(Some(&lasting(&world.a, ID)));
    assert_eq!(world.ask(&client).await, Ok(format!("{ID} from 127.0.0.1")));
    assert_eq!(ask(&mut world.connect_from([127, 0, 0, 2], &client).await).await, Ok(format!("{ID} from 127.0.0.2")));
}

#[tokio::test]
async fn without_a_certificate_that_is_believed_there_is_no_call() {
    let world = World::start().await;
    assert_eq!(world.ask(&world.client(None)).await, Err(AlertDescription::CertificateRequired));
    let crossed = lasting(&world.b, ID);
    assert_eq!(world.ask(&world.client(Some(&crossed))).await, Err(AlertDescription::UnknownCA));
    let mut expired = svid(ID);
    expired.not_after = date_time_ymd(2026, 5, 1);
    assert_eq!(world.ask(&world.client(Some(&world.a.sign(&expired)))).await, Err(AlertDescription::CertificateExpired));
    let elsewhere = lasting(&world.a, "spiffe://c.example/x");
    assert_eq!(world.ask(&world.client(Some(&elsewhere))).await, Err(AlertDescription::CertificateUnknown));
}

#[tokio::test]
async fn no_session_is_ever_resumed() {
    let world = World::start().await;
    let config = world.client(Some(&lasting(&world.a, ID)));
    for _ in 0..2 {
        let mut stream = world.connect(&config).await;
        ask(&mut stream).await.expect("answered");
        let connection = stream.get_ref().1;
        assert_eq!(connection.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(connection.tls13_tickets_received(), 0);
    }
}

#[tokio::test]
async fn an_older_tls_is_refused() {
    let world = World::start().await;
    // A ClientHello of TLS 1.2: ECDHE-ECDSA-AES128-GCM-SHA256, X25519, ECDSA with P-256.
    let extensions = [&[0, 10, 0, 4, 0, 2, 0, 29][..], &[0, 13, 0, 4, 0, 2, 4, 3], &[0, 11, 0, 2, 1, 0]].concat();
    let length = u8::try_from(extensions.len()).expect("short");
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0xc0, 0x2b, 1, 0, 0, length], &extensions].concat();
    let length = u8::try_from(body.len()).expect("short");
    let hello = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat();
    let mut tcp = TcpStream::connect(world.address).await.expect("connected");
    tcp.write_all(&hello).await.expect("sent");
    tcp.shutdown().await.expect("sent");
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.expect("closed in order");
    // A fatal alert, protocol_version (RFC 8446, section 6).
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70]);
}

#[tokio::test]
async fn a_replaced_server_certificate_holds_for_the_next_connection() {
    let authority = Authority::new("broker");
    let config = |leaf: &Leaf| {
        let identity = Identity::from_der(vec![leaf.chain[0].to_vec()], leaf.key.serialize_der());
        server_config(identity, None, Alpn::Http, Clock::system()).expect("usable")
    };
    let (first, second) = (lasting(&authority, ID), lasting(&authority, ID));
    let tls = Tls::new(config(&first));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = tls.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let _ = server.handshake(tcp).await;
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().into()).expect("usable");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]).expect("supported");
    let client = TlsConnector::from(Arc::new(client.with_root_certificates(roots).with_no_client_auth()));
    for leaf in [&first, &second] {
        tls.replace(config(leaf));
        let tcp = TcpStream::connect(address).await.expect("connected");
        let stream = client.connect(ServerName::try_from("localhost").expect("a name"), tcp).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.peer_certificates().and_then(<[_]>::first), leaf.chain.first());
    }
}

/// On a connection that is open.
#[tokio::test]
async fn a_certificate_is_believed_for_as_long_as_an_authority_in_force_vouches_for_it() {
    let world = World::start().await;
    let peer = |authority: &Authority, id: &str| {
        let leaf = lasting(authority, id);
        let caller = world.trust.accepted(&leaf.chain[0]).expect("an SVID");
        Peer::new(caller, leaf.chain.clone(), Arc::clone(&world.trust), world.trust.generation())
    };
    let (a, b) = (peer(&world.a, "spiffe://a.example/x"), peer(&world.b, "spiffe://b.example/x"));
    let replace = |bundles: Vec<(&str, Vec<u8>)>| {
        let bundles = bundles.into_iter().map(|(domain, pem)| (domain.parse().expect("a domain"), pem)).collect();
        world.trust.replace(TrustBundles::parse(bundles).expect("usable")).expect("in force");
    };
    let believed = || [&a, &b].map(|peer| peer.believed(NOW).map_err(|denial| denial.code));
    assert_eq!(believed(), [Ok(()); 2]);
    replace(vec![("b.example", world.b.pem())]);
    assert_eq!(believed(), [Err(DenialCode::CertificateUntrusted), Ok(())]);
    replace(vec![("a.example", world.a.pem())]);
    assert_eq!(believed(), [Ok(()), Err(DenialCode::CertificateUntrusted)], "each change is looked at anew");
}
