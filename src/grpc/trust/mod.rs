//! Which authorities may vouch for which identities. Trust domains never mix: a name of one is
//! believed on the word of that domain's authorities only.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::formats::svid::{OwnPart, Svid, SvidError, signs_certificates};
use crate::model::{Position, TrustDomain};
use crate::policy::{Caller, OwnCertificate};

/// Why trust bundles cannot be used. The certificates of a bundle are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TrustError {
    /// The file is not PEM.
    #[error("trust bundle of {domain}: not PEM: {problem}")]
    Pem {
        /// Whose bundle.
        domain: TrustDomain,
        /// What is wrong.
        problem: String,
    },
    /// A bundle without a certificate would end a whole domain by a slip.
    #[error("trust bundle of {domain}: no certificate in it; leave the domain out to trust nobody for it")]
    Empty {
        /// Whose bundle.
        domain: TrustDomain,
    },
    /// A certificate cannot be an authority.
    #[error("trust bundle of {domain}, certificate {number}: {problem}")]
    Certificate {
        /// Whose bundle.
        domain: TrustDomain,
        /// Which certificate.
        number: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// This broker's own issuer cannot be an authority.
    #[error("the certificate of the broker's issuer: {problem}")]
    Issuer {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two domains would share an authority.
    #[error("trust bundle of {domain}, certificate {number}: the same key vouches for {other}; trust domains do not mix")]
    Shared {
        /// Whose bundle.
        domain: TrustDomain,
        /// Which certificate.
        number: usize,
        /// The other domain.
        other: TrustDomain,
    },
}

/// The authorities of each trust domain.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustBundles(BTreeMap<TrustDomain, Vec<TrustAnchor<'static>>>);

/// The authority that a certificate makes, or why it makes none.
fn authority(der: &CertificateDer<'_>) -> Result<TrustAnchor<'static>, &'static str> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_unreadable| "not a certificate")?;
    let constraints = certificate.basic_constraints().ok().flatten();
    if !constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err("not an authority's: it is not marked cA");
    }
    if !signs_certificates(der) {
        return Err("not an authority's: its key usage lacks keyCertSign");
    }
    Ok(anchor_from_trusted_cert(der).map_err(|_unusable| "it cannot be used as an authority's")?.to_owned())
}

fn same_key(one: &TrustAnchor<'_>, other: &TrustAnchor<'_>) -> bool {
    one.subject_public_key_info == other.subject_public_key_info
}

impl TrustBundles {
    /// Reads one PEM text per trust domain; a domain may stand more than once.
    ///
    /// # Errors
    /// If a text or a certificate in it cannot be used, or two domains share an authority. A set
    /// of bundles is used whole or not at all.
    pub(crate) fn parse(texts: Vec<(TrustDomain, Vec<u8>)>) -> Result<Self, TrustError> {
        let mut bundles = Self::default();
        for (domain, text) in texts {
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
            let certificates = certificates.map_err(|error| TrustError::Pem { domain: domain.clone(), problem: error.to_string() })?;
            if certificates.is_empty() {
                return Err(TrustError::Empty { domain });
            }
            for (certificate, number) in certificates.iter().zip(1..) {
                let unusable = |problem| TrustError::Certificate { domain: domain.clone(), number, problem };
                bundles.add(&domain, number, authority(certificate).map_err(unusable)?)?;
            }
        }
        Ok(bundles)
    }

    fn add(&mut self, domain: &TrustDomain, number: usize, authority: TrustAnchor<'static>) -> Result<(), TrustError> {
        let shares = |known: &TrustAnchor<'_>| same_key(known, &authority);
        if let Some((other, _)) = self.0.iter().find(|(other, known)| *other != domain && known.iter().any(shares)) {
            return Err(TrustError::Shared { domain: domain.clone(), number, other: other.clone() });
        }
        self.0.entry(domain.clone()).or_default().push(authority);
        Ok(())
    }
}

