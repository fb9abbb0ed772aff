//! A workload goes to another owner: at once where policy lets whoever says so, and otherwise once that
//! owner accepts it. Each move is judged by itself, one back to the owner before as well: who had a
//! workload gave it up.

use super::{Planning, Why};
use crate::model::{Known, Owner, OwnerId, Position, Whose, Workload};

impl Planning<'_> {
    /// Why what was issued to a workload under its owner may not live on under `to`.
    pub(super) fn why_moved(&mut self, to: &OwnerId) -> Why {
        let may = match self.asked.get(to) {
            Some(answer) => *answer,
            None => {
                let answer = self.owner_to_be(to).is_some_and(self.may_move);
                self.asked.insert(to.clone(), answer);
                answer
            }
        };
        if may { Why::Moved } else { Why::MovedUnasked }
    }

    /// Cuts a workload that comes back under another owner than it went: that is a move too.
    pub(super) fn comes_back(&mut self, known: Option<&Known<Workload>>, owner: Position, to: &OwnerId) -> Option<Why> {
        let known = known.filter(|known| known.record.owner != owner)?;
        let why = self.why_moved(to);
        self.cut(known.number, Whose::Workload { owner: known.record.owner, workload: known.number }, why);
        Some(why)
    }

    /// An owner as it is once everything here is recorded.
    fn owner_to_be(&self, id: &OwnerId) -> Option<&Owner> {
        let known = self.present.facts.owner(id).filter(|known| known.is_registered());
        let named = || self.snapshot.document.owners.iter().find(|owner| owner.id == *id).filter(|_| self.owners.contains_key(id));
        match known {
            Some(known) if !self.scope.may_touch(known) => Some(&known.record),
            _ => named().or_else(|| known.map(|known| &*known.record)),
        }
    }
}
