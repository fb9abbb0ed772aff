//! How many bytes of requests are in flight: of one identity, and of all. A message is charged when its
//! length is announced, before any of it is kept, and until its call is answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use futures_util::TryStreamExt as _;

use crate::model::SpiffeId;

/// Bytes of requests that may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InFlight {
    /// Of one identity.
    pub(crate) each: u64,
    /// Of all together.
    pub(crate) all: u64,
    /// What the longest message counts at most.
    pub(crate) longest: u64,
}

/// The bytes that are in flight. Calls that revoke have a like budget to themselves, so that they are
/// never behind the others.
#[derive(Debug)]
pub(super) struct Budgets {
    revoking: Budget,
    others: Budget,
}

#[derive(Debug)]
struct Budget {
    most: InFlight,
    held: Mutex<Held>,
}

/// The last one in so many of all bytes is for those who hold little.
const LAST: u64 = 8;

/// So many bytes are little.
const LITTLE: u64 = 64 << 10;

#[derive(Debug, Default)]
struct Held {
    all: u64,
    each: HashMap<SpiffeId, u64>,
}

/// There is no room for a message.
#[derive(Debug, thiserror::Error)]
#[error("too many bytes of requests are in flight")]
pub(super) struct Full;

impl Budget {
    fn new(most: InFlight) -> Self {
        Self { most, held: Mutex::default() }
    }

    /// No identity may hold more than is left for all others together, nor the last of it unless it holds
    /// little: however many want everything, a small message of somebody else fits.
    fn take(&self, who: &SpiffeId, bytes: u64) -> Result<(), Full> {
        if bytes == 0 {
            return Ok(());
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.most.all.saturating_sub(held.all);
        let mine = held.each.get(who).copied().unwrap_or_default().saturating_add(bytes);
        let room = if mine <= LITTLE { bytes <= left } else { mine <= left.saturating_sub(self.most.all / LAST) };
        if mine > self.most.each || !room {
            return Err(Full);
        }
        held.all += bytes;
        held.each.insert(who.clone(), mine);
        Ok(())
    }

    fn give_back(&self, who: &SpiffeId, bytes: u64) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all = held.all.saturating_sub(bytes);
        if let Some(mine) = held.each.get_mut(who) {
            *mine = mine.saturating_sub(bytes);
            if *mine == 0 {
                held.each.remove(who);
            }
        }
    }
}

impl Budgets {
    pub(super) fn new(most: InFlight) -> Arc<Self> {
        Arc::new(Self { revoking: Budget::new(most), others: Budget::new(most) })
    }

    /// The charge of one call.
    pub(super) fn charge(self: &Arc<Self>, who: SpiffeId, path: &str) -> Charge {
        Charge(Arc::new(Charged { budgets: Arc::clone(self), who, revokes: revokes(path), state: Mutex::default() }))
    }
}

/// Whether a call ends something.
fn revokes(path: &str) -> bool {
    REVOKING.contains(&path)
}

const REVOKING: [&str; 4] =
    ["/curfew.v1.Owners/RevokeByOwner", "/curfew.v1.Revocations/Revoke", "/curfew.v1.Tasks/Close", "/curfew.v1.Exceptions/Revoke"];

/// What one call holds, given back when the last of it is gone: the request as it is read, and whoever
/// waits for the answer.
#[derive(Clone, Debug)]
pub(super) struct Charge(Arc<Charged>);

#[derive(Debug)]
struct Charged {
    budgets: Arc<Budgets>,
    who: SpiffeId,
    revokes: bool,
    state: Mutex<State>,
}

/// Where a request has come to.
#[derive(Debug, Default)]
struct State {
    /// The head of a message as far as it has come: a flag, and the length (gRPC over HTTP/2, Length-Prefixed-Message).
    head: Vec<u8>,
    /// How much of a message is still to come.
    left: u64,
    /// What is held: as much as the longest message.
    held: u64,
    refused: bool,
}

const HEAD: usize = 5;

impl Charge {
    /// The same body, charged as it is read.
    pub(super) fn body(&self, body: Body) -> Body {
        let charged = Arc::clone(&self.0);
        let read = body.into_data_stream().map_err(Box::<dyn std::error::Error + Send + Sync>::from).and_then(move |bytes| {
            let read = charged.read(&bytes).map(|()| bytes).map_err(Into::into);
            std::future::ready(read)
        });
        Body::from_stream(read)
    }

    /// Whether there was no room.
    pub(super) fn is_refused(&self) -> bool {
        self.0.state().refused
    }
}

impl Charged {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn budget(&self) -> &Budget {
        if self.revokes { &self.budgets.revoking } else { &self.budgets.others }
    }

