//! The typed gRPC client: one connection over mutual TLS, one typed client per service, and
//! failures that say what is known of the outcome.
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
use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

mod failure;

pub use self::failure::{Failure, Outcome};
pub use crate::proto::api;

use self::api::credentials_client::CredentialsClient;
use self::api::keys_client::KeysClient;
use self::api::ledger_client::LedgerClient;
use self::api::owners_client::OwnersClient;
use self::api::policy_client::PolicyClient;
use self::api::registry_client::RegistryClient;
use self::api::revocations_client::RevocationsClient;
use self::api::tasks_client::TasksClient;
use self::api::trust_client::TrustClient;

/// The longest answer that is read, in bytes: an export of a large registry.
const LONGEST_ANSWER: usize = 64 << 20;

/// Where the broker is, and who calls it. PEM throughout.
#[derive(Clone)]
pub struct Config {
    /// `host:port`, or the same as an `https` URL.
    pub address: String,
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
            address: address.into(),
            ca,
            certificate,
            key,
            server_name: None,
            connect_timeout: Duration::from_secs(10),
            deadline: Duration::from_secs(30),
        }
    }

    fn endpoint(self) -> Result<Endpoint, Failure> {
        let url = match self.address.split_once("://") {
            None => format!("https://{}", self.address),
            Some(("https", _)) => self.address,
            Some((scheme, _)) => return Err(Failure::unusable(format!("the broker speaks TLS only: write https instead of {scheme}"))),
        };
        let identity = Identity::from_pem(self.certificate, self.key);
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.ca)).identity(identity);
        let tls = match self.server_name {
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
        f.debug_struct("Config").field("address", &self.address).field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// A connection to a broker. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If the configuration cannot be used or no connection comes about. A broker that does not
    /// accept the client certificate is found out with the first call, as TLS 1.3 has it.
    pub async fn connect(config: Config) -> Result<Self, Failure> {
        Ok(Self { channel: config.endpoint()?.connect().await? })
    }
}

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $client:ident;)+) => {
        impl Client {
            $($(#[$doc])* pub fn $name(&self) -> $client<Channel> {
                $client::new(self.channel.clone()).max_decoding_message_size(LONGEST_ANSWER)
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
