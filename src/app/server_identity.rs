//! The server certificate: issued by the broker to itself and renewed at two thirds of its life, or
//! an operator's files, read again when they change.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::danger::ClientCertVerifier;
use zeroize::Zeroizing;

use super::config::{Config, Server};
use super::error::ServeError;
use super::metrics::Faults;
use crate::ambient::{Clock, Entropy};
use crate::broker::{Broker, Issuance};
use crate::client::FreshKey;
use crate::listen::{Alpn, Identity, Tls, TlsError, server_config};
use crate::mint::{ServerNames, SigningRequest};
use crate::model::{EnvironmentName, KeyPurpose, Position, SpiffeId, Timestamp, TrustDomain};

/// How soon files are looked at again, and how soon a renewal that failed is tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The path of the broker's own SPIFFE ID.
const OWN_PATH: &str = "/curfew/broker";

/// What the server certificate is made of, and with.
#[derive(Clone, Debug)]
pub(super) struct Making {
    pub(super) config: Config,
    pub(super) broker: Arc<Broker>,
    pub(super) clock: Clock,
    pub(super) entropy: Entropy,
    pub(super) clients: Arc<dyn ClientCertVerifier>,
}

/// The server certificate in force, on both listeners that speak TLS.
#[derive(Debug)]
pub(super) struct ServerIdentity {
    making: Making,
    current: Current,
    /// For gRPC: with client certificates.
    pub(super) mutual: Tls,
    /// For what is public: without.
    pub(super) plain: Tls,
}

/// A certificate with its private key, and when to look for the next one.
struct Current {
    chain: Chain,
    key: Zeroizing<Vec<u8>>,
    /// The key that issued it, if the broker did.
    issuer: Option<Position>,
    since: Timestamp,
    again: Timestamp,
}

#[derive(Debug, PartialEq, Eq)]
enum Chain {
    Issued(Vec<Vec<u8>>),
    File(String),
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").field("chain", &self.chain).field("again", &self.again).finish_non_exhaustive()
    }
}

impl ServerIdentity {
    /// Obtains the first certificate.
    ///
    /// # Errors
    /// If it cannot be issued or read, or cannot be used.
    pub(super) async fn obtain(making: Making) -> Result<Self, ServeError> {
        let current = making.current().await?;
        let (mutual, plain) = making.configurations(&current).map_err(ServeError::start)?;
        Ok(Self { making, current, mutual: Tls::new(mutual), plain: Tls::new(plain) })
    }

    /// Keeps the certificate fresh for ever. One that is not better than the last never replaces it.
    pub(super) async fn keep(mut self, faults: Faults) {
        loop {
            self.making.due(&self.current).await;
            if let Err(error) = self.renew().await {
                tracing::error!(%error, "the server certificate was not renewed; the last one stays in force");
                faults.server_certificate.inc();
                self.making.clock.sleep(LOOK_AGAIN).await;
            }
        }
    }

    async fn renew(&mut self) -> Result<(), ServeError> {
        let next = self.making.current().await?;
        if next.chain != self.current.chain || next.key != self.current.key {
            let (mutual, plain) = self.making.configurations(&next).map_err(ServeError::start)?;
            self.mutual.replace(mutual);
            self.plain.replace(plain);
            tracing::info!("the server certificate was renewed");
        }
        self.current = next;
        Ok(())
    }
}

impl Making {
    /// Returns when it is time for another certificate: at two thirds of its life, when another key issues,
    /// and when the clock was set back before its beginning, for then clients whose clock is right refuse it.
    async fn due(&self, current: &Current) {
        let mut changes = self.broker.ledger().watch();
        let issues = || current.issuer.is_none() || current.issuer == self.broker.signing_key(KeyPurpose::Issuer);
        while issues() && (current.since..current.again).contains(&self.clock.now()) {
            tokio::select! {
                () = self.clock.sleep(LOOK_AGAIN.min(current.again.since(self.clock.now()))) => {}
                // A ledger that is closed changes no more.
                _ = changes.changed(), if changes.has_changed().is_ok() => {}
            }
        }
    }

    async fn current(&self) -> Result<Current, ServeError> {
        match &self.config.server {
            Server::Issued { names } => self.issue(names).await,
            Server::Files { .. } => {
                let files = self.config.server_certificate()?;
                let (chain, key) = files.ok_or_else(|| ServeError::start("no server certificate is configured"))?;
                let key = Zeroizing::new(key.as_bytes().to_vec());
                let since = self.clock.now();
                Ok(Current { chain: Chain::File(chain), key, issuer: None, since, again: since.plus(LOOK_AGAIN) })
            }
        }
    }

    async fn issue(&self, names: &[String]) -> Result<Current, ServeError> {
        let (since, issuer) = (self.clock.now(), self.broker.signing_key(KeyPurpose::Issuer));
        let (chain, key, issuance) = issue(&self.broker, self.config.trust_domain(), names, &self.entropy).await?;
        let again = since.plus(issuance.expires_at.since(since) * 2 / 3);
        // Asked before, so that a change meanwhile is a change.
        Ok(Current { chain: Chain::Issued(chain), key, issuer, since, again })
    }

    /// The configuration of the gRPC listener, and of the public one.
    fn configurations(&self, current: &Current) -> Result<(rustls::ServerConfig, rustls::ServerConfig), TlsError> {
        let mutual = server_config(current.identity()?, Some(Arc::clone(&self.clients)), Alpn::Http2, self.clock.clone())?;
        Ok((mutual, server_config(current.identity()?, None, Alpn::Http, self.clock.clone())?))
    }
}

/// A certificate with its private key (PKCS #8), issued by a broker to itself for these names.
///
/// # Errors
/// If it cannot be recorded or signed.
pub(crate) async fn issue(
    broker: &Broker,
    domain: &TrustDomain,
    names: &[String],
    entropy: &Entropy,
) -> Result<(Vec<Vec<u8>>, Zeroizing<Vec<u8>>, Issuance), ServeError> {
    let key = FreshKey::generate(entropy).map_err(ServeError::start)?;
    let request = key.request().map_err(ServeError::start)?;
    let request = SigningRequest::from_der(&request).map_err(ServeError::start)?;
    let id: SpiffeId = domain.id(OWN_PATH).map_err(ServeError::start)?;
    let environment: EnvironmentName = "curfew".parse().map_err(ServeError::start)?;
    let issued = broker.own_certificate(&id, &environment, &request, &server_names(names)).await;
    let (chain, issuance) = issued.map_err(ServeError::start)?;
    Ok((chain, key.into_pkcs8(), issuance))
}

impl Current {
    fn identity(&self) -> Result<Identity, TlsError> {
        match &self.chain {
            Chain::Issued(chain) => Ok(Identity::from_der(chain.clone(), self.key.to_vec())),
            Chain::File(chain) => Identity::from_pem(chain.as_bytes(), &self.key),
        }
    }
}

/// Addresses are what reads as one; the rest are host names.
fn server_names(names: &[String]) -> ServerNames {
    let address = |name: &String| name.parse::<IpAddr>().ok();
    ServerNames {
        dns: names.iter().filter(|name| address(name).is_none()).cloned().collect(),
        addresses: names.iter().filter_map(address).collect(),
    }
}