/// An issuing key of this broker.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    /// The key's number.
    pub(crate) number: Position,
    /// Its certificate, DER.
    pub(crate) certificate: Vec<u8>,
}

/// Why a client certificate is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It proves no identity.
    #[error(transparent)]
    NotAnSvid(#[from] SvidError),
    /// It has this broker's issuer and does not say what it stands on.
    #[error("it names this broker as its issuer, and is none of its certificates")]
    NotOurs,
    /// Nobody may vouch for the domain of its name.
    #[error("no authority is trusted for {0}")]
    TrustDomain(TrustDomain),
    /// No path leads to an authority that may vouch for it.
    #[error("no authority of {domain} vouches for it: {problem}")]
    Path {
        /// The domain of its name.
        domain: TrustDomain,
        /// What is wrong with the path.
        problem: webpki::Error,
    },
}

/// Whom to believe: the bundles in force, and this broker's own issuers for its own domain.
#[derive(Debug)]
pub(crate) struct Trust {
    domain: TrustDomain,
    in_force: ArcSwap<InForce>,
    /// Held while something else is put in force.
    changing: Mutex<()>,
    /// How often that was done.
    generation: AtomicU64,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Who is believed now.
#[derive(Debug, Default)]
struct InForce {
    issuers: Arc<[OwnIssuer]>,
    bundles: Arc<TrustBundles>,
}

#[derive(Debug)]
struct OwnIssuer {
    number: Position,
    /// DER, as certificates name it.
    name: Vec<u8>,
    anchor: TrustAnchor<'static>,
}

impl OwnIssuer {
    fn read(issuer: &Issuer) -> Result<Self, &'static str> {
        let anchor = authority(&CertificateDer::from(issuer.certificate.as_slice()))?;
        let (_, certificate) = X509Certificate::from_der(&issuer.certificate).map_err(|_unreadable| "not a certificate")?;
        Ok(Self { number: issuer.number, name: certificate.subject().as_raw().to_vec(), anchor })
    }
}

fn own_issuers(issuers: &[Issuer]) -> Result<Arc<[OwnIssuer]>, TrustError> {
    issuers.iter().map(OwnIssuer::read).collect::<Result<_, _>>().map_err(|problem| TrustError::Issuer { problem })
}

impl InForce {
    /// The issuer of ours that a certificate names as its own.
    fn issuer(&self, svid: &Svid) -> Option<&OwnIssuer> {
        self.issuers.iter().find(|issuer| issuer.name == svid.issuer)
    }
}

