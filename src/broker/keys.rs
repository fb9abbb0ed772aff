//! The signing keys: what there is, the loop that rotates them, and what an administrator asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::{Broker, Error};
use crate::keys::rotation::{Rotation, Step};
use crate::keys::{Keeper, PrivateKey};
use crate::ledger::Present;
use crate::model::{
    CUT_OF_KEY_ENDS, Closing, CutMade, Event, KeyPurpose, KnownKey, Note, Position, PublicKey, Reason, Refusal, SpiffeId, Timestamp,
};
use crate::policy::{Action, Caller, Resource};

/// How keys come and go.
#[derive(Debug)]
pub(crate) struct Keeping {
    /// Where private halves are kept.
    pub keeper: Arc<dyn Keeper>,
    /// When keys change.
    pub rotation: Rotation,
}

/// Keys that were made and are not known to be recorded: the next attempt takes them. Held while keys are
/// changed, so that there is one change at a time.
pub(super) type Spares = Mutex<BTreeMap<KeyPurpose, PrivateKey>>;

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// Published, and waiting for its turn.
    Announced,
    /// It signs.
    Signing,
    /// It signs no more; what it signed may be good.
    Retired,
    /// Nothing that it signed is good any more.
    Ended,
    /// It was cut: nothing that it signed is good.
    Revoked,
}

/// A key, and where it is in its life.
#[derive(Clone, Debug)]
pub(crate) struct KeyStory {
    /// What the ledger knows.
    pub key: KnownKey,
    /// Where it is.
    pub state: KeyState,
    /// Since when.
    pub since: Timestamp,
    /// Whether this broker has its private half.
    pub held: bool,
}

/// What a rotation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rotated {
    /// The key that follows.
    pub next: Position,
    /// From when it signs.
    pub signs_from: Timestamp,
    /// The key that signs no more, if it was not to be waited for.
    pub retired: Option<Position>,
}

/// What a revocation of a key did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyRevoked {
    /// Where the cut stands; the first one, if it is repeated.
    pub position: Position,
    /// When it was committed; absent if it is repeated.
    pub committed_at: Option<Timestamp>,
    /// Whether it had been revoked before.
    pub repeated: bool,
    /// The key that signs now, if there is one.
    pub signing: Option<Position>,
}

impl Broker {
    /// Does what is due, and answers when there is more to do. What fails keeps nothing else from being done.
    ///
    /// # Errors
    /// The first thing that failed; the rest was tried.
    pub(crate) async fn tend_keys(&self) -> Result<Option<Timestamp>, Error> {
        let mut spares = self.spares.lock().await;
        loop {
            let plan = {
                let facts = self.ledger.facts();
                self.keeping.rotation.plan(facts.signing_keys(), &self.keyring.numbers(), self.clock.now())
            };
            if plan.steps.is_empty() {
                return Ok(plan.again);
            }
            let mut failed = None;
            for step in plan.steps {
                let outcome = match step {
                    Step::Make { purpose, signs_from } => self.make_key(None, purpose, signs_from, &mut spares).await.map(drop),
                    Step::Retire { number } => self.retire_key(None, number).await.map(drop),
                    Step::Discard { number } => self.discard_key(number).await,
                };
                failed = failed.or(outcome.err());
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
    }

    /// Makes a key that follows the one that signs: lasting, then recorded, then held.
    pub(super) async fn make_key(
        &self,
        actor: Option<&SpiffeId>,
        purpose: KeyPurpose,
        signs_from: Option<Timestamp>,
        spares: &mut BTreeMap<KeyPurpose, PrivateKey>,
    ) -> Result<Position, Error> {
        let key = match spares.remove(&purpose) {
            Some(spare) => spare,
            None => {
                let (keeper, now) = (Arc::clone(&self.keeping.keeper), self.clock.now());
                blocking(move || keeper.make(purpose, now)).await??
            }
        };
        let record = PublicKey { signs_from, ..key.public().clone() };
        let kid = record.kid.clone();
        let plan = move |present: &Present<'_>| {
            // An attempt whose outcome was not known may have recorded it.
            let known = present.facts.signing_keys().named(purpose, &record.kid).map(|known| known.number);
            let number = known.unwrap_or(present.head.next());
            Ok((known.is_none().then_some(Event::KeyActivated(record)).into_iter().collect(), number))
        };
        match self.change(actor, plan).await {
            Ok((_, number)) => {
                self.keyring.add(key, number)?;
                tracing::info!(%purpose, kid, number = number.get(), "a signing key was made");
                Ok(number)
            }
            Err(error) => {
                spares.insert(purpose, key);
                Err(error)
            }
        }
    }

    /// Lets the next key sign in the place of this one, if there is a next.
    async fn retire_key(&self, actor: Option<&SpiffeId>, number: Position) -> Result<Option<Position>, Error> {
        let rotation = self.keeping.rotation.clone();
        let plan = move |present: &Present<'_>| {
            let keys = present.facts.signing_keys();
            let Some(key) = keys.get(number).filter(|key| key.lives()) else { return Ok((Vec::new(), None)) };
            let purpose = key.record.purpose;
            let next = keys.waiting(purpose).map(|key| key.number).find(|next| *next != number);
            let ends = rotation.ends(purpose, present.latest_expiry, present.now);
            Ok((next.map(|_| Event::KeyRetired { number, ends }).into_iter().collect(), next))
        };
        let (_, next) = self.change(actor, plan).await?;
        if let Some(next) = next {
            tracing::info!(retired = number.get(), next = next.get(), "a signing key was retired; the next one signs");
        }
        Ok(next)
    }

