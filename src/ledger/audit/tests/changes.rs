//! Changes that could not be.

use super::*;

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
fn a_finding_about_another_is_about_one_that_is_open() {
    for resolved in [false, true] {
        let mut written = Written::new();
        let raised = written.push(Event::FindingRaised(Box::new(finding(About::Subject(written.world.downstream)))));
        if resolved {
            written.push(Event::FindingChanged { number: raised, change: FindingChange::Resolved, note: None });
        }
        written.push(Event::FindingRaised(Box::new(finding(About::Finding(raised)))));
        let told = format!("is a finding about finding {raised}, which was not open");
        assert_eq!(written.problems(), if resolved { vec![told] } else { Vec::new() });
    }
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
    let of_source = |number: u64| Event::SourceEnded { source: "teams".parse().expect("a name"), records: vec![at(5), at(number)] };
    check(|written| written.push(of_source(8)), &[]);
    check(|written| written.push(of_source(777)), &["ended record 777, which was not there"]);
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
