//! The client: typed calls over mutual TLS, and failures that say what is known of the outcome; a follower that
//! keeps a verifier fresh; a layer that lets nobody through without a good credential; tokens and
//! certificates that are renewed.
//!
//! ```no_run
//! # async fn example(ca: Vec<u8>, certificate: Vec<u8>, key: Vec<u8>) -> Result<(), curfew::client::Failure> {
//! use curfew::client::{Client, Config, Failure, api};
//!
//! let client = Client::connect(Config::new("broker.example:7443", ca, certificate, key)).await?;
//! let request = api::RevokeByOwnerRequest {
//!     owner: "payments".into(),
//!     reason: api::RevocationReason::CessationOfOperation.into(),
//!     ..Default::default()
//! };
//! let answer = client.owners().revoke_by_owner(request).await.map_err(Failure::from)?.into_inner();
//! println!("nothing issued before position {} is accepted any more", answer.position);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Response, Status};

mod backoff;
mod failure;
mod follower;
mod fresh_key;
mod guard;
mod route;
mod source;

pub use self::failure::{Failure, Outcome};
pub use self::follower::{Connect, Follower, Following, Health};
pub use self::fresh_key::FreshKey;
pub use self::guard::{Guard, Guarded, GuardedBody, PeerCertificate, Verified};
pub use self::route::Route;
pub use self::source::{Credential, CredentialSource, HeldCertificate, HeldToken};
pub use crate::proto::api;

use self::api::credentials_client::CredentialsClient;
use self::api::exceptions_client::ExceptionsClient;
use self::api::findings_client::FindingsClient;
use self::api::keys_client::KeysClient;
use self::api::ledger_client::LedgerClient;
use self::api::owners_client::OwnersClient;
use self::api::policy_client::PolicyClient;
use self::api::registry_client::RegistryClient;
use self::api::revocations_client::RevocationsClient;
use self::api::sources_client::SourcesClient;
use self::api::tasks_client::TasksClient;
use self::api::trust_client::TrustClient;
use self::backoff::backoff;
use crate::ambient::Ambient;

/// The longest answer that is read, in bytes: an export of a large registry.
const LONGEST_ANSWER: usize = 64 << 20;

/// How often a call is made in all, where repeating it can help.
const ATTEMPTS: u32 = 5;

/// Where the broker is, and who calls it. PEM throughout.
#[derive(Clone)]
pub struct Config {
    /// `host:port` each, or the same as an `https` URL: one broker, or several that share a ledger. Calls go to the
    /// first that can be reached, and to the next one when it no longer can.
    pub addresses: Vec<String>,
    /// The authorities that may vouch for the broker's server certificate.
    pub ca: Vec<u8>,
    /// The client certificate, with its intermediates.
    pub certificate: Vec<u8>,
    /// The private key of the client certificate. A secret.
    pub key: Vec<u8>,
    /// The name to look for in the server certificate, where it is not the host of the address.
    pub server_name: Option<String>,
    /// How long connecting may take; 10 s by default.
    pub connect_timeout: Duration,
    /// How long a call may take; 30 s by default.
    pub deadline: Duration,
}

impl Config {
    /// The broker at `address`, with everything else by default.
    pub fn new(address: impl Into<String>, ca: Vec<u8>, certificate: Vec<u8>, key: Vec<u8>) -> Self {
        Self {
            addresses: vec![address.into()],
            ca,
            certificate,
            key,
            server_name: None,
            connect_timeout: Duration::from_secs(10),
            deadline: Duration::from_secs(30),
        }
    }

    /// The same, and this address after the others.
    #[must_use]
    pub fn also(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    fn endpoints(self) -> Result<Vec<Endpoint>, Failure> {
        self.addresses.iter().map(|address| self.endpoint(address)).collect()
    }

    fn endpoint(&self, address: &str) -> Result<Endpoint, Failure> {
        let url = match address.split_once("://") {
            None => format!("https://{address}"),
            Some(("https", _)) => address.to_owned(),
            Some((scheme, _)) => return Err(Failure::unusable(format!("the broker speaks TLS only: write https instead of {scheme}"))),
        };
        let identity = Identity::from_pem(&self.certificate, &self.key);
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.ca)).identity(identity);
        let tls = match &self.server_name {
            Some(name) => tls.domain_name(name),
            None => tls,
        };
        let endpoint = Endpoint::from_shared(url).map_err(|error| Failure::unusable(format!("the broker's address: {error}")))?;
        let endpoint = endpoint.tls_config(tls.timeout(self.connect_timeout))?;
        Ok(endpoint.connect_timeout(self.connect_timeout).timeout(self.deadline).tcp_nodelay(true))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("addresses", &self.addresses).field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// A connection to a broker. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    route: Route,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If the configuration cannot be used or no connection comes about. A broker that does not
    /// accept the client certificate is found out with the first call, as TLS 1.3 has it.
    pub async fn connect(config: Config) -> Result<Self, Failure> {
        Ok(Self { route: Route::to(config.endpoints()?).await? })
    }

    /// Makes a call, and makes it again, at most five times in all, where that can help: nothing was sent, or the broker
    /// says when to come again, or the outcome is unknown.
    ///
    /// Every call of the API may be repeated: what changes something is idempotent, and what issues leaves a harmless record.
    /// `Tasks.Open` and `Exceptions.Request` alone may leave a second one, which ends by itself.
    ///
    /// # Errors
    /// That of the last attempt.
    pub async fn retrying<T, F>(&self, ambient: &Ambient, mut call: impl FnMut(Self) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut attempt = 1;
        loop {
            let failure = match call(self.clone()).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => Failure::from(status),
            };
            if attempt == ATTEMPTS || failure.is_final() {
                return Err(failure);
            }
            ambient.clock.sleep(backoff(attempt, ambient.chance()).max(failure.retry_after.unwrap_or_default())).await;
            attempt += 1;
        }
    }
}

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $client:ident;)+) => {
        impl Client {
            $($(#[$doc])* pub fn $name(&self) -> $client<Route> {
                $client::new(self.route.clone()).max_decoding_message_size(LONGEST_ANSWER)
            })+
        }
    };
}

services! {
    /// Issuing, and what the ledger knows of a credential.
    credentials: CredentialsClient;
    /// Opening and closing tasks.
    tasks: TasksClient;
    /// Owners, and the end of everything of an owner.
    owners: OwnersClient;
    /// Revoking any other subject, and the signed list.
    revocations: RevocationsClient;
    /// The registry.
    registry: RegistryClient;
    /// The policy text.
    policy: PolicyClient;
    /// What no policy permits, allowed for a time.
    exceptions: ExceptionsClient;
    /// Where records come from besides administrators.
    sources: SourcesClient;
    /// Reconciliation, and what it found.
    findings: FindingsClient;
    /// The signing keys.
    keys: KeysClient;
    /// Reading the ledger.
    ledger: LedgerClient;
    /// Keys to verify with, and who the caller is.
    trust: TrustClient;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(address: &str) -> Config {
        Config::new(address, b"ca".to_vec(), b"certificate".to_vec(), b"a private key".to_vec())
    }

    #[test]
    fn the_private_key_is_never_shown() {
        assert!(!format!("{:?}", config("broker:7443")).contains("private"));
    }

    #[tokio::test]
    async fn a_connection_without_tls_is_refused_before_anything_is_sent() {
        let failure = Client::connect(config("http://broker:7443")).await.expect_err("not https");
        assert_eq!(failure.outcome, Outcome::NotSent);
        assert!(failure.message.contains("write https"), "{failure}");
    }
}
