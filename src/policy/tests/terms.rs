//! On what terms something is granted, and what a grant says.

use std::time::Duration;

use super::case::*;
use super::world::*;
use crate::model::{Bound, Closing, CredentialKind, DenialCode, Event, OwnerKind, Position, Recording, Subjects, Timestamp};
use crate::policy::{Grant, ServerCertificate};

const BEARER: &str = r#"@bearer("allowed") permit (principal, action == Curfew::Action::"IssueToken", resource);"#;

#[test]
fn a_bearer_token_needs_the_consent_of_every_permit_and_is_bound_to_nothing() {
    let bearer = |case: &mut Case| case.request.bearer = true;
    let grant = check(BEARER, bearer, Ok(())).expect("checked");
    assert_eq!(grant.issued().confirmation, None);
    refused(bearer, DenialCode::BearerNotAllowed);
    check(&format!("{BEARER}{PERMIT_ISSUING}"), bearer, Err(DenialCode::BearerNotAllowed));
}

#[test]
fn a_bearer_token_is_not_bounded_by_the_client_certificate_and_a_bound_one_is() {
    let soon = Timestamp::from_seconds(NOW.seconds() + 10);
    let short = |case: &mut Case| case.caller.expires_at = soon;
    assert_eq!(granted(short).issued().bound_by, Bound::ClientCertificate);
    let bearer = |case: &mut Case| {
        short(case);
        case.request.bearer = true;
    };
    assert_eq!(check(BEARER, bearer, Ok(())).expect("checked").issued().bound_by, Bound::Default);
    let certificate = |case: &mut Case| {
        case.request = certificate();
        short(case);
    };
    assert_eq!(granted(certificate).issued().bound_by, Bound::Default);
}

#[test]
fn a_life_that_nothing_is_left_of_is_refused_with_its_bound() {
    refused(|case| case.request.key_not_after = Some(NOW), DenialCode::NoLifeLeft);
    refused(
        |case| {
            case.world.cut(case.request.key, Closing::Nothing);
        },
        DenialCode::NoLifeLeft,
    );
    refused(
        |case| {
            let mut payments = owner("payments", OwnerKind::Vendor);
            payments.contract_end = Some(NOW);
            let number = Some(case.world.payments);
            case.world.apply(Event::OwnerRecorded(Recording { number, origin: None, record: payments }));
        },
        DenialCode::NoLifeLeft,
    );
    refused(
        |case| {
            let known = case.world.facts.workload_numbered(case.world.invoicer).expect("recorded");
            let mut record = (*known.record).clone();
            record.valid_until = Some(NOW);
            let number = Some(case.world.invoicer);
            case.world.apply(Event::WorkloadRecorded(Recording { number, origin: None, record }));
        },
        DenialCode::NoLifeLeft,
    );
}

#[test]
fn the_smallest_ceiling_of_the_permits_that_apply_holds() {
    let permit = |id: &str, ttl: &str, when: &str| {
        format!(r#"@id("{id}") @max_ttl("{ttl}") permit (principal, action == Curfew::Action::"IssueToken", resource) when {{ {when} }};"#)
    };
    let text = [permit("a", "4m", "true"), permit("b", "90s", "!context.bearer"), permit("c", "1s", "context.bearer")].concat();
    let grant = check(&text, |_| {}, Ok(())).expect("checked");
    assert_eq!(grant.issued().expires_at.since(NOW), Duration::from_secs(90));
    assert_eq!(grant.issued().bound_by, Bound::Policy);
    assert_eq!(grant.issued().policies, [a("a"), a("b")]);
}

#[test]
fn a_grant_says_what_was_asked_decided_and_on_which_facts() {
    let mut own = None;
    let mut fence = Position::ZERO;
    let grant = granted(|case| {
        case.with_own_certificate(None);
        own = case.caller.issued_here;
        fence = case.world.facts.changed();
        case.request.purpose = Some(a("nightly run"));
    });
    let own = own.expect("set");
    let world = World::new();
    assert_eq!((grant.spiffe_id().as_str(), grant.environment().as_str(), grant.fence()), (INVOICER, "production", fence));
    let issued = grant.issued();
    let lineage = Some(own.id.position());
    let subjects = Subjects { owner: world.payments, workload: world.invoicer, environment: world.production, task: None, lineage };
    assert_eq!((issued.subjects, issued.parent, issued.nonce), (subjects, Some(own.id), [0; 8]));
    assert_eq!((issued.issued_at, issued.kind, issued.key), (NOW, CredentialKind::AccessToken, Position::new(500)));
    assert_eq!((issued.confirmation, &issued.audience, &issued.scopes), (Some([3; 32]), &Some(a(API)), &vec![a("invoices:read")]));
    assert_eq!((&issued.downstreams, &issued.policies), (&vec![world.api], &vec![a("all")]));
    assert_eq!((issued.policy_hash, issued.purpose.as_ref()), (engine(PERMIT_ISSUING).text().hash, Some(&a("nightly run"))));
}

#[test]
fn a_certificate_holds_its_own_key_and_concerns_whoever_accepts_certificates_there() {
    let grant = granted(|case| case.request = certificate());
    let issued = grant.issued();
    assert_eq!((issued.confirmation, issued.subjects.lineage), (Some([4; 32]), None), "it begins a lineage");
    assert_eq!(issued.downstreams, [World::new().mesh]);
}

#[test]
fn the_broker_certifies_itself_under_its_own_number_within_the_life_of_its_key() {
    let world = World::new();
    let server = ServerCertificate {
        spiffe_id: a("spiffe://example.org/curfew"),
        environment: a("curfew"),
        public_key_hash: [5; 32],
        key: Position::new(2),
        key_not_after: Some(Timestamp::from_seconds(NOW.seconds() + 60)),
        ttl: None,
    };
    let grant = Grant::own_certificate(server.clone(), &world.facts, NOW).expect("a minute is left");
    let broker = Position::BROKER;
    let subjects = Subjects { owner: broker, workload: broker, environment: broker, task: None, lineage: None };
    assert_eq!((grant.issued().subjects, grant.issued().bound_by), (subjects, Bound::SigningKey));
    assert_eq!((grant.issued().confirmation, grant.fence()), (Some([5; 32]), world.facts.changed()));
    let ended = ServerCertificate { key_not_after: Some(NOW), ..server };
    assert_eq!(Grant::own_certificate(ended, &world.facts, NOW).map_err(|denial| denial.code), Err(DenialCode::NoLifeLeft));
}
