//! Issuances that could not be.

use super::*;

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
