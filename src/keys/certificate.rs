//! What certificates of authorities have in common: the issuer's and the identity CA's.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyUsagePurpose, SanType, SerialNumber};

use super::KeyError;
use super::signer::X509Signer;
use crate::ambient::Entropy;
use crate::model::{Timestamp, TrustDomain};

/// How long before its making a certificate is good already, for clocks that are behind.
pub(crate) const BACKDATED: Duration = Duration::from_secs(30);

/// Sets the validity: from [`BACKDATED`] before `made` to `ends`, both inclusive as RFC 5280,
/// section 4.1.2.5, has it, and at most the last second that a certificate can name.
pub(crate) fn set_validity(params: &mut CertificateParams, made: Timestamp, ends: Timestamp) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(made.minus(BACKDATED).min(Timestamp::LAST).seconds());
    params.not_after = epoch + Duration::from_secs(ends.min(Timestamp::LAST).seconds());
}

/// A URI name.
pub(crate) fn uri(text: &str) -> Result<SanType, rcgen::Error> {
    Ok(SanType::URI(text.try_into()?))
}

/// An authority of a trust domain.
pub(super) struct Authority<'a> {
    pub(crate) what: &'static str,
    pub(crate) title: &'static str,
    pub(crate) trust_domain: &'a TrustDomain,
    pub(crate) made: Timestamp,
    pub(crate) ends: Timestamp,
}

impl Authority<'_> {
    /// Signs its own certificate: a subject of its own, since webpki picks a CRL by issuer name;
    /// no further authorities below; the trust domain as its SPIFFE ID (X509-SVID, section 3.1).
    pub(super) fn certificate(&self, key: &X509Signer, entropy: &Entropy) -> Result<Vec<u8>, KeyError> {
        let mut serial: [u8; 16] = entropy.bytes().map_err(|_no_entropy| KeyError::Generate("no random bytes"))?;
        // Positive, and never zero (RFC 5280, section 4.1.2.2).
        if let Some(first) = serial.first_mut() {
            *first = *first & 0x3f | 0x40;
        }
        let refused = |error: rcgen::Error| KeyError::unusable(self.what, error);
        let mut params = CertificateParams::default();
        set_validity(&mut params, self.made, self.ends);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.distinguished_name = DistinguishedName::new();
        let thumbprint = key.key().thumbprint();
        params.distinguished_name.push(DnType::CommonName, format!("{} {}", self.title, thumbprint.get(..12).unwrap_or_default()));
        params.subject_alt_names = vec![uri(&format!("spiffe://{}", self.trust_domain)).map_err(refused)?];
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.self_signed(key).map_err(refused)?;
        Ok(certificate.der().to_vec())
    }
}
