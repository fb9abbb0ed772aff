//! Entries and their bytes. An entry is encoded once, stored and hashed verbatim, and never
//! encoded again; golden files pin the bytes of each event.
//!
//! Decoding goes through the newtypes of the model, so that what could not have been written is
//! not taken for an entry. Unknown fields are passed over (fields are only ever added); an unknown
//! event or an unknown word of a closed set makes the entry unreadable.

use prost::Message;

use super::Unreadable;
use crate::model::{Entry, Position, Timestamp};
use crate::policy::Grant;
use crate::proto::entry as wire;

mod decode;
mod encode;
#[cfg(test)]
mod tests;
mod words;

/// The bytes of an entry: a `curfew.ledger.v1.Entry`.
pub(crate) fn encode(entry: &Entry) -> Vec<u8> {
    let entry = wire::Entry {
        position: entry.position.get(),
        time_ms: entry.time.millis(),
        actor: encode::text(entry.actor.as_ref()),
        request_id: entry.request_id.clone().unwrap_or_default(),
        event: Some(encode::event(&entry.event)),
    };
    entry.encode_to_vec()
}

/// The bytes of an issuance: what [`encode()`] makes of its entry, without the copy that an
/// [`Entry`] would need.
pub(super) fn encode_issuance(position: Position, time: Timestamp, grant: &Grant, nonce: [u8; 8]) -> Vec<u8> {
    let issued = encode::issued(grant.issued(), nonce);
    let entry = wire::Entry {
        position: position.get(),
        time_ms: time.millis(),
        actor: String::new(),
        request_id: grant.request_id().unwrap_or_default().to_owned(),
        event: Some(wire::entry::Event::CredentialIssued(issued)),
    };
    entry.encode_to_vec()
}

/// What the bytes at `position` say.
pub(crate) fn decode(position: Position, bytes: &[u8]) -> Result<Entry, Unreadable> {
    let unreadable = |problem: String| Unreadable { position, problem };
    let entry = wire::Entry::decode(bytes).map_err(|error| unreadable(error.to_string()))?;
    if entry.position != position.get() {
        return Err(unreadable(format!("the bytes are those of entry {}", entry.position)));
    }
    decode::entry(entry).map_err(|wrong| unreadable(wrong.to_string()))
}
