//! A sound history passes; each way to break a rule is found, at its entry.

use std::time::Duration;

use super::*;
use crate::ledger::samples::{EPOCH, NOW, World, again, at, cut, issued, spiffe_id, workload};
use crate::model::{Closing, Timestamp};

/// A history that is written entry by entry and audited as a whole.
struct Written {
    world: World,
    entries: Vec<Entry>,
    time: Timestamp,
}

impl Written {
    fn new() -> Self {
        let (world, events) = World::events();
        let mut written = Self { world, entries: Vec::new(), time: NOW };
        written.push(Event::LedgerOpened { epoch: EPOCH, trust_domain: spiffe_id("x").trust_domain() });
        for event in events {
            written.push(event);
        }
        written
    }

    fn push(&mut self, event: Event) -> Position {
        let position = at(self.entries.len() as u64 + 1);
        self.entries.push(Entry { position, time: self.time, actor: None, request_id: None, event });
        position
    }

    fn cut(&mut self, number: Position, closing: Closing) {
        self.push(Event::Cut(cut(number, closing, Some(NOW.plus(Duration::from_secs(420))))));
    }

    fn issue(&mut self, issued: Issued) -> CredentialId {
        let nonce = issued.nonce;
        CredentialId::new(self.push(Event::CredentialIssued(Box::new(issued))), nonce)
    }

    fn token(&self) -> Issued {
        self.world.issued(self.world.subjects())
    }

    fn certificate(&self) -> Issued {
        Issued { kind: CredentialKind::Certificate, audience: None, ..self.token() }
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
            let second = Issued { kind: CredentialKind::Certificate, audience: None, ..written.obtained(root) };
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
fn an_issuance_under_something_closed_is_found() {
    let under = |closed: fn(&World) -> Position, closing: Closing, expected: &str| {
        check(
            |written| {
                written.cut(closed(&written.world), closing);
                let task = Some(written.world.task);
                written.issue(written.world.issued(Subjects { task, ..written.world.subjects() }));
            },
            &[expected],
        );
    };
    under(|world| world.owner, Closing::Suspend, "was issued under owner 2, which was closed");
    under(|world| world.owner, Closing::Unregister, "was issued under owner 2, which was closed");
    under(|world| world.environment, Closing::Offboard, "was issued under environment 4, which was closed");
    under(|world| world.workload, Closing::Suspend, "was issued under workload 5, which was closed");
    under(|world| world.task, Closing::CloseTask, "was issued under task 9, which was closed");
}

#[test]
fn an_issuance_under_a_task_that_closed_long_ago_is_found() {
    check(
        |written| {
            written.cut(written.world.task, Closing::CloseTask);
            written.time = NOW.plus(Duration::from_secs(500));
            written.push(Event::AdministrativeRead { action: "ReadTask".to_owned(), number: None });
            written.issue(written.world.issued(Subjects { task: Some(written.world.task), ..written.world.subjects() }));
        },
        &["was issued under task 9, which was unknown or long closed"],
    );
}

#[test]
fn an_issuance_under_the_wrong_or_an_unknown_subject_is_found() {
    check(
        |written| written.issue(written.world.issued(Subjects { owner: written.world.other_owner, ..written.world.subjects() })),
        &["was issued under owner 3, which did not own workload 5"],
    );
    check(
        |written| {
            let moved = workload("payments/api", written.world.other_owner, &[written.world.environment]);
            written.push(Event::WorkloadRecorded(again(written.world.workload, moved)));
            written.issue(written.token());
        },
        &["was issued under owner 2, which did not own workload 5"],
    );
    check(
        |written| written.issue(Issued { key: at(999), ..written.token() }),
        &["was issued under key 999, which was unknown or long closed"],
    );
}

#[test]
fn a_chain_that_was_cut_or_never_was_is_found() {
    for through_parent in [false, true] {
        check(
            |written| {
                let root = written.issue(written.certificate());
                let second = written.issue(Issued { kind: CredentialKind::Certificate, audience: None, ..written.obtained(root) });
                let dead = if through_parent { second } else { root };
                written.cut(dead.position(), Closing::Nothing);
                written.issue(Issued { parent: Some(second), ..written.obtained(root) });
            },
            &[&format!("was issued under certificate {}, which was closed", if through_parent { 12 } else { 11 })],
        );
    }
    check(
        |written| {
            let token = written.issue(written.token());
            written.issue(written.obtained(token));
        },
        &["was obtained with a certificate that was never issued"],
    );
    check(
        |written| {
            let root = written.issue(written.certificate());
            written.issue(written.obtained(CredentialId::new(root.position(), [0; 8])));
        },
        &["was obtained with a certificate that was never issued"],
    );
    check(
        |written| written.issue(written.obtained(CredentialId::new(at(2), [0; 8]))),
        &["was obtained with something that is no credential"],
    );
    check(
        |written| {
            let lineage = Some(at(2));
            written.issue(written.world.issued(Subjects { lineage, ..written.world.subjects() }));
        },
        &["has a lineage and was obtained with nothing"],
    );
}

#[test]
fn what_leaves_the_subjects_or_the_life_of_its_certificate_is_found() {
    check(
        |written| {
            let task = Some(written.world.task);
            let bound = Issued { subjects: Subjects { task, ..written.world.subjects() }, ..written.certificate() };
            let root = written.issue(bound);
            written.issue(written.obtained(root));
        },
        &["left the subjects of the certificate it was obtained with"],
    );
    check(
        |written| {
            let root = written.issue(written.certificate());
            let late = NOW.plus(Duration::from_secs(300));
            written.issue(Issued { issued_at: late, expires_at: late.plus(Duration::from_secs(1)), ..written.obtained(root) });
        },
        &["was obtained with a certificate that had expired"],
    );
}

#[test]
fn what_lives_longer_than_it_may_is_found() {
    let until = |seconds: u64| NOW.plus(Duration::from_secs(seconds));
    let cases = [
        (0, None, "was issued without any life"),
        (901, None, "outlives the longest life of its kind"),
        (601, Some(at(9)), "outlives its task"),
    ];
    for (seconds, task, expected) in cases {
        check(
            |written| written.issue(issued_with_key(written, Subjects { task, ..written.world.subjects() }, until(seconds))),
            &[expected],
        );
    }
    check(|written| written.issue(Issued { expires_at: until(7201), ..written.certificate() }), &["outlives its workload"]);
}

fn issued_with_key(written: &Written, subjects: Subjects, expires_at: Timestamp) -> Issued {
    Issued { key: written.world.key, ..issued(subjects, expires_at) }
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
        &["stands where entry 11 must stand"],
    );
}
