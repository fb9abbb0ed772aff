//! A sound history passes; each way to break a rule is found, at its entry.

use std::time::Duration;

use super::*;
use crate::ledger::samples::{
    EPOCH, NOW, World, again, at, begun, cut, downstream, environment, exception, finding, first, key, owner, policies, policy,
    sound_policy, spiffe_id, task, workload,
};
use crate::model::{
    About, CUT_OF_KEY_ENDS, Closing, CredentialId, CredentialKind, CutMade, Exception, Issued, KeyPurpose, PublicKey, Subjects, Task,
    cut_ends,
};

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
    under(|world| world.downstream, Closing::Suspend, "was issued under downstream 8, which was closed");
}

#[test]
fn a_downstream_may_be_suspended_reinstated_and_found_something_of() {
    check(
        |written| {
            let downstream = written.world.downstream;
            written.push(Event::FindingRaised(Box::new(finding(About::Subject(downstream)))));
            written.cut(downstream, Closing::Suspend);
            written.issue(written.certificate());
            written.push(Event::Reinstated { number: downstream, note: None });
            written.issue(written.token());
            written.cut(downstream, Closing::Offboard);
        },
        &[],
    );
    check(
        |written| {
            let key = written.world.key;
            written.push(Event::FindingRaised(Box::new(finding(About::Subject(key)))))
        },
        &["is a finding about 7, which was no owner, workload or downstream"],
    );
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
                let second = written.issue(written.as_certificate(written.obtained(root)));
                let dead = if through_parent { second } else { root };
                written.cut(dead.position(), Closing::Nothing);
                written.issue(Issued { parent: Some(second), ..written.obtained(root) });
            },
            &[&format!("was issued under certificate {}, which was closed", if through_parent { 13 } else { 12 })],
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
        check(|written| written.issue(issued_until(written, Subjects { task, ..written.world.subjects() }, until(seconds))), &[expected]);
    }
    check(|written| written.issue(Issued { expires_at: until(7201), ..written.certificate() }), &["outlives its workload"]);
}

#[test]
fn what_lives_as_long_as_it_may_is_sound() {
    let until = |seconds: u64| NOW.plus(Duration::from_secs(seconds));
    check(
        |written| {
            written.issue(issued_until(written, written.world.subjects(), until(900)));
            let task = Subjects { task: Some(written.world.task), ..written.world.subjects() };
            written.issue(issued_until(written, task, until(600)));
            written.issue(Issued { expires_at: until(7200), ..written.certificate() });
            // A certificate that is renewed outlives the one before it, and so may a token that is bound to none.
            let root = written.issue(Issued { expires_at: until(200), ..written.certificate() });
            written.issue(written.as_certificate(written.obtained(root)));
            written.issue(Issued { confirmation: None, ..written.obtained(root) });
            written.issue(Issued { expires_at: until(200), ..written.obtained(root) });
        },
        &[],
    );
}

#[test]
fn what_no_policy_in_force_allowed_for_so_long_is_found() {
    let under = |text: &str, names: &[&str], seconds: u64, expected: &[&str]| {
        check(
            |written| {
                let text = policies(text);
                let policy_hash = text.hash;
                written.push(Event::PolicyChanged(text));
                let policies = names.iter().map(|name| name.parse().expect("a policy name")).collect();
                let expires_at = NOW.plus(Duration::from_secs(seconds));
                written.issue(Issued { policy_hash, policies, expires_at, ..written.token() });
            },
            expected,
        );
    };
    let text = r#"@id("always") permit (principal, action, resource);
@id("short") @max_ttl("5m") permit (principal, action == Curfew::Action::"IssueToken", resource);
@id("shorter") @max_ttl("2m") permit (principal, action == Curfew::Action::"IssueToken", resource);"#;
    let outlived = ["outlives the ceiling of a policy that allowed it"];
    under(text, &["always"], 900, &[]);
    under(text, &["always", "short"], 300, &[]);
    under(text, &["always", "short"], 301, &outlived);
    under(text, &["short", "shorter"], 120, &[]);
    under(text, &["short", "shorter"], 121, &outlived);
    under(text, &["always", "never"], 300, &["was allowed by policy `never`, which was not in force"]);
    under(text, &[], 300, &["was allowed by no policy and no exception"]);
    under("permit what a later version knows", &["never"], 300, &[]);
}

