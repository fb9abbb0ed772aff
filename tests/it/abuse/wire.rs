//! A client that keeps no rules: TLS with or without an identity, HTTP/2 as single frames, and
//! gRPC messages as bytes.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use curfew::client::Config;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::harness::{Broker, Identity};

/// A TLS connection to the gRPC port as `caller`, or to the public one as a stranger.
pub(super) async fn tls(broker: &Broker, caller: Option<&Identity>, protocols: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
    let address = if caller.is_some() { &broker.addresses().grpc } else { &broker.addresses().public };
    let connector = connector(broker, caller, protocols);
    connector.connect(ServerName::try_from("localhost").unwrap(), TcpStream::connect(address).await?).await
}

fn connector(broker: &Broker, caller: Option<&Identity>, protocols: &[&str]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&fs::read(broker.ca()).unwrap()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut config = match caller {
        None => builder.with_no_client_auth(),
        Some(caller) => {
            let chain = CertificateDer::pem_slice_iter(&fs::read(&caller.certificate).unwrap()).map(Result::unwrap).collect();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&fs::read(&caller.key).unwrap()).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// What comes until the other side closes; nothing if it does not within the time.
pub(super) async fn rest<S: tokio::io::AsyncRead + Unpin>(mut stream: S, patience: Duration) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    // A reset is an end too.
    timeout(patience, stream.read_to_end(&mut bytes)).await.ok().map(|_| bytes)
}

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const END_STREAM: u8 = 1;

/// An HTTP/2 connection that sends what it is told to and reads nothing before the end.
pub(super) struct Frames(TlsStream<TcpStream>);

impl Frames {
    pub(super) async fn open(broker: &Broker, caller: &Identity) -> Self {
        let mut stream = tls(broker, Some(caller), &["h2"]).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut frames = Self(stream);
        assert!(frames.send(SETTINGS, 0, 0, &[]).await);
        frames
    }

    /// Whether the other side takes more.
    pub(super) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        let sent = async {
            self.0.write_all(&head).await?;
            self.0.write_all(payload).await
        };
        // Whoever is not read from any more has been given up.
        matches!(timeout(Duration::from_secs(5), sent).await, Ok(Ok(())))
    }

    pub(super) async fn flush(&mut self) -> bool {
        matches!(timeout(Duration::from_secs(5), self.0.flush()).await, Ok(Ok(())))
    }

    /// Whether the other side closes the connection soon.
    pub(super) async fn closes(self) -> bool {
        rest(self.0, Duration::from_secs(10)).await.is_some()
    }
}

/// The header block of a call, without a table and without compression (RFC 7541, section 6.2.2).
pub(super) fn call(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x87, 0x04];
    text(&mut block, path);
    block.push(0x01);
    text(&mut block, "localhost");
    field(&mut block, "te", "trailers");
    field(&mut block, "content-type", "application/grpc");
    block
}

pub(super) fn field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    text(block, name);
    text(block, value);
}

/// A length in a prefix of seven bits (RFC 7541, section 5.1), and the text.
fn text(block: &mut Vec<u8>, text: &str) {
    let mut rest = text.len();
    if rest < 127 {
        block.push(u8::try_from(rest).unwrap());
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).unwrap() | 0x80);
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend_from_slice(text.as_bytes());
}

/// A channel over which any bytes can be sent as a message.
pub(super) async fn channel(config: Config) -> Channel {
    let identity = tonic::transport::Identity::from_pem(&config.certificate, &config.key);
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&config.ca)).identity(identity);
    Endpoint::from_shared(format!("https://{}", config.addresses[0])).unwrap().tls_config(tls).unwrap().connect().await.unwrap()
}

/// Sends `message` to any method.
pub(super) async fn send(channel: &Channel, path: &'static str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    grpc.unary(Request::new(message), http::uri::PathAndQuery::from_static(path), Bytes).await.map(tonic::Response::into_inner)
}

#[derive(Clone, Copy, Default)]
pub(super) struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; bytes::Buf::remaining(buffer)];
        bytes::Buf::copy_to_slice(buffer, &mut bytes);
        Ok(Some(bytes))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
