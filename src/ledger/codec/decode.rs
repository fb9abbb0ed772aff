//! Wire to model, through the newtypes: nothing is taken that could not have been written.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use super::wire::{self, entry::Event as Wire};
use super::words::Word;
use crate::model::{
    About, Address, Concern, Concerns, Contract, CredentialId, CutMade, Downstream, DownstreamConfirmed, Ended, Entry, Environment, Epoch,
    EpochBegun, Event, Exception, Finding, FindingChange, Held, Issued, Origin, Owner, Person, PolicyText, Position, PublicKey, Reason,
    Recording, Refused, Resource, Subjects, Task, Timestamp, Workload,
};

/// What is wrong with which field.
#[derive(Debug, thiserror::Error)]
#[error("{field}: {problem}")]
pub(super) struct Wrong {
    field: &'static str,
    problem: String,
}

type Read<T> = Result<T, Wrong>;

pub(super) fn entry(entry: wire::Entry) -> Read<Entry> {
    let event = entry.event.ok_or_else(|| wrong("event", "none that this version knows"))?;
    Ok(Entry {
        position: number("position", entry.position)?,
        time: Timestamp::from_millis(entry.time_ms),
        actor: text_or_none("actor", &entry.actor)?,
        request_id: Some(entry.request_id).filter(|id| !id.is_empty()),
        event: read_event(event)?,
    })
}

fn read_event(event: Wire) -> Read<Event> {
    Ok(match event {
        Wire::LedgerOpened(opened) => {
            Event::LedgerOpened { epoch: Epoch(array("epoch", &opened.epoch)?), trust_domain: text("trust_domain", &opened.trust_domain)? }
        }
        Wire::KeyActivated(key) => Event::KeyActivated(key_activated(key)?),
        Wire::KeyRetired(retired) => Event::KeyRetired { number: number("number", retired.number)?, ends: time_or_none(retired.ends_ms) },
        Wire::PolicyChanged(changed) => Event::PolicyChanged(policy(changed)?),
        Wire::OwnerRecorded(recorded) => Event::OwnerRecorded(owner(recorded)?),
        Wire::EnvironmentRecorded(recorded) => {
            let record = Environment { name: text("name", &recorded.name)? };
            Event::EnvironmentRecorded(recording(recorded.number, recorded.origin, record)?)
        }
        Wire::WorkloadRecorded(recorded) => Event::WorkloadRecorded(workload(recorded)?),
        Wire::DownstreamRecorded(recorded) => Event::DownstreamRecorded(downstream(recorded)?),
        Wire::DownstreamRemoved(removed) => Event::DownstreamRemoved { number: number("number", removed.number)? },
        Wire::TaskOpened(task) => Event::TaskOpened(task_opened(&task)?),
        Wire::CredentialIssued(credential) => Event::CredentialIssued(Box::new(issued(credential)?)),
        Wire::Cut(made) => Event::Cut(cut(&made)?),
        Wire::Reinstated(reinstated) => {
            Event::Reinstated { number: number("number", reinstated.number)?, note: text_or_none("note", &reinstated.note)? }
        }
        Wire::WorkloadAccepted(accepted) => Event::WorkloadAccepted {
            number: number("number", accepted.number)?,
            owner: number("owner", accepted.owner)?,
            note: text_or_none("note", &accepted.note)?,
        },
        Wire::AdministrativeRead(read) => {
            Event::AdministrativeRead { action: present("action", read.action)?, number: number_or_none(read.number) }
        }
        Wire::EpochBegun(begun) => Event::EpochBegun(EpochBegun {
            epoch: Epoch(array("epoch", &begun.epoch)?),
            reached: number_or_none(begun.reached),
            note: text_or_none("note", &begun.note)?,
        }),
        Wire::DownstreamConfirmed(confirmed) => Event::DownstreamConfirmed(downstream_confirmed(&confirmed)?),
        Wire::RequestsRefused(refused) => Event::RequestsRefused(requests_refused(refused)?),
        Wire::PersonRecorded(recorded) => {
            let record = Person { id: text("id", &recorded.id)?, active: recorded.active };
            Event::PersonRecorded(recording(recorded.number, recorded.origin, record)?)
        }
        Wire::ResourceRecorded(recorded) => Event::ResourceRecorded(resource(recorded)?),
        Wire::PersonEnded(ended) => Event::PersonEnded { number: number("number", ended.number)? },
        Wire::ContractRecorded(recorded) => {
            let record = Contract { owner: number("owner", recorded.owner)?, end: time("end_ms", recorded.end_ms)? };
            Event::ContractRecorded(recording(recorded.number, recorded.origin, record)?)
        }
        Wire::ContractEnded(ended) => {
            Event::ContractEnded { number: number("number", ended.number)?, owner: number("owner", ended.owner)? }
        }
        Wire::ExceptionRequested(requested) => Event::ExceptionRequested(Box::new(exception_requested(&requested)?)),
        Wire::FindingRaised(raised) => Event::FindingRaised(Box::new(finding(raised)?)),
        Wire::FindingChanged(changed) => finding_changed(&changed)?,
        Wire::ExceptionApproved(approved) => {
            Event::ExceptionApproved { number: number("number", approved.number)?, note: text_or_none("note", &approved.note)? }
        }
        Wire::SourceHeld(held) => Event::SourceHeld(source_held(&held)?),
        Wire::SourceConfirmed(confirmed) => {
            Event::SourceConfirmed { source: text("source", &confirmed.source)?, digest: array("digest", &confirmed.digest)? }
        }
        Wire::SourceEnded(ended) => {
            Event::SourceEnded { source: text("source", &ended.source)?, records: numbers("records", ended.records)? }
        }
    })
}

