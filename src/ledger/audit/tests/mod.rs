//! A sound history passes; each way to break a rule is found, at its entry.

use std::time::Duration;

use super::*;
use crate::ledger::samples::{
    EPOCH, NOW, World, again, at, begun, cut, downstream, environment, exception, finding, first, key, owner, policies, policy,
    sound_policy, spiffe_id, task, workload,
};
use crate::model::{
    About, CUT_OF_KEY_ENDS, Closing, CredentialId, CredentialKind, CutMade, Exception, FindingChange, Issued, KeyPurpose, PublicKey,
    Subjects, Task, cut_ends,
};

mod changes;
mod issuances;

/// A history that is written entry by entry and audited as a whole.
struct Written {
    world: World,
    entries: Vec<Entry>,
    time: Timestamp,
    latest_expiry: Timestamp,
    issuer: Position,
}

impl Written {
    fn new() -> Self {
        let (world, events) = World::events();
        let mut written = Self { world, entries: Vec::new(), time: NOW, latest_expiry: NOW, issuer: at(0) };
        written.push(Event::LedgerOpened { epoch: EPOCH, trust_domain: spiffe_id("x").trust_domain() });
        for event in events {
            written.push(event);
        }
        written.issuer = written.push(Event::KeyActivated(PublicKey { purpose: KeyPurpose::Issuer, ..key("issuer-1") }));
        written
    }

    fn push(&mut self, event: Event) -> Position {
        let position = at(self.entries.len() as u64 + 1);
        self.entries.push(Entry { position, time: self.time, actor: None, request_id: None, event });
        position
    }

    fn cut(&mut self, number: Position, closing: Closing) {
        let ends = cut_ends(self.latest_expiry.max(self.time), self.time);
        self.push(Event::Cut(cut(number, closing, ends)));
    }

    fn issue(&mut self, issued: Issued) -> CredentialId {
        let nonce = issued.nonce;
        self.latest_expiry = self.latest_expiry.max(issued.expires_at);
        CredentialId::new(self.push(Event::CredentialIssued(Box::new(issued))), nonce)
    }

    fn token(&self) -> Issued {
        self.world.issued(self.world.subjects())
    }

    fn certificate(&self) -> Issued {
        self.as_certificate(self.token())
    }

    fn as_certificate(&self, issued: Issued) -> Issued {
        Issued { kind: CredentialKind::Certificate, audience: None, scopes: Vec::new(), key: self.issuer, ..issued }
    }

    /// What is obtained with a certificate.
    fn obtained(&self, with: CredentialId) -> Issued {
        let subjects = self.world.subjects().inherited(with.position());
        Issued { parent: Some(with), ..self.world.issued(subjects) }
    }

    /// The problems, each of them at the last entry.
    fn problems(&self) -> Vec<String> {
        let mut audit = Audit::default();
        for entry in &self.entries {
            let find = |position: Position| self.entries.iter().find(|entry| entry.position == position).cloned();
            assert_eq!(audit.row(entry.position, &codec::encode(entry), find).as_ref(), Some(entry));
        }
        let last = self.entries.last().map(|entry| entry.position);
        audit.all_retired(last.unwrap_or_default());
        assert!(audit.problems.iter().all(|problem| problem.position == last), "{:?}", audit.problems);
        audit.problems.into_iter().map(|problem| problem.what).collect()
    }
}

fn check<T>(write: impl FnOnce(&mut Written) -> T, expected: &[&str]) {
    let mut written = Written::new();
    write(&mut written);
    assert_eq!(written.problems(), expected);
}

#[test]
fn a_sound_history_has_no_problems() {
    check(
        |written| {
            let root = written.issue(written.certificate());
            let second = written.as_certificate(written.obtained(root));
            let second = written.issue(second);
            let inherited = written.obtained(root).subjects;
            let task = Subjects { task: Some(written.world.task), ..inherited };
            written.issue(Issued { parent: Some(second), subjects: task, ..written.token() });
            written.cut(written.world.other_owner, Closing::Suspend);
            written.issue(written.token());
            written.push(Event::Reinstated { number: written.world.other_owner, note: None });
            written.issue(written.world.issued(written.world.other_subjects()));
            let broker = Subjects { owner: Position::BROKER, workload: Position::BROKER, ..written.world.subjects() };
            written.issue(written.world.issued(broker));
        },
        &[],
    );
}

#[test]
fn an_order_that_cannot_be_is_found() {
    check(
        |written| {
            written.time = NOW.minus(Duration::from_secs(1));
            written.issue(Issued { issued_at: written.time, ..written.token() });
        },
        &["is of 2027-01-15T07:59:59Z, and the one before it of 2027-01-15T08:00:00Z"],
    );
    check(
        |written| written.push(Event::LedgerOpened { epoch: EPOCH, trust_domain: spiffe_id("x").trust_domain() }),
        &["the opening must be the first entry, and nothing else"],
    );
    check(
        |written| {
            let position = written.token();
            written.issue(position);
            if let Some(last) = written.entries.last_mut() {
                last.position = last.position.next();
            }
        },
        &["stands where entry 12 must stand"],
    );
}

#[test]
fn of_a_flood_of_problems_the_first_thousand_are_kept_and_all_are_counted() {
    let mut audit = Audit::default();
    (0..1001).for_each(|number| audit.note(None, number));
    assert_eq!((audit.problems.len(), audit.found), (1000, 1001));
    assert_eq!(audit.problems.last().map(|problem| problem.what.as_str()), Some("999"));
}

#[test]
fn what_cannot_be_read_is_counted() {
    let mut audit = Audit::default();
    for position in 1..3 {
        assert_eq!(audit.row(at(position), b"\xff", |_| None), None);
    }
    assert_eq!((audit.unreadable, audit.tip.position()), (2, at(2)));
}