    /// Wipes a private half. What is signing with it finishes first.
    async fn discard_key(&self, number: Position) -> Result<(), Error> {
        let record = self.ledger.facts().signing_keys().get(number).map(|key| Arc::clone(&key.record));
        if let Some(record) = record {
            let (keeper, wiped) = (Arc::clone(&self.keeping.keeper), Arc::clone(&record));
            blocking(move || keeper.discard(&wiped)).await??;
            tracing::info!(purpose = %record.purpose, kid = record.kid, number = number.get(), "a private key was wiped");
        }
        self.keyring.remove(number);
        Ok(())
    }

    /// The issuers that vouch for certificates which may be alive, or will: number and certificate, DER.
    pub(crate) fn issuers(&self) -> Vec<(Position, Vec<u8>)> {
        let now = self.clock.now();
        let facts = self.ledger.facts();
        let issuers = facts.signing_keys().iter().filter(|key| key.record.purpose == KeyPurpose::Issuer && key.is_believed(now));
        issuers.map(|key| (key.number, key.record.material.clone())).collect()
    }

    /// The number of the key that signs.
    pub(crate) fn signing_key(&self, purpose: KeyPurpose) -> Option<Position> {
        self.ledger.facts().signing_keys().signing(purpose).map(|key| key.number)
    }

    /// From when a key signs that waits.
    pub(crate) fn signs_from(&self, waiting: &KnownKey) -> Timestamp {
        self.keeping.rotation.signs_from(waiting)
    }

    /// Every key that is in use, will be, or was, by purpose and number.
    ///
    /// # Errors
    /// `Denied` by policy.
    pub(crate) async fn list_keys(&self, caller: &Caller) -> Result<Vec<KeyStory>, Error> {
        self.authorise(caller, Action::ReadKeys, |_, _| Ok(Resource::System)).await?;
        let (now, held) = (self.clock.now(), self.keyring.numbers());
        let facts = self.ledger.facts();
        let keys = facts.signing_keys();
        let mut stories: Vec<KeyStory> = keys
            .iter()
            .map(|key| {
                let signs = keys.signing(key.record.purpose).is_some_and(|signing| signing.number == key.number);
                let (state, since) = match signs {
                    true => (KeyState::Signing, keys.began(key)),
                    false => state(key, now),
                };
                KeyStory { key: key.clone(), state, since, held: held.contains(&key.number) }
            })
            .collect();
        stories.sort_by_key(|story| (story.key.record.purpose, story.key.number));
        Ok(stories)
    }