fn key_activated(key: wire::KeyActivated) -> Read<PublicKey> {
    Ok(PublicKey {
        purpose: word("purpose", key.purpose)?,
        kid: present("kid", key.kid)?,
        material: key.material,
        not_after: time_or_none(key.not_after_ms),
        signs_from: time_or_none(key.signs_from_ms),
    })
}

fn task_opened(task: &wire::TaskOpened) -> Read<Task> {
    Ok(Task {
        owner: number("owner", task.owner)?,
        environment: number("environment", task.environment)?,
        workload: number_or_none(task.workload),
        deadline: time("deadline_ms", task.deadline_ms)?,
        purpose: text("purpose", &task.purpose)?,
        opened_by: text("opened_by", &task.opened_by)?,
    })
}

fn resource(recorded: wire::ResourceRecorded) -> Read<Recording<Resource>> {
    let record = Resource {
        source: text("source", &recorded.source)?,
        owner: number_or_none(recorded.owner),
        text: Some(recorded.text).filter(|text| !text.is_empty()),
        ended: time_or_none(recorded.ended_ms),
    };
    recording(recorded.number, None, record)
}

fn downstream_confirmed(confirmed: &wire::DownstreamConfirmed) -> Read<DownstreamConfirmed> {
    Ok(DownstreamConfirmed {
        number: number("number", confirmed.number)?,
        position: number("position", confirmed.position)?,
        confirmed: confirmed.confirmed,
        lapsed: confirmed.lapsed,
    })
}

fn requests_refused(refused: wire::RequestsRefused) -> Read<Refused> {
    Ok(Refused {
        workload: number_or_none(refused.workload),
        identity: text_or_none("identity", &refused.identity)?,
        reason: present("reason", refused.reason)?,
        count: refused.count,
        since: time("since_ms", refused.since_ms)?,
    })
}

fn exception_requested(requested: &wire::ExceptionRequested) -> Read<Exception> {
    Ok(Exception {
        workload: number("workload", requested.workload)?,
        environment: number("environment", requested.environment)?,
        audience: text_or_none("audience", &requested.audience)?,
        scopes: texts("scopes", &requested.scopes)?,
        until: time("until_ms", requested.until_ms)?,
        purpose: text("purpose", &requested.purpose)?,
        requested_by: text("requested_by", &requested.requested_by)?,
    })
}

fn source_held(held: &wire::SourceHeld) -> Read<Held> {
    Ok(Held {
        source: text("source", &held.source)?,
        digest: if held.digest.is_empty() { None } else { Some(array("digest", &held.digest)?) },
        why: text("why", &held.why)?,
        ends: held.ends,
        of: held.of,
    })
}

fn finding(raised: wire::FindingRaised) -> Read<Finding> {
    let about = match (number_or_none(raised.subject), raised.identity.as_str(), number_or_none(raised.finding)) {
        (Some(number), "", None) => About::Subject(number),
        (None, "", Some(number)) => About::Finding(number),
        (None, identity, None) => About::Identity(text("identity", identity)?),
        _ => return Err(wrong("subject", "it is about more than one of subject, identity and finding")),
    };
    let (kind, detail) = (word("kind", raised.kind)?, text("detail", &raised.detail)?);
    Ok(Finding { kind, about, detail, evidence: numbers("evidence", raised.evidence)? })
}

