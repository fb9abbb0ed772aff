//! What is served, as its readers will read it, held against what the ledger says.

use std::collections::HashMap;

use super::build::Served;
use super::pass::{Dead, Made, Pass};
use crate::formats::crl;
use crate::formats::jws;
use crate::formats::list::{List, MAX_LIST};
use crate::formats::status_list::{MAX_STATUS_LIST, StatusList, StatusListToken};
use crate::model::{CredentialId, Cuts, Position, Reason};

/// Something that is served and does not say what the ledger says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Difference {
    /// The ledger holds a cut that nobody would be judged by.
    #[error("the cut at position {0} is in the ledger and not in force")]
    CutUnknown(Position),
    /// The native list is not one.
    #[error("the revocation list cannot be read")]
    ListUnreadable,
    /// The native list lacks a cut, or has it otherwise.
    #[error("the revocation list does not hold the cut at position {0}")]
    ListLacks(Position),
    /// The native list has a cut that was never made.
    #[error("the revocation list holds a cut at position {0}, which is not in force")]
    ListInvents(Position),
    /// A CRL is not one.
    #[error("the CRL of the issuing key {0} cannot be read")]
    CrlUnreadable(Position),
    /// A CRL lacks a certificate, or has it for another reason.
    #[error("the CRL of the issuing key {key} does not name the certificate {id}, which is dead")]
    CrlLacks {
        /// The issuing key.
        key: Position,
        /// The certificate.
        id: CredentialId,
    },
    /// A CRL names more than is dead.
    #[error("the CRL of the issuing key {key} names {named} certificates, and {dead} are dead")]
    CrlInvents {
        /// The issuing key.
        key: Position,
        /// How many it names.
        named: usize,
        /// How many it should.
        dead: usize,
    },
    /// A status list is not one.
    #[error("the status list {0} cannot be read")]
    StatusUnreadable(u64),
    /// A status list says of a dead token that it is good.
    #[error("the status list {list} says that the token at index {index} is good, which is dead")]
    StatusLacks {
        /// The list.
        list: u64,
        /// The token.
        index: u32,
    },
    /// A status list says of a token that lives that it is dead.
    #[error("the status list {list} says that the token at index {index} is dead, which is not")]
    StatusInvents {
        /// The list.
        list: u64,
        /// The token.
        index: u32,
    },
}

/// Holds what is served against what a pass found: against the same pass exactly; against a later one, whether
/// everything that was dead already is named.
pub(super) fn served(served: &Served, pass: &Pass) -> Vec<Difference> {
    let mut found: Vec<Difference> = pass.unknown_cuts.iter().copied().map(Difference::CutUnknown).collect();
    found.extend(served.crls.iter().filter_map(|(key, served)| crl_of(*key, &served.body.bytes, served.made, pass)));
    found.extend(pass.tokens.keys().filter_map(|list| status(*list, served, pass)));
    found
}

/// Whether something was dead when that was made, and has to be named there still.
fn was_dead(dead: &Dead, made: Made, pass: &Pass) -> bool {
    made == pass.made || (dead.cut <= made.position && dead.expires_at > pass.made.taken_at)
}

fn crl_of(key: Position, der: &[u8], made: Made, pass: &Pass) -> Option<Difference> {
    let Some(named) = crl::revoked(der) else { return Some(Difference::CrlUnreadable(key)) };
    let named: HashMap<CredentialId, Reason> = named.into_iter().collect();
    let exact = made == pass.made;
    let says = |dead: &Dead| named.get(&dead.id).is_some_and(|reason| !exact || *reason == dead.reason);
    let mut dead = 0;
    for one in pass.certificates(key).filter(|one| was_dead(one, made, pass)) {
        if !says(one) {
            return Some(Difference::CrlLacks { key, id: one.id });
        }
        dead += 1;
    }
    (exact && named.len() != dead).then_some(Difference::CrlInvents { key, named: named.len(), dead })
}

fn status(list: u64, served: &Served, pass: &Pass) -> Option<Difference> {
    let exact = served.made == pass.made;
    let due = if exact { &pass.tokens } else { &pass.known_tokens }.get(&list)?;
    let said = match served.status(list).map(|served| read(&served.body.bytes)) {
        Some(Some(said)) => said,
        Some(None) => return Some(Difference::StatusUnreadable(list)),
        // One that was begun since cannot hold what was dead before.
        None => StatusList::all_valid(),
    };
    let lacks = said.lacks(due).map(|index| Difference::StatusLacks { list, index });
    lacks.or_else(|| due.lacks(&said).filter(|_| exact).map(|index| Difference::StatusInvents { list, index }))
}

fn read(text: &[u8]) -> Option<StatusList> {
    let jws = jws::parse(std::str::from_utf8(text).ok()?, MAX_STATUS_LIST).ok()?;
    StatusListToken::decode(&jws.payload).ok().map(|token| token.list)
}

/// Holds the native list against the cuts that are in force, which may be later ones.
pub(super) fn native(list: &str, cuts: &Cuts) -> Vec<Difference> {
    let list = jws::parse(list, MAX_LIST).ok().and_then(|jws| List::decode(&jws.payload).ok());
    let Some(list) = list else { return vec![Difference::ListUnreadable] };
    let listed: HashMap<Position, _> = list.cuts.iter().map(|cut| (cut.number, *cut)).collect();
    let covered = cuts.listed(list.issued_at.plus(std::time::Duration::from_secs(1))).filter(|cut| cut.position <= list.position);
    let lacks = covered.filter(|cut| listed.get(&cut.number) != Some(*cut)).map(|cut| Difference::ListLacks(cut.position));
    let in_force = |position: Position, number| cuts.get(number).is_some_and(|cut| cut.position >= position);
    let invents = list.cuts.iter().filter(|cut| !in_force(cut.position, cut.number)).map(|cut| Difference::ListInvents(cut.position));
    lacks.chain(invents).collect()
}
