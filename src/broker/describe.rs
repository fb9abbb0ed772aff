//! Entries in one line, for people.

use crate::model::{
    CutMade, DownstreamConfirmed, EpochBegun, Event, Exception, Facts, Held, Issued, Position, Recording, Refused, Resource,
};

/// What happened, in one line, in the names that the facts know now.
pub(super) fn event(event: &Event, facts: &Facts) -> String {
    let name = |number: Position| name(number, facts);
    match event {
        Event::LedgerOpened { epoch, trust_domain } => format!("ledger of {trust_domain} opened, epoch {epoch}"),
        Event::KeyActivated(key) => match key.signs_from {
            Some(from) => format!("{} key {} announced, to sign from {from}", key.purpose, key.kid),
            None => format!("{} key {} activated", key.purpose, key.kid),
        },
        Event::KeyRetired { number, ends } => {
            let ends = ends.map(|ends| format!("; what it signed ends by {ends}")).unwrap_or_default();
            format!("{} signs no more{ends}", name(*number))
        }
        Event::PolicyChanged(text) => format!("policy is now version {}, {} files", hex(&text.hash), text.files.len()),
        Event::OwnerRecorded(recording) => format!("owner {} recorded", recording.record.id),
        Event::EnvironmentRecorded(recording) => format!("environment {} recorded", recording.record.name),
        Event::WorkloadRecorded(recording) => {
            format!("workload {} recorded under {}", recording.record.spiffe_id, name(recording.record.owner))
        }
        Event::DownstreamRecorded(recording) => format!("downstream {} recorded", recording.record.name),
        Event::PersonRecorded(recording) => {
            let standing = if recording.record.active { "active" } else { "no longer active" };
            format!("person {} recorded, {standing}", recording.record.id)
        }
        Event::ResourceRecorded(recording) => written(recording),
        Event::PersonEnded { number } => format!("person {number} is named no longer"),
        Event::ContractRecorded(recording) => {
            format!("contract of {} recorded, until {}", name(recording.record.owner), recording.record.end)
        }
        Event::ContractEnded { number, owner } => format!("contract {number} of {} is named no longer", name(*owner)),
        Event::SourceHeld(held) => not_believed(held),
        Event::SourceConfirmed { source, digest } => format!("source {source} was confirmed, digest {}", hex(digest)),
        Event::SourceEnded { source, records } => format!("source {source} ended {} of its records", records.len()),
        Event::DownstreamRemoved { number } => format!("downstream {number} removed"),
        Event::TaskOpened(task) => {
            format!("task opened under {} in {} until {}: {}", name(task.owner), name(task.environment), task.deadline, task.purpose)
        }
        Event::CredentialIssued(issued) => issuance(issued, facts),
        Event::Cut(cut) => ended(cut, &name(cut.number)),
        Event::Reinstated { number, note } => {
            let note = note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            format!("{} reinstated{note}", name(*number))
        }
        Event::WorkloadAccepted { number, owner, note } => {
            let note = note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            format!("{} accepted by {}{note}", name(*number), name(*owner))
        }
        Event::AdministrativeRead { action, number } => {
            let what = number.map(|number| format!(" of {}", name(number))).unwrap_or_default();
            format!("administrator used {action}{what}")
        }
        Event::EpochBegun(begun) => epoch(begun),
        Event::DownstreamConfirmed(confirmed) => downstream_confirmed(confirmed, facts),
        Event::FindingRaised(finding) => format!("finding, {}: {}", finding.kind, finding.detail),
        Event::FindingChanged { number, change, note } => {
            let note = note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            format!("finding {number} {}{note}", change.as_str())
        }
        Event::ExceptionRequested(exception) => exception_requested(exception, facts),
        Event::ExceptionApproved { number, note } => {
            let note = note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            format!("{} approved{note}", name(*number))
        }
        Event::RequestsRefused(refused) => {
            let who = refused.identity.as_ref().map_or_else(|| "several callers".to_owned(), ToString::to_string);
            let Refused { reason, count, since, .. } = refused;
            format!("{who} was refused {count} times since {since}: {reason}")
        }
    }
}

fn epoch(begun: &EpochBegun) -> String {
    let lost = begun.reached.map(|reached| format!(", after the loss of entries up to {reached}")).unwrap_or_default();
    let note = begun.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    format!("epoch {} begun{lost}{note}", begun.epoch)
}

fn downstream_confirmed(confirmed: &DownstreamConfirmed, facts: &Facts) -> String {
    let downstream = facts.downstream_numbered(confirmed.number);
    let downstream = downstream.map_or_else(|| confirmed.number.to_string(), |known| known.record.name.to_string());
    format!("downstream {downstream} has confirmed everything up to {}, by {} processes", confirmed.position, confirmed.confirmed)
}

fn issuance(issued: &Issued, facts: &Facts) -> String {
    let name = |number: Position| name(number, facts);
    let subjects = issued.subjects;
    let audience = issued.audience.as_ref().map(|audience| format!(" for {audience}")).unwrap_or_default();
    let (kind, expires) = (issued.kind, issued.expires_at);
    format!("{kind}{audience} issued to {} in {} until {expires}", name(subjects.workload), name(subjects.environment))
}

fn ended(cut: &CutMade, subject: &str) -> String {
    let note = cut.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    let source = cut.source.as_ref().map(|source| format!(", by source {source}")).unwrap_or_default();
    format!("everything of {subject} before here is dead ({}, {}{source}){note}", cut.reason, cut.closing)
}

fn not_believed(Held { source, why, ends, of, .. }: &Held) -> String {
    format!("source {source} is not believed: {why}; it would have ended {ends} of {of}")
}

fn written(Recording { number, record, .. }: &Recording<Resource>) -> String {
    let what = if record.text.is_some() { "wrote" } else { "deleted" };
    let which = number.map_or_else(|| "a new resource".to_owned(), |number| format!("resource {number}"));
    format!("a client of source {} {what} {which}", record.source)
}

fn exception_requested(exception: &Exception, facts: &Facts) -> String {
    let what = exception.audience.as_ref().map_or_else(|| "certificates".to_owned(), |audience| format!("tokens for {audience}"));
    let (who, place) = (name(exception.workload, facts), name(exception.environment, facts));
    format!("exception asked for: {what} for {who} in {place} until {}: {}", exception.until, exception.purpose)
}

fn name(number: Position, facts: &Facts) -> String {
    if let Some(known) = facts.owner_numbered(number) {
        format!("owner {}", known.record.id)
    } else if let Some(known) = facts.workload_numbered(number) {
        known.record.spiffe_id.to_string()
    } else if let Some(known) = facts.environment_numbered(number) {
        format!("environment {}", known.record.name)
    } else if let Some(known) = facts.downstream_numbered(number) {
        format!("downstream {}", known.record.name)
    } else if let Some(known) = facts.signing_keys().get(number) {
        format!("{} key {}", known.record.purpose, known.record.kid)
    } else if facts.exceptions().get(number).is_some() {
        format!("exception {number}")
    } else if number == Position::BROKER {
        "the broker itself".to_owned()
    } else {
        format!("subject {number}")
    }
}

/// What stands where a record's name would: the broker has none, and nothing that was named is called like it.
pub(super) fn nameless(number: Position) -> String {
    if number == Position::BROKER { "(broker)".to_owned() } else { format!("#{number}") }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
