//! Certificates, as a source holds them: each with a key of its own, which was made here.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureScheme, crypto};

use super::{Credential, CredentialSource};
use crate::ambient::Entropy;
use crate::client::{Client, Failure, FreshKey, api};
use crate::formats::binding::Binding;
use crate::formats::pem;
use crate::formats::svid::{OwnPart, Svid};
use crate::model::{CredentialId, SpiffeId, Timestamp};

/// A certificate as it was issued, with its private key.
#[derive(Clone)]
pub struct HeldCertificate {
    key: FreshKey,
    certified: Arc<CertifiedKey>,
    spiffe_id: SpiffeId,
    expires_at: Timestamp,
    own: OwnPart,
}

impl HeldCertificate {
    /// Whom it identifies.
    pub const fn spiffe_id(&self) -> &SpiffeId {
        &self.spiffe_id
    }

    /// Its serial number.
    pub const fn id(&self) -> CredentialId {
        self.own.id
    }

    /// The leaf first, then its issuer; DER each.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The same, PEM.
    pub fn chain_pem(&self) -> String {
        pem::certificates(self.chain())
    }

    /// Its private key.
    pub const fn key(&self) -> &FreshKey {
        &self.key
    }

    /// Both, as rustls takes them.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// What the broker answered, if it is a certificate of this key.
    fn of(chain: Vec<Vec<u8>>, key: FreshKey) -> Option<Self> {
        let svid = Svid::from_der(chain.first()?).ok()?;
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.pkcs8()));
        let signing = crypto::ring::sign::any_ecdsa_type(&private).ok()?;
        let certified = CertifiedKey::new(chain.into_iter().map(CertificateDer::from).collect(), signing);
        certified.keys_match().ok()?;
        Some(Self { key, certified: Arc::new(certified), spiffe_id: svid.spiffe_id, expires_at: svid.expires_at, own: svid.own? })
    }
}

impl Credential for HeldCertificate {
    /// Its `csr` is left empty: each certificate is for a key of its own, which the source makes.
    type Request = api::IssueCertificateRequest;

    async fn fetch(request: &Self::Request, client: &Client, entropy: &Entropy) -> Result<Self, Failure> {
        let key = FreshKey::generate(entropy)?;
        let request = api::IssueCertificateRequest { csr: key.request()?, ..request.clone() };
        let chain = client.credentials().issue_certificate(request).await?.into_inner().chain;
        Self::of(chain, key).ok_or_else(|| Failure::unusable("the broker's answer is no certificate of the key that was sent".to_owned()))
    }

    fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    fn binding(&self) -> &Binding {
        &self.own.binding
    }
}

/// Each handshake presents the certificate that is at hand then, and none if there is none.
impl ResolvesClientCert for CredentialSource<HeldCertificate> {
    fn resolve(&self, _issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.held().map(|held| held.certified()).filter(|certified| certified.key.choose_scheme(schemes).is_some())
    }

    fn has_certs(&self) -> bool {
        self.held().is_some()
    }
}

/// Each handshake presents the certificate that is at hand then; without one, there is none.
impl ResolvesServerCert for CredentialSource<HeldCertificate> {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.held().map(|held| held.certified()).filter(|certified| certified.key.choose_scheme(hello.signature_schemes()).is_some())
    }
}

impl std::fmt::Debug for HeldCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { spiffe_id, expires_at, own, .. } = self;
        f.debug_struct("HeldCertificate")
            .field("spiffe_id", spiffe_id)
            .field("expires_at", expires_at)
            .field("own", own)
            .finish_non_exhaustive()
    }
}
