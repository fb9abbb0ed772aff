//! The check of a certificate.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage};

use super::keys::Anchor;
use super::{Moment, Rejected, Verifier};
use crate::formats::binding::Binding;
use crate::formats::svid::{OwnPart, Svid, SvidError};
use crate::model::{CredentialId, Position, SpiffeId, Timestamp};

/// A certificate that was good when it was checked. Only [`Verifier::certificate`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedCertificate {
    svid: Svid,
    own: OwnPart,
    /// The number of the key that signed it.
    key: Position,
}

impl AcceptedCertificate {
    /// Its serial number.
    pub const fn id(&self) -> CredentialId {
        self.own.id
    }

    /// Whom it identifies.
    pub const fn spiffe_id(&self) -> &SpiffeId {
        &self.svid.spiffe_id
    }

    /// What it says of itself.
    pub const fn binding(&self) -> &Binding {
        &self.own.binding
    }

    /// When it ends.
    pub const fn expires_at(&self) -> Timestamp {
        self.svid.expires_at
    }

    /// SHA-256 of it, DER: what the tokens of its holder are bound to.
    pub const fn fingerprint(&self) -> [u8; 32] {
        self.svid.fingerprint
    }
}

impl Verifier {
    /// Checks a leaf certificate of this broker, DER, that was presented at `moment`. That its holder
    /// has the private key is for the handshake. No authority stands between it and the issuer, so
    /// the rest of a chain is of no use.
    ///
    /// # Errors
    /// Says the first thing that is wrong.
    pub fn certificate(&self, leaf: &[u8], moment: Moment) -> Result<AcceptedCertificate, Rejected> {
        let known = self.known();
        known.fresh(&self.settings, moment)?;
        let svid = Svid::from_der(leaf)?;
        let key = known.keys.issuers.iter().find(|key| key.key.subject == svid.issuer).ok_or(Rejected::KeyUnknown)?;
        if key.has_ended(moment.wall) {
            return Err(Rejected::KeyExpired);
        }
        // First what no clock can repair, then the times: an expired forgery is a forgery.
        signed(leaf, &key.key, moment.wall, &svid)?;
        let own = svid.own.clone().ok_or(Rejected::Profile { problem: "it has no Curfew extension" })?;
        self.settings.place(&known.keys, &svid.spiffe_id, &own.binding)?;
        if moment.wall >= svid.expires_at {
            return Err(Rejected::Expired { at: svid.expires_at });
        }
        if moment.wall < svid.not_before {
            return Err(Rejected::NotYet { from: svid.not_before });
        }
        known.alive(key.number, &own.binding)?;
        Ok(AcceptedCertificate { svid, own, key: key.number })
    }

    /// Whether a certificate that was accepted still is.
    ///
    /// # Errors
    /// Says why it is not.
    pub fn certificate_again(&self, accepted: &AcceptedCertificate, moment: Moment) -> Result<(), Rejected> {
        self.again(accepted.key, accepted.svid.expires_at, &accepted.own.binding, moment)
    }
}

/// Path validation (RFC 5280, section 6) up to the one issuer, at an instant within the validity.
fn signed(leaf: &[u8], issuer: &Anchor, now: Timestamp, svid: &Svid) -> Result<(), Rejected> {
    let within = now.max(svid.not_before).min(svid.expires_at);
    let der = CertificateDer::from(leaf);
    let malformed = |error: webpki::Error| Rejected::Malformed { problem: error.to_string() };
    let certificate = EndEntityCert::try_from(&der).map_err(malformed)?;
    let anchors = std::slice::from_ref(&issuer.anchor);
    let at = UnixTime::since_unix_epoch(Duration::from_secs(within.seconds()));
    let path = certificate.verify_for_usage(ALL_VERIFICATION_ALGS, anchors, &[], at, KeyUsage::client_auth(), None, None);
    match path {
        Ok(_) => Ok(()),
        Err(webpki::Error::RequiredEkuNotFoundContext(_)) => Err(Rejected::Profile { problem: "it is not for client authentication" }),
        Err(webpki::Error::InvalidSignatureForPublicKey | webpki::Error::UnknownIssuer) => Err(Rejected::Signature),
        Err(other) => Err(malformed(other)),
    }
}

impl From<SvidError> for Rejected {
    fn from(error: SvidError) -> Self {
        match error {
            SvidError::Names(_) => Self::Profile { problem: "it does not name exactly one URI" },
            SvidError::SpiffeId(_) => Self::Profile { problem: "its URI is not the SPIFFE ID of a workload" },
            SvidError::Authority => Self::Profile { problem: "it is a CA certificate" },
            SvidError::KeyUsage => Self::Profile { problem: "its key usage is not that of a leaf" },
            SvidError::Serial => Self::Profile { problem: "its serial number contradicts its Curfew extension" },
            SvidError::Extension(_) => Self::Profile { problem: "its Curfew extension cannot be read" },
            SvidError::Der => Self::Malformed { problem: error.to_string() },
        }
    }
}
