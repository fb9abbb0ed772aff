//! The handshake of the gRPC listener: mutual TLS, and the identity that every call carries.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::trust::{Refused, Trust};
use crate::listen::{Admit, Tls};
use crate::model::{Denial, DenialCode, SpiffeId, Timestamp};
use crate::policy::Caller;

/// Who is at the other end of a connection. Every request carries it as an extension.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Arc<Proved>);

#[derive(Debug)]
struct Proved {
    caller: Caller,
    /// As it was presented, the leaf first.
    chain: Vec<CertificateDer<'static>>,
    trust: Arc<Trust>,
    /// The bundles under which the chain was last seen to be good.
    generation: AtomicU64,
    /// Its connection is to end.
    over: CancellationToken,
}

impl Peer {
    /// The holder of a certificate that was accepted under the bundles of `generation`, or later ones.
    pub(super) fn new(caller: Caller, chain: Vec<CertificateDer<'static>>, trust: Arc<Trust>, generation: u64) -> Self {
        Self(Arc::new(Proved { caller, chain, trust, generation: AtomicU64::new(generation), over: CancellationToken::new() }))
    }

    /// Ends the connection: what is under way has a moment to finish.
    pub(crate) fn hang_up(&self) {
        self.0.over.cancel();
    }

    /// The caller, as its certificate proves it.
    pub(crate) fn caller(&self) -> &Caller {
        &self.0.caller
    }

    /// Whether an authority that is trusted now vouches for the certificate: bundles may have
    /// changed on a connection that is open.
    ///
    /// # Errors
    /// `CERTIFICATE_UNTRUSTED`.
    pub(crate) fn believed(&self, now: Timestamp) -> Result<(), Denial> {
        let Proved { chain, trust, generation, .. } = &*self.0;
        let current = trust.generation();
        if generation.load(Ordering::Acquire) == current {
            return Ok(());
        }
        let untrusted = |detail: String| Denial::new(DenialCode::CertificateUntrusted, detail);
        let (leaf, intermediates) = chain.split_first().ok_or_else(|| untrusted("no certificate".to_owned()))?;
        let now = UnixTime::since_unix_epoch(Duration::from_millis(now.millis()));
        trust.verify(leaf, intermediates, now).map_err(|refused| untrusted(refused.to_string()))?;
        generation.store(current, Ordering::Release);
        Ok(())
    }
}

/// Mutual TLS.
#[derive(Clone, Debug)]
pub(crate) struct MutualTls {
    /// The server's side; its configuration asks [`ClientVerifier`].
    pub(crate) tls: Tls,
    /// Whom to believe.
    pub(crate) trust: Arc<Trust>,
    /// Who gets in however many others are in: they may be revoking.
    pub(crate) administrators: BTreeSet<SpiffeId>,
}

impl Admit for MutualTls {
    type Stream = TlsStream<TcpStream>;
    type Peer = Peer;

    async fn admit(&self, tcp: TcpStream) -> io::Result<(Self::Stream, Peer)> {
        // Before the handshake: bundles that change during it count as changed.
        let generation = self.trust.generation();
        let from = tcp.peer_addr()?.ip();
        let stream = self.tls.handshake(tcp).await?;
        let chain: Vec<_> = stream.get_ref().1.peer_certificates().into_iter().flatten().map(|one| one.clone().into_owned()).collect();
        let leaf = chain.first().ok_or_else(|| io::Error::other("no client certificate"))?;
        let caller = Caller { address: Some(from.into()), ..self.trust.accepted(leaf).map_err(io::Error::other)? };
        Ok((stream, Peer::new(caller, chain, Arc::clone(&self.trust), generation)))
    }

    fn name(peer: &Peer) -> Option<String> {
        Some(peer.caller().spiffe_id.to_string())
    }

    fn goes_first(&self, peer: &Peer) -> bool {
        self.administrators.contains(&peer.caller().spiffe_id)
    }

    async fn over(peer: Peer) {
        peer.0.over.cancelled().await;
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