fn issued_until(written: &Written, subjects: Subjects, expires_at: Timestamp) -> Issued {
    Issued { expires_at, ..written.world.issued(subjects) }
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
fn an_issuance_that_does_not_fit_what_was_recorded_is_found() {
    let spoilt = |spoil: fn(&Written, &mut Issued), expected: &str| {
        check(
            |written| {
                let mut issued = written.token();
                spoil(written, &mut issued);
                written.issue(issued);
            },
            &[expected],
        );
    };
    spoilt(|written, issued| issued.key = written.issuer, "was signed by a key that signs something else");
    spoilt(|_, issued| issued.kind = CredentialKind::JwtSvid, "has scopes and is no access token");
    spoilt(|_, issued| issued.policy_hash = [9; 32], "was issued under another policy than the one in force");
    spoilt(|_, issued| issued.downstreams.clear(), "does not name the downstreams that it concerned");
    spoilt(|_, issued| issued.downstreams.push(at(99)), "does not name the downstreams that it concerned");
    check(
        |written| {
            let audience = Some("https://nobody.example".parse().expect("an audience"));
            written.issue(Issued { audience, downstreams: Vec::new(), ..written.token() });
        },
        &["was issued for an audience that no downstream had"],
    );
    check(
        |written| {
            written.issue(Issued { audience: Some("https://api.example.org".parse().expect("an audience")), ..written.certificate() })
        },
        &["must have an audience if it is a token, and none if it is a certificate"],
    );
    check(
        |written| {
            let other = Some(written.world.task);
            let subjects = Subjects { task: other, ..written.world.other_subjects() };
            written.issue(written.world.issued(subjects));
        },
        &["was issued under a task of somebody else"],
    );
    for (only, expected) in [(0, &[][..]), (1, &["was issued under a task of somebody else"])] {
        check(
            |written| {
                let World { owner, environment, workload: own, .. } = written.world;
                let colleague = written.push(Event::WorkloadRecorded(first(workload("payments/job", owner, &[environment]))));
                let only = [own, colleague].get(only).copied();
                let task = Some(written.push(Event::TaskOpened(task(owner, environment, only))));
                written.issue(written.world.issued(Subjects { task, ..written.world.subjects() }));
            },
            expected,
        );
    }
    check(
        |written| {
            let elsewhere = written.push(Event::EnvironmentRecorded(first(environment("staging"))));
            let everywhere = downstream("ledger-api", &[written.world.environment, elsewhere]);
            written.push(Event::DownstreamRecorded(again(written.world.downstream, everywhere)));
            written.issue(written.world.issued(Subjects { environment: elsewhere, ..written.world.subjects() }));
        },
        &["was issued in an environment in which its workload may not act"],
    );
    check(
        |written| {
            let ends = PublicKey { not_after: Some(NOW.plus(Duration::from_secs(299))), ..key("short") };
            let key = written.push(Event::KeyActivated(ends));
            written.issue(Issued { key, ..written.token() });
        },
        &["outlives its signing key"],
    );
}

#[test]
fn what_was_obtained_with_a_dead_certificate_is_found() {
    check(
        |written| {
            let root = written.issue(written.certificate());
            written.cut(written.world.owner, Closing::Suspend);
            written.push(Event::Reinstated { number: written.world.owner, note: None });
            written.issue(written.obtained(root));
        },
        &["was obtained with a certificate that was dead"],
    );
    check(
        |written| {
            let short = Issued { expires_at: NOW.plus(Duration::from_secs(200)), ..written.certificate() };
            let root = written.issue(short);
            written.issue(written.obtained(root));
        },
        &["outlives the certificate that it is bound to"],
    );
}

#[test]
fn a_number_that_is_used_twice_or_for_nothing_is_found() {
    let records = |event: fn(&World) -> Event, expected: &str| check(|written| written.push(event(&written.world)), &[expected]);
    records(|_| Event::OwnerRecorded(first(owner("payments"))), "records anew what has the number 2");
    records(|_| Event::EnvironmentRecorded(first(environment("production"))), "records anew what has the number 4");
    records(|world| Event::WorkloadRecorded(first(workload("payments/api", world.owner, &[]))), "records anew what has the number 5");
    records(|_| Event::DownstreamRecorded(first(downstream("ledger-api", &[]))), "records anew what has the number 8");
    records(|world| Event::OwnerRecorded(again(world.owner, owner("others"))), "records something else under the number 2");
    records(|world| Event::OwnerRecorded(again(world.owner, owner("other"))), "records something else under the number 2");
    records(|_| Event::WorkloadRecorded(first(workload("new", at(77), &[]))), "records a workload of owner 77, which was unknown");
    records(|world| Event::WorkloadRecorded(first(workload("new", world.owner, &[at(2)]))), "names environment 2, which was unknown");
    records(|_| Event::DownstreamRecorded(first(downstream("new", &[at(5)]))), "names environment 5, which was unknown");
    records(|_| Event::DownstreamRemoved { number: at(2) }, "removed downstream 2, which was unknown");
    records(|_| Event::KeyActivated(key("token-1")), "activated a key that was activated as 7 before");
    records(|_| Event::KeyRetired { number: at(9), ends: None }, "retired 9, which was no key in use");
    records(|_| Event::Reinstated { number: at(9), note: None }, "reinstated 9, which is no owner, workload, environment or downstream");
    records(|_| Event::PolicyChanged(policy(3)), "names a policy by another hash than that of its text");
}

#[test]
fn a_key_that_is_retired_too_early_or_twice_or_signs_after_that_is_found() {
    let retire = |written: &mut Written, ends: Option<Timestamp>| {
        let number = written.world.key;
        written.push(Event::KeyRetired { number, ends });
    };
    let issue = |written: &mut Written| {
        let issued = written.world.issued(written.world.subjects());
        written.push(Event::CredentialIssued(Box::new(issued)));
    };
    let (last, early) = (NOW.plus(Duration::from_secs(300)), NOW.plus(Duration::from_secs(299)));
    check(|written| retire(written, Some(early)), &[]);
    check(
        |written| {
            issue(written);
            retire(written, Some(last));
        },
        &[],
    );
    check(
        |written| {
            issue(written);
            retire(written, Some(early));
        },
        &["retired key 7 before all that it signed has ended"],
    );
    check(
        |written| {
            retire(written, None);
            retire(written, None);
        },
        &["retired 7, which was no key in use"],
    );
    check(
        |written| {
            retire(written, Some(last));
            issue(written);
        },
        &["was issued under key 7, which was closed"],
    );
}

#[test]
fn a_task_under_something_closed_or_after_its_deadline_is_found() {
    let somebody_else = "opened a task under something that was unknown, closed or of somebody else";
    let opens = |spoil: fn(&World, &mut Task), expected: &str| {
        check(
            |written| {
                let world = &written.world;
                let mut task = task(world.owner, world.environment, Some(world.workload));
                spoil(world, &mut task);
                written.push(Event::TaskOpened(task));
            },
            &[expected],
        );
    };
    opens(|world, task| task.owner = world.other_owner, somebody_else);
    opens(|world, task| task.environment = world.owner, somebody_else);
    opens(|world, task| task.workload = Some(world.other_workload), somebody_else);
    let after = |time: Timestamp, expected: &[&str]| {
        check(
            |written| {
                written.time = time;
                let task = task(written.world.owner, written.world.environment, None);
                written.push(Event::TaskOpened(Task { deadline: NOW, ..task }));
            },
            expected,
        );
    };
    after(NOW.plus(Duration::from_secs(1)), &["opened a task whose deadline had passed"]);
    after(NOW, &[]);
    check(
        |written| {
            written.cut(written.world.owner, Closing::Suspend);
            written.push(Event::TaskOpened(task(written.world.owner, written.world.environment, None)));
        },
        &[somebody_else],
    );
}

#[test]
fn a_workload_that_leaves_its_owner_with_something_alive_is_found() {
    let moves = |cut_first: bool, expected: &[&str]| {
        check(
            |written| {
                written.issue(written.token());
                if cut_first {
                    written.cut(written.world.workload, Closing::MoveOwner);
                }
                let moved = workload("payments/api", written.world.other_owner, &[written.world.environment]);
                written.push(Event::WorkloadRecorded(again(written.world.workload, moved)));
            },
            expected,
        );
    };
    moves(true, &[]);
    moves(false, &["took workload 5 from owner 2 with 1 credentials alive"]);
}

/// Of what there is and what was issued, the number that is cut.
type Numbered = fn(&World, Position) -> Position;

/// A cut that leaves the list early lets the dead live again at a follower that comes later; one that
/// stays makes the list grow.
#[test]
fn a_cut_that_leaves_the_list_too_early_or_too_late_is_found() {
    let until = |seconds: u64| Some(NOW.plus(Duration::from_secs(seconds)));
    let cuts = |number: Numbered, closing: Closing, ends: Option<Timestamp>, expected: &[&str]| {
        check(
            |written| {
                let subjects = Subjects { task: Some(written.world.task), ..written.world.subjects() };
                let issued = written.issue(written.world.issued(subjects)).position();
                written.push(Event::Cut(cut(number(&written.world, issued), closing, ends)));
            },
            expected,
        );
    };
    let early = |number: u64| format!("cuts {number} and leaves the list before all that it covers has ended");
    let late = |number: u64| format!("cuts {number} and stays in the list after everything has ended");
    let subjects: [(Numbered, Closing, u64); 6] = [
        (|world, _| world.owner, Closing::Suspend, 2),
        (|world, _| world.workload, Closing::Offboard, 5),
        (|world, _| world.environment, Closing::Unregister, 4),
        (|world, _| world.task, Closing::CloseTask, 9),
        (|_, issued| issued, Closing::Nothing, 12),
        (|world, _| world.downstream, Closing::Nothing, 8),
    ];
    for (number, closing, expected) in subjects {
        cuts(number, closing, until(420), &[]);
        cuts(number, closing, until(419), &[&early(expected)]);
        cuts(number, closing, None, &[&early(expected)]);
        cuts(number, closing, until(421), &[&late(expected)]);
    }
    // Nothing of theirs is alive.
    cuts(|world, _| world.other_owner, Closing::Suspend, None, &[]);
    // A key's has no end that could be too late.
    cuts(|world, _| world.key, Closing::Nothing, Some(CUT_OF_KEY_ENDS), &[]);
    cuts(|world, _| world.key, Closing::Nothing, until(419), &[&early(7)]);
}

/// An exception for the token of the world, asked for by somebody and approved by `approver`, and its number.
fn excepted(written: &mut Written, until: Timestamp, approver: &str) -> Position {
    let (workload, environment) = (written.world.workload, written.world.environment);
    let number = written.push(Event::ExceptionRequested(Box::new(Exception { workload, environment, ..exception(until) })));
    written.push(Event::ExceptionApproved { number, note: None });
    let approval = written.entries.last_mut().expect("pushed");
    approval.actor = Some(spiffe_id(approver));
    number
}

#[test]
fn what_is_issued_by_an_exception_stands_on_it_and_ends_with_it() {
    let (hour, admin) = (NOW.plus(Duration::from_secs(3600)), "people/admin");
    let issue = |written: &mut Written, number: Position| {
        let token = Issued { exception: Some(number), ..written.token() };
        written.issue(token);
    };
    check(
        |written| {
            let number = excepted(written, hour, admin);
            issue(written, number);
            written.cut(number, Closing::EndException);
        },
        &[],
    );
    check(|written| excepted(written, hour, "payments/lead"), &["approved exception 12, and nobody else than who asked for it"]);
    check(
        |written| {
            let number = excepted(written, NOW.plus(Duration::from_secs(299)), admin);
            issue(written, number);
        },
        &["outlives its exception"],
    );
    check(
        |written| {
            let number = excepted(written, hour, admin);
            written.cut(number, Closing::EndException);
            issue(written, number);
        },
        &["was issued under exception 12, which was closed"],
    );
    check(
        |written| {
            let number = excepted(written, hour, admin);
            let token = Issued { exception: Some(number), scopes: vec!["admin".parse().expect("a scope")], ..written.token() };
            written.issue(token);
        },
        &["was issued by an exception for something else"],
    );
    check(
        |written| {
            let number = excepted(written, hour, admin);
            let token = Issued { exception: Some(number), ..written.world.issued(written.world.other_subjects()) };
            written.issue(token);
        },
        &["was issued by an exception for something else"],
    );
    check(
        |written| {
            let number = excepted(written, hour, admin);
            let certificate = Issued { exception: Some(number), ..written.certificate() };
            let audience = written.entries.iter_mut().find(|entry| entry.position == number).expect("pushed");
            audience.event = Event::ExceptionRequested(Box::new(Exception {
                workload: written.world.workload,
                environment: written.world.environment,
                audience: None,
                scopes: Vec::new(),
                ..exception(hour)
            }));
            let root = written.issue(certificate);
            let obtained = written.obtained(root);
            written.issue(obtained);
        },
        &["left the exception of the certificate it was obtained with"],
    );
    check(
        |written| {
            let number = excepted(written, hour, admin);
            written.cut(number, Closing::Suspend);
        },
        &["cuts 12 with `suspend`, which it is not for"],
    );
}

#[test]
fn a_cut_of_nothing_or_of_another_sort_is_found() {
    let cuts = |number: u64, closing: Closing, expected: &str| check(|written| written.cut(at(number), closing), &[expected]);
    cuts(1, Closing::Nothing, "cuts 1, which was no subject");
    cuts(8, Closing::Unregister, "cuts 8 with `unregister`, which it is not for");
    cuts(12, Closing::Nothing, "cuts 12, which was no subject");
    cuts(999, Closing::Suspend, "cuts 999, which was no subject");
    cuts(9, Closing::Suspend, "cuts 9 with `suspend`, which it is not for");
    cuts(2, Closing::CloseTask, "cuts 2 with `close-task`, which it is not for");
    cuts(2, Closing::MoveOwner, "cuts 2 with `move-owner`, which it is not for");
}

#[test]
fn an_epoch_that_leaves_a_key_in_use_is_found() {
    let retired = |number| Event::Cut(CutMade { ends: Some(CUT_OF_KEY_ENDS), ..cut(number, Closing::Nothing, None) });
    check(
        |written| {
            written.push(Event::EpochBegun(begun([8; 16])));
            written.push(retired(written.world.key));
            written.push(retired(written.issuer));
            let key = written.push(Event::KeyActivated(key("token-2")));
            written.issue(Issued { key, ..written.token() });
        },
        &[],
    );
    check(
        |written| {
            written.push(Event::EpochBegun(begun([8; 16])));
            written.push(retired(written.world.key));
            written.push(Event::PolicyChanged(sound_policy(1)));
        },
        &["an epoch has begun, and key 11 from before it was not cut with it"],
    );
    check(
        |written| {
            written.push(Event::EpochBegun(begun([8; 16])));
            written.push(retired(written.world.key));
            written.push(retired(written.issuer));
            written.issue(written.token());
        },
        &["was issued under key 7, which was closed"],
    );
    check(
        |written| written.push(Event::EpochBegun(begun(EPOCH.0))),
        &[
            "began an epoch that was before",
            "an epoch has begun, and key 7 from before it was not cut with it",
            "an epoch has begun, and key 11 from before it was not cut with it",
        ],
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
