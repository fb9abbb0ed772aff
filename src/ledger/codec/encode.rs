//! Model to wire. A missing number, time or text is zero or empty, as proto3 has it.

use std::fmt::Display;
use std::net::IpAddr;

use super::wire::{self, entry::Event as Wire};
use super::words::Word;
use crate::model::{
    About, Address, Concern, Concerns, CutMade, Downstream, DownstreamConfirmed, Ended, Environment, EpochBegun, Event, Exception, Finding,
    FindingChange, Held, Issued, Origin, Owner, PolicyName, PolicyText, Position, PublicKey, Recording, Refused, Task, Timestamp, Workload,
};

pub(super) fn event(event: &Event) -> Wire {
    match event {
        Event::LedgerOpened { epoch, trust_domain } => {
            Wire::LedgerOpened(wire::LedgerOpened { epoch: epoch.0.to_vec(), trust_domain: trust_domain.to_string() })
        }
        Event::KeyActivated(key) => Wire::KeyActivated(key_activated(key)),
        Event::KeyRetired { number, ends } => Wire::KeyRetired(wire::KeyRetired { number: number.get(), ends_ms: or_never(*ends) }),
        Event::PolicyChanged(text) => Wire::PolicyChanged(policy_changed(text)),
        Event::OwnerRecorded(recording) => Wire::OwnerRecorded(owner(recording)),
        Event::EnvironmentRecorded(recording) => Wire::EnvironmentRecorded(environment(recording)),
        Event::WorkloadRecorded(recording) => Wire::WorkloadRecorded(workload(recording)),
        Event::DownstreamRecorded(recording) => Wire::DownstreamRecorded(downstream(recording)),
        Event::DownstreamRemoved { number } => Wire::DownstreamRemoved(wire::DownstreamRemoved { number: number.get() }),
        Event::TaskOpened(task) => Wire::TaskOpened(task_opened(task)),
        Event::CredentialIssued(credential) => Wire::CredentialIssued(issued(credential, credential.nonce)),
        Event::Cut(made) => Wire::Cut(cut(made)),
        Event::Reinstated { number, note } => Wire::Reinstated(wire::Reinstated { number: number.get(), note: text(note.as_ref()) }),
        Event::WorkloadAccepted { number, owner, note } => {
            Wire::WorkloadAccepted(wire::WorkloadAccepted { number: number.get(), owner: owner.get(), note: text(note.as_ref()) })
        }
        Event::AdministrativeRead { action, number } => {
            Wire::AdministrativeRead(wire::AdministrativeRead { action: action.clone(), number: or_zero(*number) })
        }
        Event::EpochBegun(EpochBegun { epoch, reached, note }) => {
            Wire::EpochBegun(wire::EpochBegun { epoch: epoch.0.to_vec(), reached: or_zero(*reached), note: text(note.as_ref()) })
        }
        Event::DownstreamConfirmed(confirmed) => Wire::DownstreamConfirmed(downstream_confirmed(confirmed)),
        Event::RequestsRefused(refused) => Wire::RequestsRefused(requests_refused(refused)),
        Event::FindingRaised(finding) => Wire::FindingRaised(finding_raised(finding)),
        Event::FindingChanged { number, change, note } => {
            let base = wire::FindingChanged { number: number.get(), note: text(note.as_ref()), ..Default::default() };
            Wire::FindingChanged(finding_changed(change, base))
        }
        Event::ExceptionRequested(exception) => Wire::ExceptionRequested(exception_requested(exception)),
        Event::ExceptionApproved { number, note } => {
            Wire::ExceptionApproved(wire::ExceptionApproved { number: number.get(), note: text(note.as_ref()) })
        }
        Event::PersonRecorded(Recording { number, origin, record }) => Wire::PersonRecorded(wire::PersonRecorded {
            number: or_zero(*number),
            id: record.id.to_string(),
            active: record.active,
            origin: origin.as_ref().map(from),
        }),
        Event::ResourceRecorded(Recording { number, record, .. }) => Wire::ResourceRecorded(wire::ResourceRecorded {
            number: or_zero(*number),
            source: record.source.to_string(),
            owner: or_zero(record.owner),
            text: record.text.clone().unwrap_or_default(),
            ended_ms: or_never(record.ended),
        }),
        Event::PersonEnded { number } => Wire::PersonEnded(wire::PersonEnded { number: number.get() }),
        Event::ContractRecorded(Recording { number, origin, record }) => Wire::ContractRecorded(wire::ContractRecorded {
            number: or_zero(*number),
            owner: record.owner.get(),
            end_ms: record.end.millis(),
            origin: origin.as_ref().map(from),
        }),
        Event::ContractEnded { number, owner } => Wire::ContractEnded(wire::ContractEnded { number: number.get(), owner: owner.get() }),
        Event::SourceHeld(held) => Wire::SourceHeld(source_held(held)),
        Event::SourceConfirmed { source, digest } => {
            Wire::SourceConfirmed(wire::SourceConfirmed { source: source.to_string(), digest: digest.to_vec() })
        }
        Event::SourceEnded { source, records } => {
            let records = records.iter().map(|number| number.get()).collect();
            Wire::SourceEnded(wire::SourceEnded { source: source.to_string(), records })
        }
    }
}

