//! Entries as lines of JSON, for auditors and other programs: what each says, its bytes, and its leaf
//! in the tree. The keys are stable; `docs/formats.md` lists them.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Offline, OpenError, codec, tree};
use crate::formats::list::to_hex;
use crate::model::{
    About, Concern, Concerns, CredentialId, CutMade, Downstream, Ended, Event, Exception, Finding, FindingChange, Held, Issued, Note,
    Origin, PolicyName, Position, PublicKey, Recording, Refused, Task, Timestamp, Workload,
};

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// The ledger cannot be read any further.
    #[error(transparent)]
    Ledger(#[from] OpenError),
    /// The lines cannot be written.
    #[error("cannot write the entries: {0}")]
    Write(#[from] io::Error),
}

/// One line.
#[derive(Debug, Serialize)]
struct Line {
    position: u64,
    time: Option<String>,
    event: Option<&'static str>,
    actor: Option<String>,
    request_id: Option<String>,
    fields: Value,
    unreadable: Option<String>,
    entry: String,
    leaf: String,
}

impl Offline {
    /// Writes the entries of a range, one a line, and holds no more than one of them in memory.
    ///
    /// # Errors
    /// If the ledger cannot be read, or the lines cannot be written.
    pub(crate) fn export(
        &self,
        range: (Position, Position),
        out: &mut impl Write,
        mut progress: impl FnMut(Position),
    ) -> Result<(), ExportError> {
        let mut written = Ok(());
        self.walk(range, |position, bytes| {
            progress(position);
            written =
                serde_json::to_writer(&mut *out, &line(position, &bytes)).map_err(io::Error::from).and_then(|()| out.write_all(b"\n"));
            written.is_ok()
        })?;
        Ok(written.and_then(|()| out.flush())?)
    }
}

fn line(position: Position, bytes: &[u8]) -> Line {
    let raw = Line {
        position: position.get(),
        time: None,
        event: None,
        actor: None,
        request_id: None,
        fields: Value::Null,
        unreadable: None,
        entry: BASE64.encode(bytes),
        leaf: to_hex(&tree::leaf(bytes)),
    };
    match codec::decode(position, bytes) {
        Err(unreadable) => Line { unreadable: Some(unreadable.problem), ..raw },
        Ok(entry) => Line {
            time: Some(entry.time.to_string()),
            event: Some(entry.event.name()),
            actor: entry.actor.map(|actor| actor.to_string()),
            fields: fields(position, &entry.event),
            request_id: entry.request_id,
            ..raw
        },
    }
}

/// What an event says, in the words of `entry.proto`.
fn fields(at: Position, event: &Event) -> Value {
    match event {
        Event::LedgerOpened { epoch, trust_domain } => json!({ "epoch": epoch.to_string(), "trust_domain": trust_domain.to_string() }),
        Event::KeyActivated(key) => key_activated(key),
        Event::KeyRetired { number, ends } => json!({ "number": number.get(), "ends": time(*ends) }),
        Event::PolicyChanged(text) => {
            let file = |(name, text): &(PolicyName, String)| json!({ "name": name.to_string(), "text": text });
            json!({ "hash": to_hex(&text.hash), "files": text.files.iter().map(file).collect::<Vec<_>>() })
        }
        Event::OwnerRecorded(recording) => {
            let owner = &recording.record;
            recorded(
                at,
                recording,
                json!({
                    "id": owner.id.to_string(),
                    "kind": owner.kind.as_str(),
                    "business_owner": owner.business_owner.to_string(),
                    "technical_owner": owner.technical_owner.to_string(),
                    "contract_end": time(owner.contract_end),
                }),
            )
        }
        Event::EnvironmentRecorded(recording) => recorded(at, recording, json!({ "name": recording.record.name.to_string() })),
        Event::WorkloadRecorded(recording) => workload_recorded(at, recording),
        Event::DownstreamRecorded(recording) => downstream_recorded(at, recording),
        Event::DownstreamRemoved { number } => json!({ "number": number.get() }),
        Event::TaskOpened(task) => task_opened(task),
        Event::CredentialIssued(issued) => credential_issued(at, issued),
        Event::Cut(cut) => cut_made(cut),
        Event::DownstreamConfirmed(confirmed) => json!({
            "number": confirmed.number.get(),
            "position": confirmed.position.get(),
            "confirmed": confirmed.confirmed,
            "lapsed": confirmed.lapsed,
        }),
        Event::Reinstated { number, note } => json!({ "number": number.get(), "note": text(note.as_ref()) }),
        Event::WorkloadAccepted { number, owner, note } => {
            json!({ "number": number.get(), "owner": owner.get(), "note": text(note.as_ref()) })
        }
        Event::AdministrativeRead { action, number: subject } => json!({ "action": action, "number": number(*subject) }),
        Event::RequestsRefused(refused) => requests_refused(refused),
        Event::FindingRaised(finding) => finding_raised(finding),
        Event::FindingChanged { number, change, note } => finding_changed(*number, change, note.as_ref()),
        Event::ExceptionRequested(exception) => exception_requested(exception),
        Event::ExceptionApproved { number, note } => json!({ "number": number.get(), "note": text(note.as_ref()) }),
        Event::PersonRecorded(recording) => {
            recorded(at, recording, json!({ "id": recording.record.id.to_string(), "active": recording.record.active }))
        }
        Event::ResourceRecorded(recording) => {
            let record = &recording.record;
            let ended = record.ended.map(|ended| ended.to_string());
            let members =
                json!({ "source": record.source.to_string(), "owner": number(record.owner), "text": record.text, "ended": ended });
            recorded(at, recording, members)
        }
        Event::PersonEnded { number } => json!({ "number": number.get() }),
        Event::ContractRecorded(recording) => {
            recorded(at, recording, json!({ "owner": recording.record.owner.get(), "end": recording.record.end.to_string() }))
        }
        Event::ContractEnded { number, owner } => json!({ "number": number.get(), "owner": owner.get() }),
        Event::SourceHeld(held) => source_held(held),
        Event::SourceConfirmed { source, digest } => json!({ "source": source.to_string(), "digest": to_hex(digest) }),
        Event::SourceEnded { source, records } => {
            let records: Vec<u64> = records.iter().map(|number| number.get()).collect();
            json!({ "source": source.to_string(), "records": records })
        }
        Event::EpochBegun(begun) => {
            json!({ "epoch": begun.epoch.to_string(), "reached": number(begun.reached), "note": text(begun.note.as_ref()) })
        }
    }
}

fn task_opened(task: &Task) -> Value {
    json!({
        "owner": task.owner.get(),
        "environment": task.environment.get(),
        "workload": number(task.workload),
        "deadline": task.deadline.to_string(),
        "purpose": task.purpose.to_string(),
        "opened_by": task.opened_by.to_string(),
    })
}

fn requests_refused(refused: &Refused) -> Value {
    json!({
        "workload": number(refused.workload),
        "identity": text(refused.identity.as_ref()),
        "reason": refused.reason,
        "count": refused.count,
        "since": refused.since.to_string(),
    })
}

fn finding_raised(finding: &Finding) -> Value {
    let (subject, identity, another) = match &finding.about {
        About::Subject(number) => (Some(number.get()), None, None),
        About::Identity(identity) => (None, Some(identity.to_string()), None),
        About::Finding(number) => (None, None, Some(number.get())),
    };
    json!({
        "kind": finding.kind.as_str(),
        "subject": subject,
        "identity": identity,
        "finding": another,
        "detail": finding.detail.to_string(),
        "evidence": numbers(&finding.evidence),
    })
}

fn finding_changed(number: Position, change: &FindingChange, note: Option<&Note>) -> Value {
    let action = if let FindingChange::Acted(action) = change { Some(action.as_str()) } else { None };
    let until = if let FindingChange::Waived { until } = change { Some(until.to_string()) } else { None };
    json!({ "number": number.get(), "step": change.as_str(), "action": action, "until": until, "note": text(note) })
}

fn exception_requested(exception: &Exception) -> Value {
    json!({
        "workload": exception.workload.get(),
        "environment": exception.environment.get(),
        "audience": text(exception.audience.as_ref()),
        "scopes": texts(&exception.scopes),
        "until": exception.until.to_string(),
        "purpose": exception.purpose.to_string(),
        "requested_by": exception.requested_by.to_string(),
    })
}

fn source_held(held: &Held) -> Value {
    json!({
        "source": held.source.to_string(),
        "digest": held.digest.map(|digest| to_hex(&digest)),
        "why": held.why.to_string(),
        "ends": held.ends,
        "of": held.of,
    })
}

fn cut_made(cut: &CutMade) -> Value {
    json!({
        "number": cut.number.get(),
        "reason": cut.reason.as_str(),
        "ends": time(cut.ends),
        "closing": cut.closing.as_str(),
        "note": text(cut.note.as_ref()),
        "concerns": cut.concerns.as_ref().map(concerns),
        "source": text(cut.source.as_ref()),
    })
}

fn concerns(concerns: &Concerns) -> Value {
    let concern = |concern: &Concern| json!({ "downstream": number(concern.downstream), "living": concern.living, "last_expiry": concern.last_expiry.to_string() });
    let ended = |ended: &Ended| json!({ "kind": ended.kind.as_str(), "environment": ended.environment.get(), "count": ended.count });
    json!({
        "downstreams": concerns.downstreams().iter().map(concern).collect::<Vec<_>>(),
        "ended": concerns.ended().iter().map(ended).collect::<Vec<_>>(),
    })
}

fn workload_recorded(at: Position, recording: &Recording<Workload>) -> Value {
    let workload = &recording.record;
    let record = json!({
        "spiffe_id": workload.spiffe_id.to_string(),
        "owner": workload.owner.get(),
        "purpose": workload.purpose.to_string(),
        "environments": numbers(&workload.environments),
        "valid_until": time(workload.valid_until),
        "business_owner": text(workload.business_owner.as_ref()),
        "technical_owner": text(workload.technical_owner.as_ref()),
    });
    recorded(at, recording, record)
}

fn downstream_recorded(at: Position, recording: &Recording<Downstream>) -> Value {
    let downstream = &recording.record;
    let record = json!({
        "name": downstream.name.to_string(),
        "accepts_tokens": downstream.accepts_tokens,
        "accepts_certificates": downstream.accepts_certificates,
        "audiences": texts(&downstream.audiences),
        "environments": numbers(&downstream.environments),
        "verifier_kind": downstream.verifier_kind.as_str(),
        "verifier": text(downstream.verifier.as_ref()),
        "business_owner": text(downstream.business_owner.as_ref()),
        "technical_owner": text(downstream.technical_owner.as_ref()),
    });
    recorded(at, recording, record)
}

fn key_activated(key: &PublicKey) -> Value {
    json!({
        "purpose": key.purpose.as_str(),
        "kid": key.kid,
        "material": BASE64.encode(&key.material),
        "not_after": time(key.not_after),
        "signs_from": time(key.signs_from),
    })
}

fn credential_issued(at: Position, issued: &Issued) -> Value {
    let subjects = &issued.subjects;
    json!({
        "credential_id": CredentialId::new(at, issued.nonce).to_string(),
        "kind": issued.kind.as_str(),
        "owner": subjects.owner.get(),
        "workload": subjects.workload.get(),
        "environment": subjects.environment.get(),
        "task": number(subjects.task),
        "lineage": number(subjects.lineage),
        "parent": text(issued.parent.as_ref()),
        "issued_at": issued.issued_at.to_string(),
        "expires_at": issued.expires_at.to_string(),
        "bound_by": issued.bound_by.as_str(),
        "audience": text(issued.audience.as_ref()),
        "scopes": texts(&issued.scopes),
        "confirmation": issued.confirmation.map(|hash| to_hex(&hash)),
        "key": issued.key.get(),
        "downstreams": numbers(&issued.downstreams),
        "policies": texts(&issued.policies),
        "policy_hash": to_hex(&issued.policy_hash),
        "purpose": text(issued.purpose.as_ref()),
        "exception": number(issued.exception),
        "asked_from": issued.asked_from.map(|address| address.to_string()),
    })
}

/// A record, with the number of its subject.
fn recorded<T>(at: Position, recording: &Recording<T>, mut record: Value) -> Value {
    if let Value::Object(fields) = &mut record {
        fields.insert("number".to_owned(), recording.number.unwrap_or(at).get().into());
        fields.insert("first".to_owned(), recording.number.is_none().into());
        let from = |origin: &Origin| json!({ "source": origin.source.to_string(), "record": origin.record.to_string() });
        fields.insert("origin".to_owned(), recording.origin.as_ref().map_or(Value::Null, from));
    }
    record
}

fn time(time: Option<Timestamp>) -> Option<String> {
    text(time.as_ref())
}

fn text(text: Option<&impl ToString>) -> Option<String> {
    text.map(ToString::to_string)
}

fn texts(texts: &[impl ToString]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn number(number: Option<Position>) -> Option<u64> {
    number.map(Position::get)
}

fn numbers(numbers: &[Position]) -> Vec<u64> {
    numbers.iter().map(|number| number.get()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::samples::{NOW, at, every_event, spiffe_id};
    use crate::model::Entry;

    /// The keys that docs/formats.md lists, and that programs read.
    #[test]
    fn every_event_has_its_documented_fields() {
        let documented = include_str!("../../docs/formats.md");
        for event in every_event() {
            let entry = Entry { position: at(300), time: NOW, actor: Some(spiffe_id("admin")), request_id: None, event };
            let line = serde_json::to_value(line(at(300), &codec::encode(&entry))).expect("JSON");
            let mut fields: Vec<String> = line["fields"].as_object().expect("fields").keys().cloned().collect();
            fields.sort();
            let row = format!("| `{}` | `{}` |", entry.event.name(), fields.join("` `"));
            assert!(documented.contains(&row), "docs/formats.md lacks:\n{row}");
            assert_eq!((&line["position"], &line["event"]), (&json!(300), &json!(entry.event.name())));
            assert_eq!((&line["time"], &line["actor"]), (&json!("2027-01-15T08:00:00Z"), &json!("spiffe://example.org/admin")));
        }
    }

    #[test]
    fn what_cannot_be_read_keeps_its_bytes_and_its_leaf() {
        let line = serde_json::to_value(line(at(7), b"\xff\xff")).expect("JSON");
        assert_eq!((&line["event"], &line["fields"], &line["entry"]), (&Value::Null, &Value::Null, &json!("//8=")));
        assert!(line["unreadable"].is_string());
        // SHA-256 of 00 ff ff.
        assert_eq!(line["leaf"], "7951f9866246942566985c82c9363da4674caa673f3c4f7919927330aba37404");
    }
}
