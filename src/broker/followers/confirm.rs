//! A follower says what it has applied.

use super::Handed;
use crate::broker::{Broker, Error};
use crate::model::{Epoch, Instance, Position};
use crate::policy::{Action, Caller, Resource};

/// What a follower says that it has applied: position, root and epoch of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Confirmation {
    /// The position that the list covers.
    pub position: Position,
    /// The root of the tree there.
    pub root: [u8; 32],
    /// The epoch of the history.
    pub epoch: Epoch,
}

impl Broker {
    /// A list is about to be sent to a caller that [may have it](Self::may_follow). Who gives no name and
    /// verifies for no downstream only looks.
    ///
    /// # Errors
    /// If more follow than are told apart.
    pub(crate) fn hand(&self, caller: &Caller, instance: Option<&Instance>, handed: Handed) -> Result<(), Error> {
        let identity = &caller.spiffe_id;
        let verifies = || self.ledger.facts().downstreams().any(|known| known.record.verifier.as_ref() == Some(identity));
        if instance.is_none() && !verifies() {
            return Ok(());
        }
        self.followers.handed((identity, instance), handed, self.clock.now())
    }

    /// Takes down what a follower has applied, and gives the names of the downstreams that it is tied to.
    /// Needs an identity, not a standing. Counts once the high-water mark covers it, so that no ledger that
    /// has lost what was confirmed starts.
    ///
    /// # Errors
    /// `Denied` by policy, or if it is of another history or of no list that was published lately.
    pub(crate) async fn acknowledge(&self, caller: &Caller, instance: Instance, confirmation: Confirmation) -> Result<Vec<String>, Error> {
        self.authorise(caller, Action::ReadList, |_, _| Ok(Resource::System)).await?;
        let (epoch, head, names) = {
            let facts = self.ledger.facts();
            let epoch = facts.epoch().ok_or_else(|| Error::Unavailable("the ledger has no epoch".to_owned()))?;
            let verifies = facts.downstreams().filter(|known| known.record.verifier.as_ref() == Some(&caller.spiffe_id));
            let mut names: Vec<_> = verifies.map(|known| known.record.name.to_string()).collect();
            names.sort();
            (epoch, self.ledger.head().position, names)
        };
        self.followers.mark_covers(confirmation.position.min(head)).await;
        self.followers.confirm((&caller.spiffe_id, instance), &confirmation, (epoch, head), self.clock.now())?;
        Ok(names)
    }
}
