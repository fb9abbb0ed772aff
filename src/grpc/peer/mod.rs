//! The handshake of the gRPC listener: mutual TLS, and the identity that every call carries.

use std::io;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::trust::{Refused, Trust};
use crate::listen::{Admit, Tls};
use crate::policy::Caller;

/// Who is at the other end of a connection. Every request carries it as an extension.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Arc<Caller>);

impl Peer {
    /// The holder of a certificate that was accepted.
    pub(super) fn new(caller: Caller) -> Self {
        Self(Arc::new(caller))
    }

    /// The caller, as its certificate proves it.
    pub(crate) fn caller(&self) -> &Caller {
        &self.0
    }
}

/// Mutual TLS.
#[derive(Clone, Debug)]
pub(crate) struct MutualTls {
    /// The server's side; its configuration asks [`ClientVerifier`].
    pub(crate) tls: Tls,
    /// Whom to believe.
    pub(crate) trust: Arc<Trust>,
}

impl Admit for MutualTls {
    type Stream = TlsStream<TcpStream>;
    type Peer = Peer;

    async fn admit(&self, tcp: TcpStream) -> io::Result<(Self::Stream, Peer)> {
        let stream = self.tls.handshake(tcp).await?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let leaf = leaf.ok_or_else(|| io::Error::other("no client certificate"))?;
        let peer = Peer::new(self.trust.accepted(leaf).map_err(io::Error::other)?);
        Ok((stream, peer))
    }
}

/// Lets [`Trust`] decide on client certificates. One is required.
#[derive(Debug)]
pub(crate) struct ClientVerifier(pub(crate) Arc<Trust>);

impl ClientCertVerifier for ClientVerifier {
    /// None: whom the broker trusts is not told to strangers.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.verify(end_entity, intermediates, now).map_err(|refused| alert(&refused))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, self.0.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.algorithms().supported_schemes()
    }
}

/// The error whose alert tells the client most.
fn alert(refused: &Refused) -> Error {
    let Refused::Path { problem, .. } = refused else {
        return CertificateError::Other(OtherError(Arc::new(refused.clone()))).into();
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive, and has one alert for the rest")]
    match problem {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        _ => CertificateError::Other(OtherError(Arc::new(refused.clone()))),
    }
    .into()
}

#[cfg(test)]
mod tests;
