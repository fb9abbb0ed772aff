//! The public keys, as they are published.

use super::{PublishError, Publisher};
use crate::formats::keyset::Keys;
use crate::model::{Position, Timestamp};

impl Publisher {
    /// The keys to verify with: those that are active, and neither cut nor ended.
    ///
    /// # Errors
    /// If the ledger is not open.
    pub fn keys(&self) -> Result<Keys, PublishError> {
        let now = self.clock.now();
        let facts = self.ledger.facts();
        let trust_domain = facts.trust_domain().ok_or(PublishError::NoEpoch)?.clone();
        let ended = |not_after: Option<Timestamp>| not_after.is_some_and(|end| end < now);
        let good = facts.keys().filter(|(number, key)| facts.cuts().get(*number).is_none() && !ended(key.not_after));
        let keys = good.map(|(number, key)| (number, key.as_ref().clone())).collect();
        Ok(Keys { trust_domain, issuer: self.settings.issuer.clone(), keys })
    }

    /// The last entry that changed which keys there are: never goes back.
    pub fn keys_changed(&self) -> Position {
        let facts = self.ledger.facts();
        let touched = facts.keys().map(|(number, _)| facts.cuts().get(number).map_or(number, |cut| cut.position.max(number)));
        touched.max().unwrap_or(Position::ZERO)
    }
}
