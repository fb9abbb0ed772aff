//! The offboarding report: what existed under an owner, what was revoked, and where that stands, each by
//! the entry that says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::{AtDownstream, Broker, Error, Progress};
use crate::formats::list::to_hex;
use crate::formats::report::{Confirmed, Count, Downstream, Issued, LastMoment, Other, Owner, Report, Revocation, Verdict};
use crate::ledger::{By, Head, Search};
use crate::model::{
    CredentialKind, CutMade, Enforcement, Entry, Event, Facts, KeyPurpose, OwnerId, Position, Refusal, Timestamp, VerifierKind,
};
use crate::policy::{Action, Caller, Resource};

/// How many other revocations under an owner are looked at.
const MOST_OTHERS: usize = 1000;

/// What was counted under an owner.
#[derive(Debug, Default)]
struct Tally {
    before: BTreeMap<(CredentialKind, Position), u64>,
    after: u64,
    first: Option<Position>,
    last: Option<Position>,
}

impl Broker {
    /// The offboarding report of an owner, as of now, signed by the list key.
    ///
    /// # Errors
    /// `NotFound`; `Denied` by policy; `Unavailable`.
    pub(crate) async fn signed_report(&self, caller: &Caller, id: &OwnerId) -> Result<String, Error> {
        let report = self.report(caller, id).await?;
        let key = self.keyring.signing(KeyPurpose::List, &self.ledger.facts())?;
        report.encode(&key.kid, |input| key.sign(input)).map_err(|error| Error::Internal(error.to_string().into()))
    }

    /// The same, unsigned.
    pub(super) async fn report(&self, caller: &Caller, id: &OwnerId) -> Result<Report, Error> {
        let find = |facts: &Facts| facts.owner(id).cloned().ok_or_else(|| Refusal::not_found("owner", id));
        self.authorise(caller, Action::ReadOwner, |facts, _| Ok(Resource::Owner(find(facts)?.number))).await?;
        // So that what is confirmed by now stands in the ledger, and can be named.
        self.follow_cuts().await?;
        self.record_confirmations().await?;
        let known = find(&self.ledger.facts())?;
        let closed = known.closed.or(known.absent).map(|closed| closed.at);
        let cut = match closed {
            Some(at) => Some(self.cut_at(at).await?),
            None => None,
        };
        let progress = match &cut {
            Some((entry, made)) => Some(self.progress(entry, made).await?),
            None => None,
        };
        let others = self.others(known.number, closed).await?;
        let confirmed = self.confirmed_in(progress.as_ref()).await?;
        let head = self.ledger.head();
        let tally = self.tally(known.number, closed, head).await?;

        let facts = self.ledger.facts();
        let epoch = facts.epoch().ok_or_else(|| Error::Unavailable("the ledger has no epoch".to_owned()))?;
        let now = self.clock.now();
        let downstreams = progress.iter().flat_map(|progress| progress.downstreams.iter().map(|at| downstream(at, &confirmed))).collect();
        let (verdict, why) = verdict(progress.as_ref(), &others, &tally);
        let mut entries: BTreeSet<Position> = [Some(known.number), closed, tally.first, tally.last].into_iter().flatten().collect();
        entries.extend(others.iter().map(|other| Position::new(other.position)));
        for at in progress.iter().flat_map(|progress| &progress.downstreams) {
            entries.extend(at.entry);
            entries.extend(at.number.and_then(|number| facts.downstream_numbered(number)).map(|known| known.changed));
        }
        Ok(Report {
            iss: self.minter.issuer_url().to_owned(),
            iat: now.seconds(),
            epoch: epoch.to_string(),
            pos: head.position.get(),
            root: to_hex(&head.root),
            owner: Owner {
                id: known.record.id.to_string(),
                number: known.number.get(),
                kind: known.record.kind.to_string(),
                business_owner: known.record.business_owner.to_string(),
                technical_owner: known.record.technical_owner.to_string(),
                contract_end: facts.contract_end(&known).map(|end| end.to_string()),
                standing: known.standing(now).to_string(),
            },
            revocation: cut.as_ref().map(|(entry, made)| revocation(entry, made, progress.as_ref(), &facts)),
            issued: Issued {
                before: tally.before.iter().map(|((kind, environment), count)| counted(*kind, *environment, *count, &facts)).collect(),
                after: tally.after,
                first: tally.first.map(Position::get),
                last: tally.last.map(Position::get),
            },
            last_moment: last_moment(progress.as_ref(), &others),
            downstreams,
            others,
            verdict,
            why,
            entries: entries.into_iter().filter(|entry| *entry <= head.position).map(Position::get).collect(),
        })
    }