fn finding_changed(changed: &wire::FindingChanged) -> Read<Event> {
    let (number, change) = (number("number", changed.number)?, finding_change(changed)?);
    Ok(Event::FindingChanged { number, change, note: text_or_none("note", &changed.note)? })
}

fn finding_change(changed: &wire::FindingChanged) -> Read<FindingChange> {
    Ok(match wire::FindingStep::try_from(changed.step) {
        Ok(wire::FindingStep::Seen) => FindingChange::Seen,
        Ok(wire::FindingStep::Acted) => FindingChange::Acted(word("action", changed.action)?),
        Ok(wire::FindingStep::Resolved) => FindingChange::Resolved,
        Ok(wire::FindingStep::Waived) => FindingChange::Waived { until: time("until_ms", changed.until_ms)? },
        Ok(wire::FindingStep::Unspecified) | Err(_) => {
            return Err(wrong("step", format_args!("{} is none that this version knows", changed.step)));
        }
    })
}

fn policy(changed: wire::PolicyChanged) -> Read<PolicyText> {
    let file = |file: wire::PolicyFile| Ok((text("files.name", &file.name)?, file.text));
    Ok(PolicyText { hash: array("hash", &changed.hash)?, files: changed.files.into_iter().map(file).collect::<Read<_>>()? })
}

fn recording<T>(number: u64, origin: Option<wire::Origin>, record: T) -> Read<Recording<T>> {
    let from = |origin: wire::Origin| {
        Ok(Origin { source: text("origin.source", &origin.source)?, record: text("origin.record", &origin.record)? })
    };
    Ok(Recording { number: number_or_none(number), origin: origin.map(from).transpose()?, record })
}

fn owner(recorded: wire::OwnerRecorded) -> Read<Recording<Owner>> {
    let record = Owner {
        id: text("id", &recorded.id)?,
        kind: word("kind", recorded.kind)?,
        business_owner: text("business_owner", &recorded.business_owner)?,
        technical_owner: text("technical_owner", &recorded.technical_owner)?,
        contract_end: time_or_none(recorded.contract_end_ms),
    };
    recording(recorded.number, recorded.origin, record)
}

fn workload(recorded: wire::WorkloadRecorded) -> Read<Recording<Workload>> {
    let record = Workload {
        spiffe_id: text("spiffe_id", &recorded.spiffe_id)?,
        owner: number("owner", recorded.owner)?,
        purpose: text("purpose", &recorded.purpose)?,
        environments: numbers("environments", recorded.environments)?,
        valid_until: time_or_none(recorded.valid_until_ms),
        business_owner: text_or_none("business_owner", &recorded.business_owner)?,
        technical_owner: text_or_none("technical_owner", &recorded.technical_owner)?,
    };
    recording(recorded.number, recorded.origin, record)
}

fn downstream(recorded: wire::DownstreamRecorded) -> Read<Recording<Downstream>> {
    let record = Downstream {
        name: text("name", &recorded.name)?,
        accepts_tokens: recorded.accepts_tokens,
        accepts_certificates: recorded.accepts_certificates,
        audiences: texts("audiences", &recorded.audiences)?,
        environments: numbers("environments", recorded.environments)?,
        verifier_kind: word("verifier_kind", recorded.verifier_kind)?,
        verifier: text_or_none("verifier", &recorded.verifier)?,
        business_owner: text_or_none("business_owner", &recorded.business_owner)?,
        technical_owner: text_or_none("technical_owner", &recorded.technical_owner)?,
    };
    recording(recorded.number, recorded.origin, record)
}

fn issued(issued: wire::CredentialIssued) -> Read<Issued> {
    Ok(Issued {
        kind: word("kind", issued.kind)?,
        subjects: Subjects {
            owner: number("owner", issued.owner)?,
            workload: number("workload", issued.workload)?,
            environment: number("environment", issued.environment)?,
            task: number_or_none(issued.task),
            lineage: number_or_none(issued.lineage),
        },
        parent: parent(&issued.parent)?,
        nonce: array("nonce", &issued.nonce)?,
        issued_at: Timestamp::from_seconds(issued.issued_at),
        expires_at: time("expires_at", issued.expires_at).map(|_| Timestamp::from_seconds(issued.expires_at))?,
        bound_by: word("bound_by", issued.bound_by)?,
        audience: text_or_none("audience", &issued.audience)?,
        scopes: texts("scopes", &issued.scopes)?,
        confirmation: if issued.confirmation.is_empty() { None } else { Some(array("confirmation", &issued.confirmation)?) },
        key: number("key", issued.key)?,
        downstreams: numbers("downstreams", issued.downstreams)?,
        policies: texts("policies", &issued.policies)?,
        policy_hash: array("policy_hash", &issued.policy_hash)?,
        purpose: text_or_none("purpose", &issued.purpose)?,
        exception: number_or_none(issued.exception),
        asked_from: address("asked_from", &issued.asked_from)?,
    })
}