fn downstream_confirmed(confirmed: &DownstreamConfirmed) -> wire::DownstreamConfirmed {
    wire::DownstreamConfirmed {
        number: confirmed.number.get(),
        position: confirmed.position.get(),
        confirmed: confirmed.confirmed,
        lapsed: confirmed.lapsed,
    }
}

fn requests_refused(refused: &Refused) -> wire::RequestsRefused {
    wire::RequestsRefused {
        workload: or_zero(refused.workload),
        identity: text(refused.identity.as_ref()),
        reason: refused.reason.clone(),
        count: refused.count,
        since_ms: refused.since.millis(),
    }
}

/// An issuance: its nonce is known when it is recorded.
pub(super) fn issued(issued: &Issued, nonce: [u8; 8]) -> wire::CredentialIssued {
    let subjects = &issued.subjects;
    wire::CredentialIssued {
        kind: issued.kind.number(),
        owner: subjects.owner.get(),
        workload: subjects.workload.get(),
        environment: subjects.environment.get(),
        task: or_zero(subjects.task),
        lineage: or_zero(subjects.lineage),
        parent: issued.parent.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
        nonce: nonce.to_vec(),
        issued_at: issued.issued_at.seconds(),
        expires_at: issued.expires_at.seconds(),
        bound_by: issued.bound_by.number(),
        audience: text(issued.audience.as_ref()),
        scopes: texts(&issued.scopes),
        confirmation: issued.confirmation.map(|hash| hash.to_vec()).unwrap_or_default(),
        key: issued.key.get(),
        downstreams: numbers(&issued.downstreams),
        policies: texts(&issued.policies),
        policy_hash: issued.policy_hash.to_vec(),
        purpose: text(issued.purpose.as_ref()),
        exception: or_zero(issued.exception),
        asked_from: issued.asked_from.map(address).unwrap_or_default(),
    }
}