    /// Makes the next key of a purpose, if there is none that waits, and lets it sign: when it was
    /// published for as long as the configuration says, or at once.
    ///
    /// # Errors
    /// `Denied` by policy; `Invalid` where a module holds the keys; `Unavailable` if the key cannot be kept.
    pub(crate) async fn rotate_key(&self, caller: &Caller, purpose: KeyPurpose, at_once: bool) -> Result<Rotated, Error> {
        self.authorise(caller, Action::RotateKey, |_, _| Ok(Resource::System)).await?;
        let actor = Some(&caller.spiffe_id);
        let mut spares = self.spares.lock().await;
        let now = self.clock.now();
        let (signing, waiting) = {
            let facts = self.ledger.facts();
            let mut waiting = facts.signing_keys().waiting(purpose);
            (waiting.next().map(|key| key.number), waiting.next().map(|key| (key.number, self.keeping.rotation.signs_from(key))))
        };
        let (next, signs_from) = match waiting {
            Some(waiting) => waiting,
            None => {
                let signs_from = if at_once { now } else { self.keeping.rotation.announced(purpose, now) };
                (self.make_key(actor, purpose, Some(signs_from), &mut spares).await?, signs_from)
            }
        };
        let Some(signing) = signing.filter(|_| at_once) else { return Ok(Rotated { next, signs_from, retired: None }) };
        self.retire_key(actor, signing).await?;
        Ok(Rotated { next, signs_from: signs_from.min(now), retired: Some(signing) })
    }

    /// Ends everything that a key ever signed, whatever position it says, and lets another sign. Where
    /// no other can be made the key is cut all the same, and nothing of its purpose is signed until one is.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` without a note; `Denied` by policy.
    pub(crate) async fn revoke_key(
        &self,
        caller: &Caller,
        number: Position,
        reason: Reason,
        note: Option<Note>,
    ) -> Result<KeyRevoked, Error> {
        let note = super::required(note)?;
        self.authorise(caller, Action::RevokeKey, |_, _| Ok(Resource::System)).await?;
        let unknown = move || Refusal::not_found("key", number);
        let key = self.ledger.facts().signing_keys().get(number).cloned().ok_or_else(unknown)?;
        let purpose = key.record.purpose;
        let mut spares = self.spares.lock().await;
        let others = self.ledger.facts().signing_keys().waiting(purpose).filter(|other| other.number != number).count();
        if key.lives() && others == 0 {
            // Before the cut, so that what asks for a credential meanwhile gets one.
            if let Err(error) = self.make_key(Some(&caller.spiffe_id), purpose, None, &mut spares).await {
                tracing::error!(%purpose, %error, "no key could be made in the place of one that is revoked");
            }
        }
        let plan = move |present: &Present<'_>| {
            let key = present.facts.signing_keys().get(number).ok_or_else(unknown)?;
            let cut = CutMade {
                number,
                reason,
                ends: Some(CUT_OF_KEY_ENDS),
                closing: Closing::Nothing,
                note: Some(note),
                concerns: None,
                source: None,
            };
            Ok((key.cut.is_none().then_some(Event::Cut(cut)).into_iter().collect(), key.cut.map(|(position, _)| position)))
        };
        let (committed, before) = self.change(Some(&caller.spiffe_id), plan).await?;
        Ok(KeyRevoked {
            position: before.unwrap_or(committed.last),
            committed_at: committed.first.map(|_| committed.time),
            repeated: before.is_some(),
            signing: self.signing_key(purpose),
        })
    }
}

/// Where a key that does not sign is in its life, and since when.
fn state(key: &KnownKey, now: Timestamp) -> (KeyState, Timestamp) {
    let ended = key.ends().filter(|_| key.has_ended(now));
    match (key.cut, ended, key.retired) {
        (Some((_, since)), _, _) => (KeyState::Revoked, since),
        (None, Some(end), _) => (KeyState::Ended, end),
        (None, None, Some(retired)) => (KeyState::Retired, retired.since),
        (None, None, None) => (KeyState::Announced, key.known_since),
    }
}

/// Runs what waits for a disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|gone| Error::Internal(gone.into()))
}