fn cut(cut: &wire::Cut) -> Read<CutMade> {
    let reason = u8::try_from(cut.reason).ok().and_then(Reason::from_code);
    Ok(CutMade {
        number: number("number", cut.number)?,
        reason: reason.ok_or_else(|| wrong("reason", format_args!("{} is no reason that this version knows", cut.reason)))?,
        ends: time_or_none(cut.ends_ms),
        closing: word("closing", cut.closing)?,
        note: text_or_none("note", &cut.note)?,
        concerns: cut.concerns.as_ref().map(concerns).transpose()?,
        source: text_or_none("source", &cut.source)?,
    })
}

fn concerns(found: &wire::Concerns) -> Read<Concerns> {
    let concern = |concern: &wire::Concern| {
        let last_expiry = time("concerns.last_expiry_ms", concern.last_expiry_ms)?;
        Ok(Concern { downstream: number_or_none(concern.downstream), living: concern.living, last_expiry })
    };
    let ended = |ended: &wire::Ended| {
        let (kind, environment) = (word("concerns.kind", ended.kind)?, number("concerns.environment", ended.environment)?);
        Ok(Ended { kind, environment, count: ended.count })
    };
    let downstreams = found.downstreams.iter().map(concern).collect::<Read<Vec<_>>>()?;
    let ended = found.ended.iter().map(ended).collect::<Read<Vec<_>>>()?;
    Concerns::in_order(downstreams, ended).ok_or_else(|| wrong("concerns", "are not in order, each once"))
}

fn parent(bytes: &[u8]) -> Read<Option<CredentialId>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let id = CredentialId::from_serial(&array::<16>("parent", bytes)?).filter(|id| id.position() != Position::ZERO);
    id.map(Some).ok_or_else(|| wrong("parent", "names no credential"))
}

fn address(field: &'static str, bytes: &[u8]) -> Read<Option<Address>> {
    let ip = match bytes.len() {
        0 => return Ok(None),
        4 => IpAddr::from(array::<4>(field, bytes)?),
        _ => IpAddr::from(array::<16>(field, bytes)?),
    };
    let address = Address::from(ip);
    if address.ip() == ip { Ok(Some(address)) } else { Err(wrong(field, format_args!("writes {address} as an address of IPv6"))) }
}

fn wrong(field: &'static str, problem: impl Display) -> Wrong {
    Wrong { field, problem: problem.to_string() }
}

fn present(field: &'static str, text: String) -> Read<String> {
    if text.is_empty() { Err(wrong(field, "is missing")) } else { Ok(text) }
}

fn text<T: FromStr<Err: Display>>(field: &'static str, text: &str) -> Read<T> {
    text.parse().map_err(|error| wrong(field, error))
}

fn text_or_none<T: FromStr<Err: Display>>(field: &'static str, found: &str) -> Read<Option<T>> {
    if found.is_empty() { Ok(None) } else { text(field, found).map(Some) }
}

fn texts<T: FromStr<Err: Display>>(field: &'static str, found: &[String]) -> Read<Vec<T>> {
    found.iter().map(|found| text(field, found)).collect()
}

fn number(field: &'static str, number: u64) -> Read<Position> {
    number_or_none(number).ok_or_else(|| wrong(field, "is missing"))
}

fn number_or_none(number: u64) -> Option<Position> {
    Position::new(number).non_zero()
}

fn numbers(field: &'static str, found: Vec<u64>) -> Read<Vec<Position>> {
    found.into_iter().map(|found| number(field, found)).collect()
}

fn time(field: &'static str, millis: u64) -> Read<Timestamp> {
    time_or_none(millis).ok_or_else(|| wrong(field, "is missing"))
}

fn time_or_none(millis: u64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(millis)).filter(|time| *time != Timestamp::EPOCH)
}

fn word<W: Word>(field: &'static str, number: i32) -> Read<W> {
    W::numbered(number).ok_or_else(|| wrong(field, format_args!("{number} is no word that this version knows")))
}

fn array<const N: usize>(field: &'static str, bytes: &[u8]) -> Read<[u8; N]> {
    bytes.try_into().map_err(|_unequal| wrong(field, format_args!("has {} bytes instead of {N}", bytes.len())))
}