    /// What the entries say that took down confirmations.
    async fn confirmed_in(&self, progress: Option<&Progress>) -> Result<BTreeMap<Position, Confirmed>, Error> {
        let mut confirmed = BTreeMap::new();
        for at in progress.iter().flat_map(|progress| &progress.downstreams).filter_map(|at| at.entry) {
            let Some(stored) = self.ledger.find(at).await? else { continue };
            let Ok(entry) = stored.entry else { continue };
            if let Event::DownstreamConfirmed(said) = entry.event {
                let told = Confirmed { position: said.position.get(), at: entry.time.to_string(), processes: said.confirmed };
                confirmed.insert(at, told);
            }
        }
        Ok(confirmed)
    }

    /// Counts what was issued under an owner, in the entries up to `head`.
    async fn tally(&self, owner: Position, cut: Option<Position>, head: Head) -> Result<Tally, Error> {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let mut before = head.position.next();
        loop {
            let counting = Arc::clone(&tally);
            let count = move |position: Position, issued: &crate::model::Issued| {
                if issued.subjects.owner == owner {
                    counting.lock().unwrap_or_else(PoisonError::into_inner).add(position, cut, issued);
                }
                false
            };
            let search = Search {
                before,
                after: Position::ZERO,
                limit: 1,
                since: Timestamp::EPOCH,
                by: Some(By::Subject(owner)),
                wanted: Box::new(count),
            };
            let found = self.ledger.search(search).await?;
            match found.next {
                Some(next) => before = next,
                None => break,
            }
        }
        let mut counted = tally.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut counted))
    }

    /// The other cuts in the list that ended something of an owner, and are not enforced everywhere.
    async fn others(&self, owner: Position, cut: Option<Position>) -> Result<Vec<Other>, Error> {
        let mut listed: Vec<_> = {
            let facts = self.ledger.facts();
            facts.cuts().listed(self.clock.now()).filter(|listed| Some(listed.position) != cut).copied().collect()
        };
        listed.sort_unstable_by_key(|listed| std::cmp::Reverse(listed.position));
        let mut others = Vec::new();
        for listed in listed.into_iter().take(MOST_OTHERS) {
            let Some(subject) = self.subject_of(listed.number, owner).await? else { continue };
            let until = match self.cut_at(listed.position).await {
                Ok((entry, made)) => self.progress(&entry, &made).await?.until(),
                Err(unavailable @ Error::Unavailable(_)) => return Err(unavailable),
                // What cannot be read is not known to be enforced.
                Err(_) => Some(listed.ends),
            };
            let Some(until) = until else { continue };
            others.push(Other {
                position: listed.position.get(),
                subject,
                reason: listed.reason.to_string(),
                until: Some(until.to_string()),
            });
        }
        others.reverse();
        Ok(others)
    }

    /// What a number is, if it is of the owner.
    async fn subject_of(&self, number: Position, owner: Position) -> Result<Option<String>, Error> {
        {
            let facts = self.ledger.facts();
            if let Some(known) = facts.workload_numbered(number) {
                return Ok((known.record.owner == owner).then(|| format!("workload {}", known.record.spiffe_id)));
            }
            if facts.owner_numbered(number).is_some() || facts.environment_numbered(number).is_some() {
                return Ok(None);
            }
        }
        let Some(stored) = self.ledger.find(number).await? else { return Ok(None) };
        Ok(match stored.entry.map(|entry| entry.event) {
            Ok(Event::TaskOpened(task)) if task.owner == owner => Some(format!("task {number}")),
            Ok(Event::CredentialIssued(issued)) if issued.subjects.owner == owner => Some(format!("{} at {number}", issued.kind)),
            Ok(_) | Err(_) => None,
        })
    }
}

impl Tally {
    fn add(&mut self, position: Position, cut: Option<Position>, issued: &crate::model::Issued) {
        if cut.is_some_and(|cut| position > cut) {
            self.after += 1;
            return;
        }
        *self.before.entry((issued.kind, issued.subjects.environment)).or_default() += 1;
        self.first = Some(self.first.map_or(position, |first| first.min(position)));
        self.last = self.last.max(Some(position));
    }
}

fn counted(kind: CredentialKind, environment: Position, count: u64, facts: &Facts) -> Count {
    let name = facts.environment_numbered(environment).map_or_else(|| format!("#{environment}"), |known| known.record.name.to_string());
    Count { kind: kind.to_string(), environment: name, environment_number: environment.get(), count }
}

