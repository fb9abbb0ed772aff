//! Events and grants for tests.

use std::net::IpAddr;
use std::time::Duration;

use super::{Change, Ledger, Present, Urgency};
use crate::model::{
    About, Bound, CUT_GRACE, Closing, Concern, Concerns, Contract, CredentialId, CredentialKind, CutMade, Downstream, DownstreamConfirmed,
    Ended, Environment, Epoch, EpochBegun, Event, Exception, Finding, FindingChange, FindingKind, Held, Issued, KeyPurpose, Origin, Owner,
    OwnerKind, Person, PolicyText, Position, PublicKey, Reason, Recording, Refused, Resource, SpiffeId, Subjects, Task, Timestamp,
    VerifierKind, Workload,
};
use crate::policy::{Grant, text_hash};

pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub(super) const EPOCH: Epoch = Epoch([7; 16]);

pub(super) fn at(number: u64) -> Position {
    Position::new(number)
}

pub(super) fn first<T>(record: T) -> Recording<T> {
    Recording { number: None, origin: None, record }
}

pub(super) fn again<T>(number: Position, record: T) -> Recording<T> {
    Recording { number: Some(number), origin: None, record }
}

pub(super) fn owner(id: &str) -> Owner {
    Owner {
        id: id.parse().expect("an owner id"),
        kind: OwnerKind::Vendor,
        business_owner: "Ada <ada@example.org>".parse().expect("a contact"),
        technical_owner: "ops@example.org".parse().expect("a contact"),
        contract_end: Some(NOW.plus(Duration::from_secs(86_400))),
    }
}

pub(super) fn environment(name: &str) -> Environment {
    Environment { name: name.parse().expect("an environment name") }
}

pub(super) fn spiffe_id(name: &str) -> SpiffeId {
    format!("spiffe://example.org/{name}").parse().expect("a SPIFFE ID")
}

pub(super) fn workload(name: &str, owner: Position, environments: &[Position]) -> Workload {
    Workload {
        spiffe_id: spiffe_id(name),
        owner,
        purpose: "pays what is due".parse().expect("a note"),
        environments: environments.to_vec(),
        valid_until: Some(NOW.plus(Duration::from_secs(7200))),
        business_owner: None,
        technical_owner: None,
    }
}

pub(super) fn downstream(name: &str, environments: &[Position]) -> Downstream {
    Downstream {
        name: name.parse().expect("a downstream name"),
        accepts_tokens: true,
        accepts_certificates: true,
        audiences: vec!["https://api.example.org".parse().expect("an audience")],
        environments: environments.to_vec(),
        verifier_kind: VerifierKind::Follower,
        verifier: Some(spiffe_id("api")),
        business_owner: None,
        technical_owner: None,
    }
}

pub(super) fn key(kid: &str) -> PublicKey {
    PublicKey {
        purpose: KeyPurpose::Token,
        kid: kid.to_owned(),
        material: vec![0x30, 0x59],
        not_after: Some(NOW.plus(Duration::from_secs(999_999))),
        signs_from: None,
    }
}

pub(super) fn policy(version: u8) -> PolicyText {
    let name = "issue.cedar".parse().expect("a policy name");
    PolicyText { hash: [version; 32], files: vec![(name, format!("permit (principal, action, resource); // {version}"))] }
}

