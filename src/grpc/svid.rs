//! What an X.509-SVID says of its holder, read by SPIFFE's own rules (X509-SVID, sections 2 to 5).
//! The path to an authority is not looked at here; see [`trust`](super::trust).

use ring::digest;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::formats::binding::{Binding, BindingError, EXTENSION_OID_DER};
use crate::model::{CredentialId, SpiffeId, SpiffeIdError, Timestamp};

/// Why a certificate proves no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAnSvid {
    /// Its bytes are not a certificate, or an extension is malformed or stands twice.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// It holds none, or several, URI names.
    #[error("the certificate holds {0} URI names; an X.509-SVID holds exactly one")]
    UriNames(usize),
    /// The URI is not the SPIFFE ID of a workload.
    #[error("the URI name of the certificate: {0}")]
    SpiffeId(#[from] SpiffeIdError),
    /// It is an authority's.
    #[error("the certificate is an authority's, not a workload's")]
    Authority,
    /// It may not sign, or may sign certificates or revocation lists.
    #[error("the key usage must have digitalSignature, and neither keyCertSign nor cRLSign")]
    KeyUsage,
    /// It is not for clients.
    #[error("the extended key usage does not have clientAuth")]
    ExtendedKeyUsage,
    /// It ends before 1970.
    #[error("the certificate ends before it began")]
    Validity,
    /// It has the broker's issuer and does not say what it stands on.
    #[error("the certificate has this broker's issuer and is none of its certificates: {0}")]
    Binding(#[from] BindingError),
}

/// A certificate that follows the rules.
pub(super) struct Svid<'a> {
    certificate: X509Certificate<'a>,
    /// The same, for looking at its path.
    pub(super) end_entity: EndEntityCert<'a>,
    /// The one SPIFFE ID in it.
    pub(super) spiffe_id: SpiffeId,
    /// SHA-256 of the whole.
    pub(super) fingerprint: [u8; 32],
    /// When it ends.
    pub(super) not_after: Timestamp,
}

impl<'a> Svid<'a> {
    /// Reads a leaf.
    pub(super) fn read(der: &'a CertificateDer<'_>) -> Result<Self, NotAnSvid> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_unreadable| NotAnSvid::Unreadable)?;
        if !rest.is_empty() {
            return Err(NotAnSvid::Unreadable);
        }
        let end_entity = EndEntityCert::try_from(der).map_err(|_unreadable| NotAnSvid::Unreadable)?;
        check_usage(&certificate)?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        let not_after = u64::try_from(certificate.validity().not_after.timestamp()).map_err(|_negative| NotAnSvid::Validity)?;
        let spiffe_id = spiffe_id(&certificate)?;
        Ok(Self { certificate, end_entity, spiffe_id, fingerprint, not_after: Timestamp::from_seconds(not_after) })
    }

    /// What a certificate of ours says of itself: its id and what it stands on.
    pub(super) fn binding(&self) -> Result<(CredentialId, Binding), NotAnSvid> {
        let mut ours = self.certificate.extensions().iter().filter(|extension| extension.oid.as_bytes() == EXTENSION_OID_DER);
        let (Some(extension), None) = (ours.next(), ours.next()) else { return Err(BindingError::Der.into()) };
        let binding = Binding::from_der(extension.value)?;
        let id = CredentialId::from_serial(self.certificate.raw_serial()).filter(|id| id.position() == binding.position);
        Ok((id.ok_or(BindingError::Numbers)?, binding))
    }
}

fn spiffe_id(certificate: &X509Certificate<'_>) -> Result<SpiffeId, NotAnSvid> {
    let names = certificate.subject_alternative_name().map_err(|_unreadable| NotAnSvid::Unreadable)?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let uris: Vec<&str> = names.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None }).collect();
    let [uri] = *uris else { return Err(NotAnSvid::UriNames(uris.len())) };
    Ok(uri.parse()?)
}

fn check_usage(certificate: &X509Certificate<'_>) -> Result<(), NotAnSvid> {
    let constraints = certificate.basic_constraints().map_err(|_unreadable| NotAnSvid::Unreadable)?;
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(NotAnSvid::Authority);
    }
    let usage = certificate.key_usage().map_err(|_unreadable| NotAnSvid::Unreadable)?.ok_or(NotAnSvid::KeyUsage)?.value;
    if !usage.digital_signature() || usage.key_cert_sign() || usage.crl_sign() {
        return Err(NotAnSvid::KeyUsage);
    }
    let extended = certificate.extended_key_usage().map_err(|_unreadable| NotAnSvid::Unreadable)?;
    if extended.is_some_and(|extended| !extended.value.client_auth) {
        return Err(NotAnSvid::ExtendedKeyUsage);
    }
    Ok(())
}