fn revocation(entry: &Entry, made: &CutMade, progress: Option<&Progress>, facts: &Facts) -> Revocation {
    let ended = made.concerns.iter().flat_map(|concerns| concerns.ended());
    Revocation {
        position: entry.position.get(),
        committed_at: entry.time.to_string(),
        published_at: progress.and_then(|progress| progress.published_at).map(|at| at.to_string()),
        requested_by: entry.actor.as_ref().map(ToString::to_string),
        reason: made.reason.to_string(),
        note: made.note.as_ref().map(ToString::to_string),
        closing: made.closing.to_string(),
        ended: ended.map(|ended| counted(ended.kind, ended.environment, ended.count, facts)).collect(),
    }
}

fn downstream(at: &AtDownstream, confirmed: &BTreeMap<Position, Confirmed>) -> Downstream {
    let (state, since) = match at.enforcement {
        Enforcement::Waiting { until } => ("waiting", until),
        Enforcement::Forked { until } => ("forked", until),
        Enforcement::Enforced { at, way } => (way.as_str(), at),
    };
    Downstream {
        name: at.name.clone(),
        number: at.number.map(Position::get),
        kind: at.kind.to_string(),
        living: at.living,
        last_expiry: at.last_expiry.to_string(),
        state: state.to_owned(),
        at: since.to_string(),
        entry: at.entry.map(Position::get),
        confirmed: at.entry.and_then(|entry| confirmed.get(&entry)).cloned(),
        waiting_for: if at.enforcement.until().is_some() { at.waiting.clone() } else { Vec::new() },
    }
}

fn place(at: &AtDownstream) -> String {
    at.name.clone().unwrap_or_else(|| "what no downstream of the registry accepts any more".to_owned())
}

fn last_moment(progress: Option<&Progress>, others: &[Other]) -> Option<LastMoment> {
    let moment = |at: &AtDownstream| match at.enforcement {
        Enforcement::Waiting { until: at } | Enforcement::Forked { until: at } | Enforcement::Enforced { at, .. } => at,
    };
    let of_own = progress.iter().flat_map(|progress| &progress.downstreams).map(|at| (moment(at), place(at)));
    let parsed = |other: &Other| Some((other.until.as_ref()?.parse().ok()?, other.subject.clone()));
    let last = of_own.chain(others.iter().filter_map(parsed)).max_by_key(|(at, _): &(Timestamp, String)| *at);
    last.map(|(at, downstream)| LastMoment { at: at.to_string(), downstream })
}

fn verdict(progress: Option<&Progress>, others: &[Other], tally: &Tally) -> (Verdict, String) {
    let Some(progress) = progress else { return (Verdict::NotRevoked, "the owner is not revoked".to_owned()) };
    let names = |which: &dyn Fn(&Enforcement) -> bool| -> Vec<String> {
        progress.downstreams.iter().filter(|at| which(&at.enforcement)).map(place).collect()
    };
    if tally.after > 0 {
        return (Verdict::Failed, format!("{} credentials stand in the ledger after the revocation", tally.after));
    }
    let forked = names(&|enforcement| matches!(enforcement, Enforcement::Forked { .. }));
    if !forked.is_empty() {
        return (Verdict::Failed, format!("a verifier of {} has another history than the ledger", forked.join(", ")));
    }
    let waiting = names(&|enforcement| enforcement.until().is_some());
    if waiting.is_empty() && others.is_empty() {
        return (Verdict::Enforced, reasons(progress));
    }
    let others = others.iter().map(|other| format!("the revocation of {} at {}", other.subject, other.position));
    (Verdict::Waiting, format!("it waits for {}", waiting.into_iter().chain(others).collect::<Vec<_>>().join(", ")))
}

/// Why it is enforced, by what is known of how: a reader has to know what a word rests on.
fn reasons(progress: &Progress) -> String {
    let mut reasons = Vec::new();
    let followed = progress.downstreams.iter().any(|at| {
        matches!(at.kind, VerifierKind::Follower | VerifierKind::Guard) && matches!(at.enforcement, Enforcement::Enforced { .. })
    });
    if progress.downstreams.is_empty() {
        reasons.push("nothing that it ended was alive");
    }
    if followed {
        reasons.push("every process that follows under the identity of the registry has confirmed, or its list has ended");
    }
    if progress.downstreams.iter().any(|at| !matches!(at.kind, VerifierKind::Follower | VerifierKind::Guard)) {
        reasons.push("where nobody confirms, everything that was alive has ended");
    }
    reasons.join("; ")
}
