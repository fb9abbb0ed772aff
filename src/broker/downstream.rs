//! Ending what was issued for a service that goes on: what is issued for it from then on lives.

use std::sync::Arc;

use super::ends::last_expiry;
use super::enforcement::{Carried, concerns};
use super::revoke::Planned;
use super::{Broker, Error, Limits, NamedCensus, Revoked};
use crate::ledger::Present;
use crate::model::{Closing, CutMade, Downstream, DownstreamName, Event, Facts, Known, Note, Reason, Refusal, Whose, cut_ends};
use crate::policy::{Action, Caller, Resource};

impl Broker {
    /// Ends every token that was issued for a downstream before now. Certificates are for every downstream of their
    /// environment, and live on. Idempotent for as long as nothing more is issued for it.
    ///
    /// # Errors
    /// `NotFound` for an unknown name; `Denied` by policy or by a limit.
    pub(crate) async fn revoke_downstream(
        &self,
        caller: &Caller,
        name: DownstreamName,
        why: (Reason, Option<Note>),
        limits: Limits,
    ) -> Result<Revoked, Error> {
        self.authorise(caller, Action::RevokeDownstream, |facts, _| Ok(Resource::Downstream(Arc::clone(&find(&name, facts)?.record))))
            .await?;
        let number = find(&name, &self.ledger.facts())?.number;
        let carried = self.carried(number).await;
        let plan = move |present: &Present<'_>| plan(present, &name, why, limits, &carried);
        let (committed, planned) = self.change(Some(&caller.spiffe_id), plan).await?;
        Ok(Revoked::new(&committed, planned))
    }
}

/// A downstream by its name.
pub(super) fn find<'a>(name: &DownstreamName, facts: &'a Facts) -> Result<&'a Known<Downstream>, Refusal> {
    facts.downstream(name).ok_or_else(|| Refusal::not_found("downstream", name))
}

fn plan(
    present: &Present<'_>,
    name: &DownstreamName,
    (reason, note): (Reason, Option<Note>),
    limits: Limits,
    carried: &Carried,
) -> Result<(Vec<Event>, Planned), Refusal> {
    let number = find(name, present.facts)?.number;
    let whose = Whose::Bearing(number);
    let census = present.living.census(whose, present.now);
    let earlier = present.facts.cuts().get(number).map(|cut| cut.position);
    if earlier.is_some() && census.total == 0 && !present.living.may_be_low(present.now) {
        return Ok((Vec::new(), Planned { ended: NamedCensus::default(), first: earlier, standing: None }));
    }
    limits.check(present, census.total)?;
    let planned = Planned { ended: NamedCensus::of(&census, present.facts), first: None, standing: None };
    let ends = last_expiry(present, whose).and_then(|last_expiry| cut_ends(last_expiry, present.now));
    let concerns = Some(concerns(present, &census, (number, carried)));
    let cut = Event::Cut(CutMade { number, reason, ends, closing: Closing::Nothing, note, concerns, source: None });
    Ok(((!limits.dry_run).then_some(cut).into_iter().collect(), planned))
}