fn address(address: Address) -> Vec<u8> {
    match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn finding_raised(finding: &Finding) -> wire::FindingRaised {
    let raised = wire::FindingRaised {
        kind: finding.kind.number(),
        detail: finding.detail.to_string(),
        evidence: numbers(&finding.evidence),
        ..Default::default()
    };
    match &finding.about {
        About::Subject(number) => wire::FindingRaised { subject: number.get(), ..raised },
        About::Identity(identity) => wire::FindingRaised { identity: identity.to_string(), ..raised },
        About::Finding(number) => wire::FindingRaised { finding: number.get(), ..raised },
    }
}

fn finding_changed(change: &FindingChange, base: wire::FindingChanged) -> wire::FindingChanged {
    let step = |step: wire::FindingStep| wire::FindingChanged { step: step.into(), ..base };
    match change {
        FindingChange::Seen => step(wire::FindingStep::Seen),
        FindingChange::Acted(action) => wire::FindingChanged { action: action.number(), ..step(wire::FindingStep::Acted) },
        FindingChange::Resolved => step(wire::FindingStep::Resolved),
        FindingChange::Waived { until } => wire::FindingChanged { until_ms: until.millis(), ..step(wire::FindingStep::Waived) },
    }
}

fn exception_requested(exception: &Exception) -> wire::ExceptionRequested {
    wire::ExceptionRequested {
        workload: exception.workload.get(),
        environment: exception.environment.get(),
        audience: text(exception.audience.as_ref()),
        scopes: texts(&exception.scopes),
        until_ms: exception.until.millis(),
        purpose: exception.purpose.to_string(),
        requested_by: exception.requested_by.to_string(),
    }
}

fn key_activated(key: &PublicKey) -> wire::KeyActivated {
    wire::KeyActivated {
        purpose: key.purpose.number(),
        kid: key.kid.clone(),
        material: key.material.clone(),
        not_after_ms: or_never(key.not_after),
        signs_from_ms: or_never(key.signs_from),
    }
}

fn policy_changed(text: &PolicyText) -> wire::PolicyChanged {
    let file = |(name, text): &(PolicyName, String)| wire::PolicyFile { name: name.to_string(), text: text.clone() };
    wire::PolicyChanged { hash: text.hash.to_vec(), files: text.files.iter().map(file).collect() }
}

fn from(origin: &Origin) -> wire::Origin {
    wire::Origin { source: origin.source.to_string(), record: origin.record.to_string() }
}

fn source_held(held: &Held) -> wire::SourceHeld {
    wire::SourceHeld {
        source: held.source.to_string(),
        digest: held.digest.map(|digest| digest.to_vec()).unwrap_or_default(),
        why: held.why.to_string(),
        ends: held.ends,
        of: held.of,
    }
}

fn owner(Recording { number, origin, record }: &Recording<Owner>) -> wire::OwnerRecorded {
    wire::OwnerRecorded {
        number: or_zero(*number),
        id: record.id.to_string(),
        kind: record.kind.number(),
        business_owner: record.business_owner.to_string(),
        technical_owner: record.technical_owner.to_string(),
        contract_end_ms: or_never(record.contract_end),
        origin: origin.as_ref().map(from),
    }
}

fn environment(Recording { number, origin, record }: &Recording<Environment>) -> wire::EnvironmentRecorded {
    wire::EnvironmentRecorded { number: or_zero(*number), name: record.name.to_string(), origin: origin.as_ref().map(from) }
}

fn workload(Recording { number, origin, record }: &Recording<Workload>) -> wire::WorkloadRecorded {
    wire::WorkloadRecorded {
        number: or_zero(*number),
        spiffe_id: record.spiffe_id.to_string(),
        owner: record.owner.get(),
        purpose: record.purpose.to_string(),
        environments: numbers(&record.environments),
        valid_until_ms: or_never(record.valid_until),
        origin: origin.as_ref().map(from),
        business_owner: text(record.business_owner.as_ref()),
        technical_owner: text(record.technical_owner.as_ref()),
    }
}

fn downstream(Recording { number, origin, record }: &Recording<Downstream>) -> wire::DownstreamRecorded {
    wire::DownstreamRecorded {
        number: or_zero(*number),
        name: record.name.to_string(),
        accepts_tokens: record.accepts_tokens,
        accepts_certificates: record.accepts_certificates,
        audiences: texts(&record.audiences),
        environments: numbers(&record.environments),
        verifier_kind: record.verifier_kind.number(),
        verifier: text(record.verifier.as_ref()),
        origin: origin.as_ref().map(from),
        business_owner: text(record.business_owner.as_ref()),
        technical_owner: text(record.technical_owner.as_ref()),
    }
}

fn task_opened(task: &Task) -> wire::TaskOpened {
    wire::TaskOpened {
        owner: task.owner.get(),
        environment: task.environment.get(),
        workload: or_zero(task.workload),
        deadline_ms: task.deadline.millis(),
        purpose: task.purpose.to_string(),
        opened_by: task.opened_by.to_string(),
    }
}

fn cut(cut: &CutMade) -> wire::Cut {
    wire::Cut {
        number: cut.number.get(),
        reason: cut.reason.code().into(),
        ends_ms: or_never(cut.ends),
        closing: cut.closing.number(),
        note: text(cut.note.as_ref()),
        concerns: cut.concerns.as_ref().map(concerns),
        source: text(cut.source.as_ref()),
    }
}

fn concerns(concerns: &Concerns) -> wire::Concerns {
    let concern = |concern: &Concern| wire::Concern {
        downstream: or_zero(concern.downstream),
        living: concern.living,
        last_expiry_ms: concern.last_expiry.millis(),
    };
    let ended = |ended: &Ended| wire::Ended { kind: ended.kind.number(), environment: ended.environment.get(), count: ended.count };
    wire::Concerns {
        downstreams: concerns.downstreams().iter().map(concern).collect(),
        ended: concerns.ended().iter().map(ended).collect(),
    }
}

pub(super) fn text(text: Option<&impl Display>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

fn texts(texts: &[impl Display]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn numbers(numbers: &[Position]) -> Vec<u64> {
    numbers.iter().map(|number| number.get()).collect()
}

fn or_zero(number: Option<Position>) -> u64 {
    number.unwrap_or_default().get()
}

fn or_never(time: Option<Timestamp>) -> u64 {
    time.unwrap_or_default().millis()
}
