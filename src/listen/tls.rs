//! The server's side of TLS: version 1.3, no resumption, and a configuration that can be
//! replaced while connections are open.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage};
use rustls::time_provider::TimeProvider;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::ambient::Clock;

/// Why a server cannot speak TLS with what it was given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// No certificate can be read.
    #[error("the server certificate cannot be read: {0}")]
    Certificate(rustls::pki_types::pem::Error),
    /// No private key can be read.
    #[error("the private key of the server certificate cannot be read: {0}")]
    Key(rustls::pki_types::pem::Error),
    /// They do not go together, or cannot be used.
    #[error("the server certificate and its private key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Who the server is: its certificate, intermediates after it, and the private key.
#[derive(Debug)]
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From DER. The key is PKCS #8.
    pub(crate) fn from_der(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Self {
        Self { chain: chain.into_iter().map(CertificateDer::from).collect(), key: PrivateKeyDer::Pkcs8(key.into()) }
    }

    /// From PEM.
    ///
    /// # Errors
    /// If either holds nothing that can be used.
    pub(crate) fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(TlsError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsError::Certificate(rustls::pki_types::pem::Error::NoItemsFound));
        }
        Ok(Self { chain, key: PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)? })
    }
}

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Alpn {
    /// HTTP/2 only: gRPC.
    Http2,
    /// HTTP/2 or HTTP/1.1.
    Http,
}

/// A configuration for `identity`; with `clients`, a client certificate is required.
///
/// # Errors
/// If certificate and key do not go together.
pub(crate) fn server_config(
    identity: Identity,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    alpn: Alpn,
    clock: Clock,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(Wall(clock)))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients.unwrap_or_else(|| Arc::new(NoClientAuth)))
        .with_single_cert(identity.chain, identity.key)?;
    // A resumed session would bring its client certificate along without another look at it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = match alpn {
        Alpn::Http2 => vec![b"h2".to_vec()],
        Alpn::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(config)
}

/// The clock that certificates are checked against.
#[derive(Debug)]
struct Wall(Clock);

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.now().seconds())))
    }
}

/// The configuration in force. Clones share it; a replaced one holds for new connections.
#[derive(Clone, Debug)]
pub(crate) struct Tls(Arc<ArcSwap<ServerConfig>>);

/// What is still read from a client after its handshake was refused, in bytes.
const LAST_WORDS: u64 = 64 << 10;

impl Tls {
    /// Begins with `config`.
    pub(crate) fn new(config: ServerConfig) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(config)))
    }

    /// Puts `config` in force: a new certificate, for example.
    pub(crate) fn replace(&self, config: ServerConfig) {
        self.0.store(Arc::new(config));
    }

    /// Does the handshake.
    pub(crate) async fn handshake(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        match TlsAcceptor::from(self.0.load_full()).accept(tcp).into_fallible().await {
            Ok(stream) => Ok(stream),
            Err((error, mut tcp)) => {
                // Closing with something unread would reset the connection, and the client would
                // lose the alert that tells it why.
                let _unreachable = tcp.shutdown().await;
                let _ignored = tokio::io::copy(&mut tcp.take(LAST_WORDS), &mut tokio::io::sink()).await;
                Err(error)
            }
        }
    }
}