impl Trust {
    /// Trust in `bundles`, and in what the broker of `domain` issued itself.
    ///
    /// # Errors
    /// If an issuer's certificate cannot be used, or a bundle contradicts it.
    pub(crate) fn new(domain: TrustDomain, issuers: &[Issuer], bundles: TrustBundles) -> Result<Self, TrustError> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let in_force = ArcSwap::default();
        let trust = Self { domain, in_force, changing: Mutex::default(), generation: AtomicU64::new(0), algorithms };
        trust.put_in_force(InForce { issuers: own_issuers(issuers)?, bundles: Arc::new(bundles) })?;
        Ok(trust)
    }

    /// Puts other bundles in force. An open connection answers to them at its next call: see
    /// [`Trust::generation`].
    ///
    /// # Errors
    /// If a bundle contradicts this broker's issuers; those in force stay then.
    pub(crate) fn replace(&self, bundles: TrustBundles) -> Result<(), TrustError> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let issuers = Arc::clone(&self.in_force.load().issuers);
        self.put_in_force(InForce { issuers, bundles: Arc::new(bundles) })
    }

    /// Follows the broker's issuers: whether they are others now.
    ///
    /// # Errors
    /// As [`Trust::new`]; those in force stay then.
    pub(crate) fn follow(&self, issuers: &[Issuer]) -> Result<bool, TrustError> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.in_force.load();
        if known.issuers.iter().map(|issuer| issuer.number).eq(issuers.iter().map(|issuer| issuer.number)) {
            return Ok(false);
        }
        let bundles = Arc::clone(&known.bundles);
        self.put_in_force(InForce { issuers: own_issuers(issuers)?, bundles })?;
        Ok(true)
    }

    fn put_in_force(&self, next: InForce) -> Result<(), TrustError> {
        for (domain, authorities) in &next.bundles.0 {
            for (authority, number) in authorities.iter().zip(1..) {
                let claims = |issuer: &TrustAnchor<'_>| issuer.subject == authority.subject || same_key(issuer, authority);
                if next.issuers.iter().any(|issuer| claims(&issuer.anchor)) {
                    let problem = "it has the name or the key of this broker's issuer, which is trusted without it";
                    return Err(TrustError::Certificate { domain: domain.clone(), number, problem });
                }
            }
        }
        self.in_force.store(Arc::new(next));
        // After the bundles: who sees the new number verifies under the new bundles.
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Which bundles are in force. What was verified under others is to be verified again.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Who the holder of a certificate is, if an authority that may vouch for its name does.
    pub(super) fn verify(&self, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>], now: UnixTime) -> Result<Caller, Refused> {
        let svid = Svid::from_der(leaf)?;
        let domain = svid.spiffe_id.trust_domain();
        let in_force = self.in_force.load();
        let intermediates = intermediates.iter().filter(|between| signs_certificates(between));
        let intermediates: Vec<CertificateDer<'_>> = intermediates.map(|between| between.as_ref().into()).collect();
        // Who has our issuer's name answers to our issuer's key, and to no other authority: what
        // the certificate says of its subjects is then what the ledger says.
        let (anchors, intermediates) = match in_force.issuer(&svid) {
            Some(issuer) if domain == self.domain => (std::slice::from_ref(&issuer.anchor), [].as_slice()),
            Some(_) => return Err(Refused::TrustDomain(domain)),
            None => {
                let authorities = in_force.bundles.0.get(&domain).ok_or_else(|| Refused::TrustDomain(domain.clone()))?;
                (authorities.as_slice(), intermediates.as_slice())
            }
        };
        let path = |problem| Refused::Path { domain: domain.clone(), problem };
        EndEntityCert::try_from(leaf)
            .and_then(|leaf| {
                leaf.verify_for_usage(self.algorithms.all, anchors, intermediates, now, KeyUsage::client_auth(), None, None).map(drop)
            })
            .map_err(path)?;
        self.caller(svid)
    }

    /// Who the holder of a certificate is, which [`Trust::verify`] has accepted.
    pub(super) fn accepted(&self, leaf: &CertificateDer<'_>) -> Result<Caller, Refused> {
        self.caller(Svid::from_der(leaf)?)
    }

    fn caller(&self, svid: Svid) -> Result<Caller, Refused> {
        let in_force = self.in_force.load();
        let issued_here = match (in_force.issuer(&svid), svid.own) {
            (Some(issuer), Some(OwnPart { id, binding })) => {
                let exception = match *binding.further {
                    [] => None,
                    [exception] => Some(exception),
                    // A certificate is issued with one further number at most.
                    [..] => return Err(Refused::NotOurs),
                };
                Some(OwnCertificate { id, subjects: binding.subjects, key: issuer.number, exception })
            }
            (Some(_), None) => return Err(Refused::NotOurs),
            // Anybody can write our extension into a certificate that is not ours.
            (None, _) => None,
        };
        let Svid { spiffe_id, fingerprint, expires_at, .. } = svid;
        // A certificate does not say from where it is shown.
        Ok(Caller { spiffe_id, fingerprint, expires_at, issued_here, address: None })
    }

    /// The signature algorithms of certificates and handshakes.
    pub(super) const fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.algorithms
    }
}

#[cfg(test)]
mod tests;
