//! Before the first call: keys and policy are entries, and the broker has a certificate of its own.

use std::time::Duration;

use super::{Broker, Error, Issuance};
use crate::keys::Material;
use crate::ledger::{Change, Ledger, LedgerError, Present, Urgency};
use crate::mint::{ServerNames, SigningRequest};
use crate::model::{EnvironmentName, Event, KeyPurpose, KnownKey, PublicKey, SpiffeId};
use crate::policy::{Engine, Grant, ServerCertificate};

/// Why the broker cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The ledger did not take an entry.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A signing key cannot be used.
    #[error(transparent)]
    Key(#[from] crate::keys::KeyError),
}

/// How long the broker's own certificate lives; it is renewed at two thirds.
const OWN_CERTIFICATE: Duration = Duration::from_secs(24 * 60 * 60);

impl Broker {
    /// Records the public halves of keys that are new, and gives the keys with their numbers.
    ///
    /// # Errors
    /// If the ledger cannot commit, or a key is of the wrong sort.
    pub(crate) async fn activate_keys(ledger: &dyn Ledger, material: Material) -> Result<crate::keys::Keyring, OpenError> {
        let public = material.public_keys();
        let plan = move |present: &Present<'_>| {
            let unknown = |key: &PublicKey| present.facts.signing_keys().named(key.purpose, &key.kid).is_none();
            Ok(public.into_iter().filter(unknown).map(Event::KeyActivated).collect())
        };
        ledger.change(Change { urgency: Urgency::Ordinary, actor: None, request_id: None, plan: Box::new(plan) }).await?;
        Ok(material.into_keyring(&ledger.facts())?)
    }

    /// Makes the policy of the configuration the one in force.
    ///
    /// # Errors
    /// If the ledger cannot commit.
    pub(crate) async fn put_in_force(ledger: &dyn Ledger, engine: &Engine) -> Result<(), OpenError> {
        let text = engine.text().clone();
        let plan = move |present: &Present<'_>| Ok(super::policy::plan(present, &text).0);
        ledger.change(Change { urgency: Urgency::First, actor: None, request_id: None, plan: Box::new(plan) }).await?;
        Ok(())
    }

    /// Issues the broker's own server certificate, recorded like any other.
    ///
    /// # Errors
    /// If it cannot be recorded or signed.
    pub(crate) async fn own_certificate(
        &self,
        id: &SpiffeId,
        environment: &EnvironmentName,
        request: &SigningRequest,
        names: &ServerNames,
    ) -> Result<(Vec<Vec<u8>>, Issuance), Error> {
        let key = self.keyring.signing(KeyPurpose::Issuer, &self.ledger.facts())?;
        let issuer = self.issuer(&key)?;
        let ask = ServerCertificate {
            spiffe_id: id.clone(),
            environment: environment.clone(),
            public_key_hash: request.public_key_hash(),
            key: key.number,
            key_not_after: self.ledger.facts().signing_keys().get(key.number).and_then(KnownKey::ends),
            ttl: Some(OWN_CERTIFICATE),
        };
        let grant = Grant::own_certificate(ask, &self.ledger.facts(), self.clock.now())?;
        let recorded = self.ledger.record(grant, self.entropy.bytes()?).await?;
        Ok((self.minter.server_certificate(&recorded, request, names, &issuer)?, Issuance::of(&recorded)))
    }
}