/// A policy that has the hash of its text, and allows what the samples are issued by.
pub(super) fn sound_policy(version: u8) -> PolicyText {
    policies(&format!(r#"@id("read-payments") permit (principal, action, resource); // {version}"#))
}

/// A policy of this text.
pub(super) fn policies(text: &str) -> PolicyText {
    let files = vec![("issue.cedar".parse().expect("a policy name"), text.to_owned())];
    PolicyText { hash: text_hash(&files), files }
}

pub(super) fn task(owner: Position, environment: Position, workload: Option<Position>) -> Task {
    Task {
        owner,
        environment,
        workload,
        deadline: NOW.plus(Duration::from_secs(600)),
        purpose: "the nightly run".parse().expect("a note"),
        opened_by: spiffe_id("scheduler"),
    }
}

pub(super) fn issued(subjects: Subjects, expires_at: Timestamp) -> Issued {
    Issued {
        kind: CredentialKind::AccessToken,
        subjects,
        parent: None,
        nonce: [9; 8],
        issued_at: NOW,
        expires_at,
        bound_by: Bound::Policy,
        audience: Some("https://api.example.org".parse().expect("an audience")),
        scopes: vec!["payments:read".parse().expect("a scope"), "payments:write".parse().expect("a scope")],
        confirmation: Some([3; 32]),
        key: at(5),
        downstreams: vec![at(6)],
        policies: vec!["read-payments".parse().expect("a policy name")],
        policy_hash: [1; 32],
        purpose: Some("the nightly run".parse().expect("a note")),
        exception: None,
        asked_from: None,
    }
}

pub(super) fn finding(about: About) -> Finding {
    let detail = "nothing was issued to it for 90 days".parse().expect("a note");
    Finding { kind: FindingKind::Dormant, about, detail, evidence: vec![at(4), at(300)] }
}

pub(super) fn exception(until: Timestamp) -> Exception {
    Exception {
        workload: at(4),
        environment: at(3),
        audience: Some("https://api.example.org".parse().expect("an audience")),
        scopes: vec!["payments:read".parse().expect("a scope"), "payments:write".parse().expect("a scope")],
        until,
        purpose: "the migration".parse().expect("a note"),
        requested_by: spiffe_id("payments/lead"),
    }
}

pub(super) fn cut(number: Position, closing: Closing, ends: Option<Timestamp>) -> CutMade {
    let note = Some("the contract ended".parse().expect("a note"));
    CutMade { number, reason: Reason::CessationOfOperation, ends, closing, note, concerns: None, source: None }
}

pub(super) fn begun(epoch: [u8; 16]) -> EpochBegun {
    EpochBegun { epoch: Epoch(epoch), reached: Some(at(299)), note: Some("the disk was lost".parse().expect("a note")) }
}

pub(super) fn refused() -> Event {
    Event::RequestsRefused(Refused {
        workload: Some(at(4)),
        identity: Some(spiffe_id("payments/api")),
        reason: "POLICY_DENIED".to_owned(),
        count: 300,
        since: NOW,
    })
}

/// One event of each kind, with every field set.
pub(super) fn every_event() -> Vec<Event> {
    let subjects = Subjects { owner: at(2), workload: at(4), environment: at(3), task: Some(at(8)), lineage: Some(at(10)) };
    let parent = Some(CredentialId::new(at(10), [8; 8]));
    vec![
        Event::LedgerOpened { epoch: EPOCH, trust_domain: "example.org".parse().expect("a trust domain") },
        Event::KeyActivated(key("token-1")),
        Event::PolicyChanged(policy(1)),
        Event::OwnerRecorded(again(at(2), owner("payments"))),
        Event::EnvironmentRecorded(again(at(3), environment("production"))),
        Event::WorkloadRecorded(again(at(4), workload("payments/api", at(2), &[at(3), at(300)]))),
        Event::DownstreamRecorded(again(at(6), downstream("ledger-api", &[at(3)]))),
        Event::DownstreamRemoved { number: at(6) },
        Event::TaskOpened(task(at(2), at(3), Some(at(4)))),
        Event::CredentialIssued(Box::new(Issued { parent, ..issued(subjects, NOW.plus(Duration::from_secs(300))) })),
        Event::Cut(cut(at(2), Closing::Offboard, Some(NOW.plus(Duration::from_secs(420))))),
        Event::Reinstated { number: at(2), note: Some("a new contract".parse().expect("a note")) },
        Event::WorkloadAccepted { number: at(4), owner: at(2), note: Some("agreed".parse().expect("a note")) },
        Event::AdministrativeRead { action: "ReadLedger".to_owned(), number: Some(at(2)) },
        Event::EpochBegun(begun([8; 16])),
        Event::DownstreamConfirmed(DownstreamConfirmed { number: at(6), position: at(299), confirmed: 3, lapsed: 1 }),
        Event::KeyRetired { number: at(7), ends: Some(NOW.plus(Duration::from_secs(420))) },
        refused(),
        Event::ExceptionRequested(Box::new(exception(NOW.plus(Duration::from_secs(3600))))),
        Event::ExceptionApproved { number: at(20), note: Some("seen by two".parse().expect("a note")) },
        Event::PersonRecorded(sourced(at(20), person())),
        Event::PersonEnded { number: at(20) },
        Event::ContractRecorded(sourced(at(21), contract(at(2)))),
        Event::ContractEnded { number: at(21), owner: at(2) },
        Event::SourceHeld(Held {
            source: origin().source,
            digest: Some([5; 32]),
            why: "it is empty".parse().expect("a note"),
            ends: 12,
            of: 12,
        }),
        Event::SourceConfirmed { source: origin().source, digest: [5; 32] },
        Event::SourceEnded { source: origin().source, records: vec![at(4), at(20)] },
        Event::FindingRaised(Box::new(finding(About::Subject(at(4))))),
        Event::FindingChanged {
            number: at(20),
            change: FindingChange::Waived { until: NOW.plus(Duration::from_secs(3600)) },
            note: Some("the yearly closing".parse().expect("a note")),
        },
        Event::ResourceRecorded(again(at(22), resource())),
    ]
}

pub(super) fn origin() -> Origin {
    Origin { source: "assets".parse().expect("a source"), record: "CI-0017".parse().expect("a record") }
}

pub(super) fn sourced<T>(number: Position, record: T) -> Recording<T> {
    Recording { origin: Some(origin()), ..again(number, record) }
}

pub(super) fn person() -> Person {
    Person { id: "ada@example.org".parse().expect("a contact"), active: true }
}

pub(super) fn resource() -> Resource {
    Resource { source: origin().source, owner: Some(at(2)), text: Some("{\"displayName\":\"Payments\"}".to_owned()), ended: Some(NOW) }
}

pub(super) fn contract(owner: Position) -> Contract {
    Contract { owner, end: NOW.plus(Duration::from_secs(3600)) }
}

/// What is recorded of what a source says, by the name of its golden file.
pub(super) fn of_a_source() -> Vec<(&'static str, Event)> {
    let business_owner = Some("ada@example.org".parse().expect("a contact"));
    let technical_owner = Some("ops@example.org".parse().expect("a contact"));
    let record = workload("payments/api", at(2), &[at(3)]);
    let workload = Workload { business_owner: business_owner.clone(), technical_owner: technical_owner.clone(), ..record };
    let downstream = Downstream { business_owner, technical_owner, ..downstream("ledger-api", &[at(3)]) };
    let source = Some(origin().source);
    vec![
        ("owner_of_a_source", Event::OwnerRecorded(sourced(at(2), owner("payments")))),
        ("environment_of_a_source", Event::EnvironmentRecorded(sourced(at(3), environment("production")))),
        ("workload_of_a_source", Event::WorkloadRecorded(sourced(at(4), workload))),
        ("downstream_of_a_source", Event::DownstreamRecorded(sourced(at(6), downstream))),
        ("cut_by_a_source", Event::Cut(CutMade { source, ..cut(at(2), Closing::Unregister, None) })),
    ]
}

/// What is issued by an exception.
pub(super) fn issued_by_exception() -> Event {
    let subjects = Subjects { owner: at(2), workload: at(4), environment: at(3), task: None, lineage: None };
    let bound_by = Bound::Exception;
    Event::CredentialIssued(Box::new(Issued { exception: Some(at(20)), bound_by, ..issued(subjects, NOW.plus(Duration::from_secs(300))) }))
}

/// What is issued to somebody whose address is known, by the name of its golden file.
pub(super) fn asked_from() -> Vec<(&'static str, Event)> {
    let subjects = Subjects { owner: at(2), workload: at(4), environment: at(3), task: None, lineage: None };
    let from = |address: &str| {
        let asked_from = Some(address.parse::<IpAddr>().expect("an address").into());
        Event::CredentialIssued(Box::new(Issued { asked_from, ..issued(subjects, NOW.plus(Duration::from_secs(300))) }))
    };
    vec![("asked_from_ipv4", from("192.0.2.17")), ("asked_from_ipv6", from("2001:db8::17"))]
}

/// A cut that says what it concerns, as every revocation does since it is followed.
pub(super) fn cut_with_concerns() -> Event {
    let last_expiry = NOW.plus(Duration::from_secs(300));
    let downstreams = [(None, 1), (Some(at(6)), 7)].map(|(downstream, living)| Concern { downstream, living, last_expiry });
    let ended = Ended { kind: CredentialKind::AccessToken, environment: at(3), count: 8 };
    let concerns = Concerns::in_order(downstreams.to_vec(), vec![ended]);
    Event::Cut(CutMade { concerns, ..cut(at(2), Closing::Offboard, Some(NOW.plus(Duration::from_secs(420)))) })
}

/// The subjects that [`populate`] records.
#[derive(Clone, Copy, Debug)]
pub(super) struct World {
    pub(super) owner: Position,
    pub(super) other_owner: Position,
    pub(super) environment: Position,
    pub(super) workload: Position,
    pub(super) other_workload: Position,
    pub(super) key: Position,
    pub(super) downstream: Position,
    pub(super) task: Position,
}

impl World {
    pub(super) const SIZE: usize = 9;

    /// What follows the opening: two owners, each with a workload, and the rest once.
    pub(super) fn events() -> (Self, Vec<Event>) {
        let [owner_number, other_owner, environment_number, workload_number, other_workload] = [2, 3, 4, 5, 6].map(at);
        let events = vec![
            Event::OwnerRecorded(first(owner("payments"))),
            Event::OwnerRecorded(first(owner("other"))),
            Event::EnvironmentRecorded(first(environment("production"))),
            Event::WorkloadRecorded(first(workload("payments/api", owner_number, &[environment_number]))),
            Event::WorkloadRecorded(first(workload("other/api", other_owner, &[environment_number]))),
            Event::KeyActivated(key("token-1")),
            Event::DownstreamRecorded(first(downstream("ledger-api", &[environment_number]))),
            Event::TaskOpened(task(owner_number, environment_number, None)),
            Event::PolicyChanged(sound_policy(1)),
        ];
        let world = Self {
            owner: owner_number,
            other_owner,
            environment: environment_number,
            workload: workload_number,
            other_workload,
            key: at(7),
            downstream: at(8),
            task: at(9),
        };
        (world, events)
    }

    pub(super) fn subjects(&self) -> Subjects {
        Subjects { owner: self.owner, workload: self.workload, environment: self.environment, task: None, lineage: None }
    }

    pub(super) fn other_subjects(&self) -> Subjects {
        Subjects { owner: self.other_owner, workload: self.other_workload, ..self.subjects() }
    }

    pub(super) fn issued(&self, subjects: Subjects) -> Issued {
        let policy_hash = sound_policy(1).hash;
        Issued { key: self.key, downstreams: vec![self.downstream], policy_hash, ..issued(subjects, NOW.plus(Duration::from_secs(300))) }
    }

    /// What policy would grant now.
    pub(super) fn grant(&self, ledger: &dyn Ledger, subjects: Subjects) -> Grant {
        granted(ledger, self.issued(subjects))
    }
}

pub(super) fn grant(issued: Issued, fence: Position) -> Grant {
    Grant::for_test(issued, spiffe_id("payments/api"), "production".parse().expect("an environment name"), fence)
}

/// A grant that is decided now.
pub(super) fn granted(ledger: &dyn Ledger, issued: Issued) -> Grant {
    let fence = ledger.facts().changed();
    grant(issued, fence)
}

/// A change that appends `events` whatever it finds.
pub(super) fn appending(events: Vec<Event>) -> Change {
    deciding(move |_| Ok(events))
}

pub(super) fn deciding(plan: impl FnOnce(&Present<'_>) -> Result<Vec<Event>, crate::model::Refusal> + Send + 'static) -> Change {
    Change { urgency: Urgency::Ordinary, actor: Some(spiffe_id("admin")), request_id: Some("r-1".to_owned()), plan: Box::new(plan) }
}

/// Records the world in a new ledger.
pub(super) async fn populate(ledger: &dyn Ledger) -> World {
    let (world, events) = World::events();
    let committed = ledger.change(appending(events)).await.expect("recorded");
    assert_eq!((committed.first, committed.last), (Some(at(2)), at(World::SIZE as u64 + 1)));
    world
}

/// A cut as the broker makes it.
pub(super) fn cutting(number: Position, closing: Closing) -> Change {
    deciding(move |present| {
        let ends = present.latest_expiry.max(present.now).plus(CUT_GRACE);
        Ok(vec![Event::Cut(cut(number, closing, Some(ends)))])
    })
}