    fn read(&self, mut bytes: &[u8]) -> Result<(), Full> {
        let mut state = self.state();
        while !bytes.is_empty() {
            let more = usize::try_from(state.left).unwrap_or(usize::MAX);
            let (rest, next) = bytes.split_at(more.min(bytes.len()));
            state.left -= rest.len() as u64;
            let (head, next) = next.split_at(next.len().min(HEAD - state.head.len()));
            state.head.extend_from_slice(head);
            bytes = next;
            if let [_, length @ ..] = state.head.as_slice()
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                state.left = u32::from_be_bytes(length).into();
                state.head.clear();
                self.hold(&mut state)?;
            }
        }
        Ok(())
    }

    fn hold(&self, state: &mut State) -> Result<(), Full> {
        let budget = self.budget();
        let more = state.left.min(budget.most.longest).saturating_sub(state.held);
        if let Err(full) = budget.take(&self.who, more) {
            state.refused = true;
            return Err(full);
        }
        state.held += more;
        Ok(())
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        let held = self.state().held;
        self.budget().give_back(&self.who, held);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use prost::Message as _;

    use super::*;

    const MOST: InFlight = InFlight { each: 100, all: 400, longest: 80 };
    const ISSUE: &str = "/curfew.v1.Credentials/IssueToken";

    fn who(name: &str) -> SpiffeId {
        format!("spiffe://example.org/{name}").parse().expect("a SPIFFE ID")
    }

    /// A message of this length, with its head.
    fn message(length: u32) -> Vec<u8> {
        [&[0], length.to_be_bytes().as_slice(), &vec![7; length as usize]].concat()
    }

    fn held(budget: &Budget) -> (u64, usize) {
        let held = budget.held.lock().expect("whole");
        (held.all, held.each.len())
    }

    #[tokio::test]
    async fn a_message_is_charged_when_it_is_announced_and_until_its_call_is_over() {
        let budgets = Budgets::new(MOST);
        let charge = budgets.charge(who("api"), ISSUE);
        // Two messages, in pieces of any size; the longer one counts.
        let bytes = [message(30), message(60)].concat();
        for size in [1, 3, 7, 100] {
            let charge = budgets.charge(who("api"), ISSUE);
            let pieces: Vec<Result<Vec<u8>, std::io::Error>> = bytes.chunks(size).map(|piece| Ok(piece.to_vec())).collect();
            let read = axum::body::to_bytes(charge.body(Body::from_stream(stream::iter(pieces))), 1000).await.expect("room");
            assert_eq!((read.as_ref(), held(&budgets.others)), (bytes.as_slice(), (60, 1)), "in pieces of {size}");
        }
        assert_eq!(held(&budgets.others), (0, 0), "it was given back");
        charge.0.read(&message(50)[..HEAD]).expect("room");
        assert_eq!(held(&budgets.others).0, 50, "before the first byte of it");
        drop(charge);
        assert_eq!(held(&budgets.others), (0, 0));
    }

    #[tokio::test]
    async fn what_has_no_room_is_not_read() {
        let budgets = Budgets::new(MOST);
        let first = budgets.charge(who("api"), ISSUE);
        first.0.read(&message(80)).expect("room");
        let second = budgets.charge(who("api"), ISSUE);
        axum::body::to_bytes(second.body(Body::from(message(30))), 1000).await.expect_err("no room");
        assert!(second.is_refused() && !first.is_refused());
        assert_eq!(held(&budgets.others).0, 80);
        budgets.charge(who("api"), ISSUE).0.read(&message(20)).expect("what is left");
        // However long it says that it is: whether that is too long is for others to say.
        budgets.charge(who("other"), ISSUE).0.read(&message(300)).expect("counts as the longest");
    }

    #[test]
    fn however_many_want_everything_somebody_else_s_small_message_fits() {
        let budgets = Budgets::new(InFlight { each: 32 << 20, all: 128 << 20, longest: 16 << 20 });
        let mut charges = Vec::new();
        let mut ask = |name: String, length: u32| {
            let charge = budgets.charge(who(&name), ISSUE);
            let fits = charge.0.read(&[&[0], length.to_be_bytes().as_slice()].concat()).is_ok();
            charges.push(charge);
            fits
        };
        for greedy in 0..100 {
            // The largest that fits, and again.
            for length in (0..24).rev().map(|power| 1 << power) {
                let fitted = (0..1000).take_while(|_| ask(format!("greedy-{greedy}"), length)).count();
                assert!(fitted < 1000, "messages of {length} bytes are not charged");
            }
        }
        for small in 0..100 {
            assert!(ask(format!("small-{small}"), 1000), "small-{small} is kept out");
        }
        assert!(held(&budgets.others).0 <= 128 << 20, "{:?}", held(&budgets.others));
        // And it all comes back.
        drop(charges);
        assert_eq!(held(&budgets.others), (0, 0));
    }

    #[test]
    fn revoking_has_a_share_of_its_own() {
        let budgets = Budgets::new(MOST);
        let others = budgets.charge(who("api"), ISSUE);
        let more = budgets.charge(who("api"), ISSUE);
        others.0.read(&message(80)).expect("room");
        assert!(more.0.read(&message(80)).is_err());
        for path in REVOKING {
            budgets.charge(who("api"), path).0.read(&message(80)).expect("room");
        }
    }

    /// A method that is renamed would lose its share.
    #[test]
    fn the_calls_that_revoke_are_calls_of_the_api() {
        let pool = prost_types::FileDescriptorSet::decode(crate::proto::DESCRIPTORS).expect("descriptors");
        let mut paths = Vec::new();
        for file in pool.file {
            for service in &file.service {
                let methods = service.method.iter();
                paths.extend(methods.map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())));
            }
        }
        assert!(REVOKING.iter().all(|path| paths.iter().any(|known| known == path)), "{paths:?}");
    }
}
