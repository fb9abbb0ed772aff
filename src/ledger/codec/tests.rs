//! Golden bytes, and what is refused.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::{collection::vec, option, sample::select};

use super::*;
use crate::ledger::samples::{self, NOW, at, every_event, issued_by_exception};
use crate::model::{
    About, Address, Bound, Closing, Concern, Concerns, Contract, CredentialId, CredentialKind, CutMade, Downstream, DownstreamConfirmed,
    Ended, Environment, Epoch, EpochBegun, Event, Exception, Finding, FindingAction, FindingChange, FindingKind, Held, Issued, KeyPurpose,
    Note, Origin, Owner, OwnerKind, Person, PolicyText, PublicKey, Reason, Recording, Refused, Resource, SpiffeId, Subjects, Task,
    VerifierKind, Workload,
};

fn entry(event: Event) -> Entry {
    Entry { position: at(300), time: NOW, actor: Some(samples::spiffe_id("admin")), request_id: Some("r-1".to_owned()), event }
}

/// Bytes as they stand in a golden file: hex, 32 bytes a line.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").expect("a string takes all"));
        text.push('\n');
    }
    text
}

/// These bytes are in ledgers that exist. A file that is missing is for a new event: what to put in
/// it stands in the failure.
#[test]
fn every_event_has_the_bytes_of_its_golden_file_and_reads_back() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/entries");
    let mut wrong = String::new();
    let named = every_event().into_iter().map(|event| (event.name(), event));
    let about_a_finding = Event::FindingRaised(Box::new(samples::finding(About::Finding(at(20)))));
    let added = [("cut_with_concerns", samples::cut_with_concerns()), ("finding_about_a_finding", about_a_finding)];
    let added = added.into_iter().chain(samples::asked_from());
    for (name, event) in named.chain(added).chain(samples::of_a_source()) {
        let entry = entry(event);
        let bytes = encode(&entry);
        assert_eq!(decode(entry.position, &bytes), Ok(entry.clone()), "{name}");
        let path = folder.join(name).with_extension("hex");
        if std::fs::read_to_string(&path).ok() != Some(hex(&bytes)) {
            write!(wrong, "{} is not:\n{}", path.display(), hex(&bytes)).expect("a string takes all");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_kind_of_finding_has_the_bytes_of_its_golden_file() {
    let mut text = String::new();
    for kind in FindingKind::ALL {
        let finding = Finding { kind: *kind, ..samples::finding(About::Subject(at(4))) };
        let entry = entry(Event::FindingRaised(Box::new(finding)));
        let bytes = encode(&entry);
        assert_eq!(decode(entry.position, &bytes), Ok(entry.clone()), "{kind}");
        write!(text, "{kind}\n{}", hex(&bytes)).expect("a string takes all");
    }
    assert_eq!(text, include_str!("../../../tests/golden/entries/kinds_of_finding.hex"));
}

#[test]
fn what_is_issued_by_an_exception_has_the_bytes_of_its_golden_file() {
    let entry = entry(issued_by_exception());
    assert_eq!(hex(&encode(&entry)), include_str!("../../../tests/golden/entries/issued_by_exception.hex"));
}

#[test]
fn a_key_that_is_announced_has_the_bytes_of_its_golden_file() {
    let signs_from = Some(NOW.plus(std::time::Duration::from_secs(86_400)));
    let entry = entry(Event::KeyActivated(PublicKey { signs_from, ..samples::key("token-1") }));
    assert_eq!(hex(&encode(&entry)), include_str!("../../../tests/golden/entries/key_announced.hex"));
    assert_eq!(decode(entry.position, &encode(&entry)), Ok(entry));
}

#[test]
fn an_issuance_has_the_same_bytes_on_its_short_way() {
    let Some(Event::CredentialIssued(issued)) = every_event().into_iter().find(|event| event.name() == "credential_issued") else {
        panic!("there is an issuance among the samples");
    };
    let event = Event::CredentialIssued(issued.clone());
    let entry = Entry { position: at(300), time: NOW, actor: None, request_id: None, event };
    let nonce = issued.nonce;
    let other_nonce = Issued { nonce: [0; 8], ..*issued };
    let workload = "spiffe://example.org/payments/api".parse().expect("an ID");
    let grant = Grant::for_test(other_nonce, workload, "production".parse().expect("a name"), at(299));
    assert_eq!(encode_issuance(at(300), NOW, &grant, nonce), encode(&entry));
}

fn unreadable(bytes: &[u8]) -> String {
    decode(at(300), bytes).expect_err("unreadable").problem
}

#[test]
fn what_could_not_have_been_written_is_unreadable_with_what_is_wrong() {
    use wire::entry::Event as Wire;
    let sound = wire::Entry { position: 300, time_ms: 1, ..wire::Entry::default() };
    let with = |event: Wire| unreadable(&wire::Entry { event: Some(event), ..sound.clone() }.encode_to_vec());
    let cut = wire::Cut { number: 2, reason: 5, closing: 1, ..wire::Cut::default() };
    let owner = wire::OwnerRecorded {
        id: "payments".to_owned(),
        kind: 1,
        business_owner: "a".to_owned(),
        technical_owner: "b".to_owned(),
        ..wire::OwnerRecorded::default()
    };
    assert!(decode(at(300), &wire::Entry { event: Some(Wire::Cut(cut.clone())), ..sound.clone() }.encode_to_vec()).is_ok());

    assert_eq!(unreadable(&sound.encode_to_vec()), "event: none that this version knows");
    assert_eq!(with(Wire::Cut(wire::Cut { number: 0, ..cut.clone() })), "number: is missing");
    assert_eq!(with(Wire::Cut(wire::Cut { reason: 6, ..cut.clone() })), "reason: 6 is no reason that this version knows");
    assert_eq!(with(Wire::Cut(wire::Cut { closing: 0, ..cut.clone() })), "closing: 0 is no word that this version knows");
    assert_eq!(with(Wire::Cut(wire::Cut { closing: 99, ..cut })), "closing: 99 is no word that this version knows");
    assert!(with(Wire::OwnerRecorded(wire::OwnerRecorded { id: "Payments".to_owned(), ..owner.clone() })).starts_with("id: `Payments`"));
    assert!(with(Wire::OwnerRecorded(wire::OwnerRecorded { business_owner: String::new(), ..owner })).starts_with("business_owner: "));
    let opened = wire::LedgerOpened { epoch: vec![1; 15], trust_domain: "example.org".to_owned() };
    assert_eq!(with(Wire::LedgerOpened(opened)), "epoch: has 15 bytes instead of 16");

    let Some((_, Event::CredentialIssued(issued))) = samples::asked_from().pop() else { panic!("there is one among the samples") };
    let from = |asked_from: &[u8]| {
        Wire::CredentialIssued(wire::CredentialIssued { asked_from: asked_from.to_vec(), ..encode::issued(&issued, issued.nonce) })
    };
    assert_eq!(with(from(&[1; 5])), "asked_from: has 5 bytes instead of 16");
    let mapped = std::net::Ipv4Addr::new(192, 0, 2, 17).to_ipv6_mapped().octets();
    assert_eq!(with(from(&mapped)), "asked_from: writes 192.0.2.17 as an address of IPv6");

    let elsewhere = encode(&Entry { position: at(301), ..entry(Event::DownstreamRemoved { number: at(6) }) });
    assert_eq!(unreadable(&elsewhere), "the bytes are those of entry 301");
    assert!(!unreadable(b"\xff\xff").is_empty());
}

fn position() -> impl Strategy<Value = Position> {
    (1..u64::MAX >> 1).prop_map(Position::new)
}

fn time() -> impl Strategy<Value = Timestamp> {
    (1..u64::MAX >> 1).prop_map(Timestamp::from_millis)
}

fn seconds() -> impl Strategy<Value = Timestamp> {
    (1..1u64 << 40).prop_map(Timestamp::from_seconds)
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug>(pattern: &'static str) -> impl Strategy<Value = T> {
    pattern.prop_map(|text: String| text.parse().expect("well formed"))
}

fn note() -> impl Strategy<Value = Note> {
    parsed("[a-zé][a-z é]{0,20}[a-zé]")
}

fn id() -> impl Strategy<Value = SpiffeId> {
    parsed("spiffe://[a-z.]{1,10}/[a-zA-Z]{1,9}")
}

fn word<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    select(all)
}

fn recording<T: std::fmt::Debug>(record: impl Strategy<Value = T>) -> impl Strategy<Value = Recording<T>> {
    let origin = (parsed("[a-z]{1,9}"), parsed("[a-zA-Z0-9/]{1,20}")).prop_map(|(source, record)| Origin { source, record });
    (option::of(position()), option::of(origin), record).prop_map(|(number, origin, record)| Recording { number, origin, record })
}

/// Of either family, and of IPv4 as it comes to a socket of IPv6.
fn address() -> impl Strategy<Value = Address> {
    let mapped = any::<std::net::Ipv4Addr>().prop_map(|ip| IpAddr::V6(ip.to_ipv6_mapped()));
    prop_oneof![any::<IpAddr>(), mapped].prop_map(Address::from)
}

prop_compose! {
    fn issued()(
        kind in word(CredentialKind::ALL), bound_by in word(Bound::ALL),
        numbers in [position(), position(), position(), position()],
        task in option::of(position()), lineage in option::of(position()),
        parent in option::of((position(), any::<[u8; 8]>())), nonce: [u8; 8],
        (issued_at, expires_at) in (seconds(), seconds()),
        audience in option::of(parsed("[!#-Z]{1,30}")), scopes in vec(parsed("[a-z:]{1,9}"), 0..3),
        confirmation: Option<[u8; 32]>, policy_hash: [u8; 32],
        (downstreams, policies) in (vec(position(), 0..3), vec(parsed("[a-z-]{1,9}"), 0..3)), (purpose, exception) in (option::of(note()), option::of(position())),
        asked_from in option::of(address()),
    ) -> Issued {
        let [owner, workload, environment, key] = numbers;
        Issued {
            kind, bound_by, key, nonce, issued_at, expires_at, audience, scopes, confirmation, downstreams, policies, policy_hash, purpose, exception, asked_from,
            subjects: Subjects { owner, workload, environment, task, lineage },
            parent: parent.map(|(position, nonce)| CredentialId::new(position, nonce)),
        }
    }
}

fn exceptions() -> impl Strategy<Value = Event> {
    let audience = option::of(parsed("[!#-Z]{1,30}"));
    let exception = (position(), position(), audience, vec(parsed("[a-z:]{1,9}"), 0..3), time(), note(), id()).prop_map(
        |(workload, environment, audience, scopes, until, purpose, requested_by)| Exception {
            workload,
            environment,
            audience,
            scopes,
            until,
            purpose,
            requested_by,
        },
    );
    exception.prop_map(|exception| Event::ExceptionRequested(Box::new(exception)))
}

fn findings() -> impl Strategy<Value = Event> {
    let about = prop_oneof![position().prop_map(About::Subject), id().prop_map(About::Identity), position().prop_map(About::Finding)];
    let finding = (word(FindingKind::ALL), about, note(), vec(position(), 0..3)).prop_map(|(kind, about, detail, evidence)| Finding {
        kind,
        about,
        detail,
        evidence,
    });
    let change = prop_oneof![
        Just(FindingChange::Seen),
        word(FindingAction::ALL).prop_map(FindingChange::Acted),
        Just(FindingChange::Resolved),
        time().prop_map(|until| FindingChange::Waived { until }),
    ];
    prop_oneof![
        finding.prop_map(|finding| Event::FindingRaised(Box::new(finding))),
        (position(), change, option::of(note())).prop_map(|(number, change, note)| Event::FindingChanged { number, change, note }),
    ]
}

fn records() -> impl Strategy<Value = Event> {
    let owner = (parsed("[a-z]{1,9}"), word(OwnerKind::ALL), parsed("[a-z@]{1,9}"), parsed("[a-z@]{1,9}"), option::of(time())).prop_map(
        |(id, kind, business_owner, technical_owner, contract_end)| Owner { id, kind, business_owner, technical_owner, contract_end },
    );
    let contacts = || [option::of(parsed("[a-z@]{1,9}")), option::of(parsed("[a-z@]{1,9}"))];
    let workload = (id(), position(), note(), vec(position(), 0..3), option::of(time()), contacts()).prop_map(
        |(spiffe_id, owner, purpose, environments, valid_until, [business_owner, technical_owner])| Workload {
            spiffe_id,
            owner,
            purpose,
            environments,
            valid_until,
            business_owner,
            technical_owner,
        },
    );
    let person = (parsed("[a-z@]{1,9}"), any::<bool>()).prop_map(|(id, active)| Person { id, active });
    let contract = (position(), time()).prop_map(|(owner, end)| Contract { owner, end });
    let kind = (word(VerifierKind::ALL), option::of(id()), contacts());
    let downstream = (parsed("[a-z]{1,9}"), any::<[bool; 2]>(), vec(parsed("[a-z:/]{1,20}"), 0..3), vec(position(), 0..3), kind).prop_map(
        |(
            name,
            [accepts_tokens, accepts_certificates],
            audiences,
            environments,
            (verifier_kind, verifier, [business_owner, technical_owner]),
        )| Downstream {
            name,
            accepts_tokens,
            accepts_certificates,
            audiences,
            environments,
            verifier_kind,
            verifier,
            business_owner,
            technical_owner,
        },
    );
    prop_oneof![
        recording(owner).prop_map(Event::OwnerRecorded),
        recording(parsed("[a-z]{1,9}").prop_map(|name| Environment { name })).prop_map(Event::EnvironmentRecorded),
        recording(workload).prop_map(Event::WorkloadRecorded),
        recording(downstream).prop_map(Event::DownstreamRecorded),
        recording(person).prop_map(Event::PersonRecorded),
        recording(contract).prop_map(Event::ContractRecorded),
    ]
}

fn sources() -> impl Strategy<Value = Event> {
    let source = || parsed("[a-z]{1,9}");
    let held = (source(), option::of(any::<[u8; 32]>()), note(), any::<u64>(), any::<u64>())
        .prop_map(|(source, digest, why, ends, of)| Held { source, digest, why, ends, of });
    prop_oneof![
        held.prop_map(Event::SourceHeld),
        (source(), any::<[u8; 32]>()).prop_map(|(source, digest)| Event::SourceConfirmed { source, digest }),
        (source(), vec(position(), 0..3)).prop_map(|(source, records)| Event::SourceEnded { source, records }),
        (option::of(position()), source(), option::of(position()), option::of("\\PC{1,40}"), option::of(time())).prop_map(
            |(number, source, owner, text, ended)| {
                Event::ResourceRecorded(Recording { number, origin: None, record: Resource { source, owner, text, ended } })
            }
        ),
        position().prop_map(|number| Event::PersonEnded { number }),
        (position(), position()).prop_map(|(number, owner)| Event::ContractEnded { number, owner }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let key = (word(KeyPurpose::ALL), "[a-z0-9]{1,9}", vec(any::<u8>(), 0..40), option::of(time()), option::of(time()))
        .prop_map(|(purpose, kid, material, not_after, signs_from)| PublicKey { purpose, kid, material, not_after, signs_from });
    let policy = (any::<[u8; 32]>(), vec((parsed("[a-z.]{1,9}"), ".{0,40}"), 0..3)).prop_map(|(hash, files)| PolicyText { hash, files });
    let task = (position(), position(), option::of(position()), time(), note(), id()).prop_map(
        |(owner, environment, workload, deadline, purpose, opened_by)| Task { owner, environment, workload, deadline, purpose, opened_by },
    );
    let concern = (option::of(position()), any::<u64>(), time());
    let ended = (word(CredentialKind::ALL), position(), any::<u64>());
    let concerns = (vec(concern, 0..4), vec(ended, 0..4)).prop_map(|(concerns, ended)| {
        let concern = |(downstream, living, last_expiry)| Concern { downstream, living, last_expiry };
        let end = |(kind, environment, count)| Ended { kind, environment, count };
        let (mut concerns, mut ended): (Vec<_>, Vec<_>) =
            (concerns.into_iter().map(concern).collect(), ended.into_iter().map(end).collect());
        concerns.sort_by_key(|concern| concern.downstream);
        concerns.dedup_by_key(|concern| concern.downstream);
        ended.sort_by_key(|ended: &Ended| (ended.kind, ended.environment));
        ended.dedup_by_key(|ended| (ended.kind, ended.environment));
        Concerns::in_order(concerns, ended).expect("in order")
    });
    let cut = (position(), word(Reason::ALL), option::of(time()), word(Closing::ALL), option::of(note()), option::of(concerns))
        .prop_flat_map(|cut| (Just(cut), option::of(parsed("[a-z]{1,9}"))))
        .prop_map(|((number, reason, ends, closing, note, concerns), source)| CutMade {
            number,
            reason,
            ends,
            closing,
            note,
            concerns,
            source,
        });
    prop_oneof![
        findings(),
        exceptions(),
        (position(), option::of(note())).prop_map(|(number, note)| Event::ExceptionApproved { number, note }),
        (any::<[u8; 16]>(), parsed("[a-z.]{1,20}"))
            .prop_map(|(epoch, trust_domain)| Event::LedgerOpened { epoch: Epoch(epoch), trust_domain }),
        key.prop_map(Event::KeyActivated),
        (position(), option::of(time())).prop_map(|(number, ends)| Event::KeyRetired { number, ends }),
        policy.prop_map(Event::PolicyChanged),
        records(),
        position().prop_map(|number| Event::DownstreamRemoved { number }),
        task.prop_map(Event::TaskOpened),
        issued().prop_map(|issued| Event::CredentialIssued(Box::new(issued))),
        cut.prop_map(Event::Cut),
        sources(),
        (position(), option::of(note())).prop_map(|(number, note)| Event::Reinstated { number, note }),
        (position(), position(), option::of(note())).prop_map(|(number, owner, note)| Event::WorkloadAccepted { number, owner, note }),
        ("[A-Za-z]{1,20}", option::of(position())).prop_map(|(action, number)| Event::AdministrativeRead { action, number }),
        (any::<[u8; 16]>(), option::of(position()), option::of(note())).prop_map(|(epoch, reached, note)| Event::EpochBegun(EpochBegun {
            epoch: Epoch(epoch),
            reached,
            note
        })),
        (position(), position(), any::<u64>(), any::<u64>()).prop_map(|(number, position, confirmed, lapsed)| {
            Event::DownstreamConfirmed(DownstreamConfirmed { number, position, confirmed, lapsed })
        }),
        (option::of(position()), option::of(id()), "[A-Z_]{1,20}", any::<u64>(), time()).prop_map(
            |(workload, identity, reason, count, since)| Event::RequestsRefused(Refused { workload, identity, reason, count, since })
        ),
    ]
}

proptest! {
    #[test]
    fn an_entry_reads_back_as_it_was(
        position in position(), time in time(), actor in option::of(id()), request_id in option::of("[ -~]{1,20}"), event in event(),
    ) {
        let entry = Entry { position, time, actor, request_id, event };
        prop_assert_eq!(decode(position, &encode(&entry)), Ok(entry));
    }

    #[test]
    fn bytes_that_were_damaged_never_stop_the_reader(event in event(), place: prop::sample::Index, bit in 0..8u8) {
        let entry = entry(event);
        let mut bytes = encode(&entry);
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        // Whether it is still an entry is for the tree to say.
        if let Ok(read) = decode(entry.position, &bytes) {
            prop_assert_eq!(read.position, entry.position);
        }
    }
}
