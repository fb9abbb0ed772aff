//! What was remembered is not mistaken for the answer to another question.

use super::world::*;
use crate::model::{Audience, CredentialKind, DenialCode, Event, OwnerKind, Position, Recording, Scope};
use crate::policy::cache::{Circumstances, DecisionCache, Refusal, Seen, Shape, Terms, Verdict};
use crate::policy::{Caller, IssueRequest};
use std::sync::Arc;

/// A token is permitted while `condition` holds; `change` makes it false, which must be seen.
fn check(condition: &str, change: impl FnOnce(&mut World, &mut Caller, &mut IssueRequest)) {
    let permit = format!(r#"permit (principal, action == Curfew::Action::"IssueToken", resource) when {{ {condition} }};"#);
    let (engine, mut world, mut caller, mut request) = (engine(&permit), World::new(), from_outside(INVOICER), token());
    assert!(world.decide(&engine, &caller, &request).is_ok(), "{condition}");
    change(&mut world, &mut caller, &mut request);
    let decided = world.decide(&engine, &caller, &request).map_err(|denial| denial.code);
    assert_eq!(decided, Err(DenialCode::PolicyDenied), "{condition}");
}

#[test]
fn a_change_of_a_record_is_seen() {
    check(r#"principal.environments.contains(Curfew::Environment::"staging")"#, |world, _, _| {
        let (owner, production) = (world.payments, world.production);
        world.workload(INVOICER, owner, &[production]);
    });
    check(r#"principal.owner == Curfew::Owner::"payments""#, |world, _, _| {
        let (owner, production) = (world.acme, world.production);
        world.workload(INVOICER, owner, &[production]);
    });
    check(r#"principal.owner.kind == Curfew::OwnerKind::"team""#, |world, _, _| {
        let number = Some(world.payments);
        world.apply(Event::OwnerRecorded(Recording { number, origin: None, record: owner("payments", OwnerKind::Vendor) }));
    });
    check(&format!(r#"resource.audiences.contains("{SHARED}")"#), |world, _, _| {
        let production = world.production;
        world.downstream("api", &[API], &[production]);
    });
    check(r#"resource == Curfew::Downstream::"api""#, |world, _, _| {
        let production = world.production;
        world.downstream("second", &[API], &[production]);
    });
}

#[test]
fn another_request_is_another_question() {
    check(r#"principal.path == "/payments/invoicer""#, |_, caller, _| *caller = from_outside(REPORTER));
    check(r#"context.obtained_with == Curfew::Identity::"outside""#, |world, caller, _| {
        caller.issued_here = Some(world.own_certificate(None));
    });
    check(r#"context.environment == Curfew::Environment::"production""#, |_, _, request| request.environment = a("staging"));
    check(&format!(r#"context.audience == "{API}""#), |_, _, request| request.audience = Some(a(SHARED)));
    check(r#"context.scopes == ["invoices:read"]"#, |_, _, request| request.scopes.push(a("invoices:write")));
    check(r#"context.kind == Curfew::CredentialKind::"access-token""#, |_, _, request| request.kind = CredentialKind::JwtSvid);
    check("!context.bearer", |_, _, request| request.bearer = true);
    check("!(context has task)", |world, _, request| request.task = Some(world.task(|_| {})));
}

#[test]
fn it_holds_no_more_than_it_may_and_forgets_rather_than_confuse() {
    let seen = |number| Seen { number: Position::new(number), changed: Position::ZERO };
    let circumstances = |task| Circumstances {
        kind: CredentialKind::AccessToken,
        bearer: false,
        outside: true,
        owner: seen(1),
        workload: seen(2),
        environment: seen(3),
        downstreams_changed: Position::ZERO,
        task: Some(Position::new(task)),
    };
    let (audience, scopes) = (a::<Audience>(API), [a::<Scope>("a")]);
    let shape = |task| Shape { circumstances: circumstances(task), audience: Some(&audience), scopes: &scopes };
    let terms = Terms { policies: Vec::new(), max_ttl: None, bearer: false, downstreams: Vec::new() };
    let refused = |task: u64| Verdict::Refused(Refusal { detail: task.to_string(), forbids: Vec::new(), permits: terms.clone() });
    let cache = DecisionCache::new(10);
    for task in 1..=25 {
        cache.put(&shape(task), &Arc::new(refused(task)));
        assert_eq!(cache.get(&shape(task)).as_deref(), Some(&refused(task)));
        let held = (1..=25).filter_map(|task| cache.get(&shape(task)).map(|verdict| (task, verdict))).collect::<Vec<_>>();
        assert_eq!(held.len() as u64, (task - 1) % 10 + 1, "when it is full, everything is forgotten");
        assert!(held.iter().all(|(task, verdict)| **verdict == refused(*task)));
    }
    assert_eq!(cache.get(&Shape { scopes: &[], ..shape(25) }), None);
    assert_eq!(cache.get(&Shape { audience: None, ..shape(25) }), None);
    let many: Vec<_> = (0..64).map(|number| a::<Scope>(&format!("{number:0128}"))).collect();
    let long = Shape { scopes: &many, ..shape(25) };
    cache.put(&long, &Arc::new(refused(25)));
    assert_eq!(cache.get(&long), None, "what takes much memory is not remembered");
    let three = Shape { scopes: &many[..3], ..shape(25) };
    cache.put(&three, &Arc::new(refused(25)));
    assert!(cache.get(&three).is_some());
    let none = DecisionCache::new(0);
    none.put(&shape(1), &Arc::new(refused(1)));
    assert_eq!(none.get(&shape(1)), None);
}
