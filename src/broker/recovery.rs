//! A new epoch, after entries may have been lost: what was issued before it is dead, whether its
//! record is left or not.

use std::iter;

use super::{Broker, OpenError};
use crate::ledger::{Change, Committed, Ledger, Present, Urgency};
use crate::model::{CUT_OF_KEY_ENDS, Closing, CutMade, EpochBegun, Event, Position, PublicKey, Reason};

impl Broker {
    /// Begins an epoch on what is left of a ledger: cuts every key that it knows, and activates
    /// `keys`, in one transaction.
    ///
    /// # Errors
    /// If the ledger cannot commit.
    pub(crate) async fn begin_epoch(ledger: &dyn Ledger, begun: EpochBegun, keys: Vec<PublicKey>) -> Result<Committed, OpenError> {
        let plan = move |present: &Present<'_>| {
            let facts = present.facts;
            let known = facts.signing_keys().iter().map(|key| key.number);
            let in_use = known.filter(|number| facts.cuts().get(*number).is_none());
            let activations = keys.into_iter().map(Event::KeyActivated);
            Ok(iter::once(Event::EpochBegun(begun)).chain(in_use.map(retired)).chain(activations).collect())
        };
        Ok(ledger.change(Change { urgency: Urgency::First, actor: None, request_id: None, plan: Box::new(plan) }).await?)
    }
}

fn retired(number: Position) -> Event {
    let reason = Reason::Superseded;
    Event::Cut(CutMade { number, reason, ends: Some(CUT_OF_KEY_ENDS), closing: Closing::Nothing, note: None, concerns: None, source: None })
}
