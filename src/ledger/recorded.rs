//! The proof that an issuance is durable.

use crate::model::{CredentialId, EnvironmentName, Issued, Position, SpiffeId};
use crate::policy::Grant;

/// A grant that is durable in the ledger. Only `ledger` makes one, and only this can be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    position: Position,
    issued: Issued,
    spiffe_id: SpiffeId,
    environment: EnvironmentName,
}

impl Recorded {
    /// What stands at `position` with `nonce`, to be called after the commit.
    pub(super) fn new(grant: Grant, position: Position, nonce: [u8; 8]) -> Self {
        let (issued, spiffe_id, environment) = grant.into_parts();
        Self { position, issued: Issued { nonce, ..issued }, spiffe_id, environment }
    }

    /// What tests of `mint` sign.
    #[cfg(test)]
    pub(crate) const fn for_test(position: Position, issued: Issued, spiffe_id: SpiffeId, environment: EnvironmentName) -> Self {
        Self { position, issued, spiffe_id, environment }
    }

    /// Where it stands.
    pub(crate) const fn position(&self) -> Position {
        self.position
    }

    /// The credential's id.
    pub(crate) fn id(&self) -> CredentialId {
        CredentialId::new(self.position, self.issued.nonce)
    }

    /// What was recorded.
    pub(crate) const fn issued(&self) -> &Issued {
        &self.issued
    }

    /// The workload's identity.
    pub(crate) const fn spiffe_id(&self) -> &SpiffeId {
        &self.spiffe_id
    }

    /// The environment's name.
    pub(crate) const fn environment(&self) -> &EnvironmentName {
        &self.environment
    }
}
