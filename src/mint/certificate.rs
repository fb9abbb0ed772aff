//! X.509-SVIDs under the issuer. Every name, usage and extension comes from the record.

use std::net::IpAddr;

use rcgen::{
    CertificateParams, CrlDistributionPoint, CustomExtension, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    SerialNumber,
};

use super::{MintError, Minter, SigningRequest, binding, same_key};
use crate::formats::binding::EXTENSION_OID;
use crate::keys::{Issuer, SignError, set_validity, uri};
use crate::ledger::Recorded;
use crate::model::CredentialKind;

/// Names by which clients reach a server, beside its SPIFFE ID. Only the broker's own certificate
/// has any: they come from its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerNames {
    /// Host names.
    pub(crate) dns: Vec<String>,
    /// Addresses.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Minter {
    /// Has `issuer` sign a certificate for the public key of `request`; answers it and the issuer's, DER.
    ///
    /// # Errors
    /// If it was recorded as something else, for another public key, or for another signing key, or
    /// the key does not sign.
    pub(crate) fn certificate(&self, recorded: &Recorded, request: &SigningRequest, issuer: &Issuer) -> Result<Vec<Vec<u8>>, MintError> {
        self.server_certificate(recorded, request, &ServerNames::default(), issuer)
    }

    /// The same with names of a server beside the SPIFFE ID, for the broker itself.
    ///
    /// # Errors
    /// As [`Minter::certificate`], or if a name is not ASCII.
    pub(crate) fn server_certificate(
        &self,
        recorded: &Recorded,
        request: &SigningRequest,
        names: &ServerNames,
        issuer: &Issuer,
    ) -> Result<Vec<Vec<u8>>, MintError> {
        let issued = recorded.issued();
        if issued.kind != CredentialKind::Certificate {
            return Err(MintError::Kind);
        }
        same_key(issued.key, issuer.key.number)?;
        if issued.confirmation != Some(request.public_key_hash()) {
            return Err(MintError::PublicKey);
        }
        let mut params = params(recorded, names).map_err(|error| MintError::Encoding(error.to_string()))?;
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![self.urls.crl(issuer.key.number)] }];
        let failed = |error: rcgen::Error| {
            if error == rcgen::Error::RemoteKeyError { MintError::Sign(SignError) } else { MintError::Encoding(error.to_string()) }
        };
        let certificate = params.signed_by(request.public_key(), &issuer.authority).map_err(failed)?;
        Ok(vec![certificate.der().to_vec(), issuer.certificate.clone()])
    }
}

fn params(recorded: &Recorded, names: &ServerNames) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    set_validity(&mut params, recorded.issued().issued_at, recorded.issued().expires_at);
    params.serial_number = Some(SerialNumber::from_slice(recorded.id().as_bytes()));
    // No subject: the names are the subject alternative names, critical then (RFC 5280, section 4.1.2.6).
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![uri(recorded.spiffe_id().as_str())?];
    for name in &names.dns {
        params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    params.subject_alt_names.extend(names.addresses.iter().copied().map(SanType::IpAddress));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.custom_extensions = vec![CustomExtension::from_oid_content(EXTENSION_OID, binding(recorded).to_der())];
    Ok(params)
}
