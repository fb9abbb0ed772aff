//! Each reason against issuing, in the order in which a request meets them.

use super::case::*;
use super::world::*;
use crate::model::MOST_DOWNSTREAMS;
use crate::model::{Bound, Closing, DenialCode, Event, Position};

#[test]
fn a_dead_certificate_gets_nothing_by_whatever_it_died_of() {
    let subjects: [fn(&Case) -> Position; 5] = [
        |case| case.world.payments,
        |case| case.world.invoicer,
        |case| case.world.production,
        |case| case.caller.issued_here.map(|own| own.id.position()).unwrap_or_default(),
        |case| case.caller.issued_here.map(|own| own.key).unwrap_or_default(),
    ];
    for subject in subjects {
        let cut = |case: &mut Case| {
            case.with_own_certificate(None);
            let number = subject(case);
            case.world.cut(number, Closing::Nothing);
        };
        refused(cut, DenialCode::CertificateRevoked);
    }
}

#[test]
fn a_certificate_issued_after_the_cut_is_alive_unless_its_key_was_cut() {
    granted(|case| {
        let number = case.world.payments;
        case.world.cut(number, Closing::Nothing);
        case.with_own_certificate(None);
    });
    refused(
        |case| {
            case.world.cut(Position::new(500), Closing::Nothing);
            case.with_own_certificate(None);
        },
        DenialCode::CertificateRevoked,
    );
}

#[test]
fn a_renewed_certificate_dies_with_the_first_of_its_chain() {
    refused(
        |case| {
            let first = case.world.own_certificate(None);
            let mut renewed = case.world.own_certificate(None);
            renewed.subjects = first.subjects.inherited(first.id.position());
            case.caller.issued_here = Some(renewed);
            case.world.cut(first.id.position(), Closing::Nothing);
        },
        DenialCode::CertificateRevoked,
    );
}

#[test]
fn an_expired_certificate_gets_nothing_on_an_open_connection() {
    refused(|case| case.caller.expires_at = NOW, DenialCode::CertificateExpired);
}

#[test]
fn only_a_workload_gets_anything() {
    refused(|case| case.caller = from_outside("spiffe://example.org/nobody"), DenialCode::IdentityUnknown);
    refused(|case| case.caller = from_outside(ADMINISTRATOR), DenialCode::PolicyDenied);
    refused(|case| case.caller = from_outside(VERIFIER), DenialCode::PolicyDenied);
}

#[test]
fn what_is_closed_or_unregistered_is_issued_nothing_until_it_is_back() {
    let closings = [Closing::Suspend, Closing::Offboard, Closing::Unregister];
    for closing in closings {
        for (subject, code) in [
            ((|world| world.invoicer) as fn(&World) -> Position, DenialCode::WorkloadNotActive),
            (|world| world.payments, DenialCode::OwnerNotActive),
            (|world| world.production, DenialCode::EnvironmentNotActive),
        ] {
            let close = |case: &mut Case| {
                let number = subject(&case.world);
                case.world.cut(number, closing);
            };
            refused(close, code);
        }
    }
    for closing in [Closing::Suspend, Closing::Offboard] {
        let close = |case: &mut Case| {
            let number = case.world.api;
            case.world.cut(number, closing);
        };
        refused(close, DenialCode::DownstreamNotActive);
    }
    for subject in [(|world| world.payments) as fn(&World) -> Position, |world| world.api] {
        granted(|case| {
            let number = subject(&case.world);
            case.world.cut(number, Closing::Suspend);
            case.world.apply(Event::Reinstated { number, note: None });
        });
    }
}

#[test]
fn a_downstream_that_is_suspended_closes_its_audiences_for_all_that_share_them_and_nothing_else() {
    let suspend = |case: &mut Case| {
        let number = case.world.billing;
        case.world.cut(number, Closing::Suspend);
    };
    granted(suspend);
    refused(
        |case| {
            suspend(case);
            case.request.audience = Some(a(SHARED));
        },
        DenialCode::DownstreamNotActive,
    );
    granted(|case| {
        suspend(case);
        case.request = certificate();
    });
}

#[test]
fn an_environment_must_be_known_and_allowed_by_the_registry() {
    refused(|case| case.request.environment = a("qa"), DenialCode::EnvironmentUnknown);
    refused(
        |case| {
            case.caller = from_outside(SCANNER);
            case.request.environment = a("staging");
        },
        DenialCode::EnvironmentNotAllowed,
    );
}

#[test]
fn nothing_leaves_the_lineage_of_the_certificate_that_it_is_obtained_with() {
    refused(
        |case| {
            case.with_own_certificate(None);
            case.request.environment = a("staging");
        },
        DenialCode::OutsideLineage,
    );
    refused(
        |case| {
            case.with_own_certificate(None);
            case.caller.spiffe_id = a(REPORTER);
        },
        DenialCode::OutsideLineage,
    );
    refused(
        |case| {
            let (one, other) = (case.world.task(|_| {}), case.world.task(|_| {}));
            case.with_own_certificate(Some(one));
            case.request.task = Some(other);
        },
        DenialCode::OutsideLineage,
    );
    // The cut that the move makes would end the certificate anyway; without it the records say so.
    refused(
        |case| {
            case.with_own_certificate(None);
            let (acme, production) = (case.world.acme, case.world.production);
            case.world.workload(INVOICER, acme, &[production]);
        },
        DenialCode::OutsideLineage,
    );
}

#[test]
fn a_task_is_inherited_and_may_be_added() {
    let mut task = Position::ZERO;
    let inherited = granted(|case| {
        task = case.world.task(|_| {});
        case.with_own_certificate(Some(task));
    });
    assert_eq!(inherited.issued().subjects.task, Some(task));
    let added = granted(|case| {
        task = case.world.task(|_| {});
        case.with_own_certificate(None);
        case.request.task = Some(task);
    });
    assert_eq!(added.issued().subjects.task, Some(task));
    assert_eq!(added.issued().bound_by, Bound::Task);
}

#[test]
fn a_task_must_be_open_and_the_callers_own() {
    refused(|case| case.request.task = Some(Position::new(99)), DenialCode::TaskUnknown);
    refused(
        |case| {
            let task = case.world.task(|_| {});
            case.world.cut(task, Closing::CloseTask);
            case.request.task = Some(task);
        },
        DenialCode::TaskClosed,
    );
    refused(|case| case.request.task = Some(case.world.task(|task| task.deadline = NOW)), DenialCode::TaskClosed);
    let (acme, staging, reporter) = (World::new().acme, World::new().staging, World::new().reporter);
    refused(|case| case.request.task = Some(case.world.task(|task| task.owner = acme)), DenialCode::TaskNotAllowed);
    refused(|case| case.request.task = Some(case.world.task(|task| task.environment = staging)), DenialCode::TaskNotAllowed);
    refused(|case| case.request.task = Some(case.world.task(|task| task.workload = Some(reporter))), DenialCode::TaskNotAllowed);
}

#[test]
fn an_inherited_task_that_ended_ends_issuing() {
    refused(
        |case| {
            let task = case.world.task(|task| task.deadline = NOW);
            case.with_own_certificate(Some(task));
        },
        DenialCode::TaskClosed,
    );
}

#[test]
fn an_audience_must_be_declared_where_the_token_will_be_used() {
    refused(|case| case.request.audience = Some(a("https://API.example")), DenialCode::AudienceUnknown);
    refused(|case| case.request.audience = None, DenialCode::AudienceUnknown);
    refused(
        |case| {
            let (api, billing) = (case.world.api, case.world.billing);
            case.world.apply(Event::DownstreamRemoved { number: api });
            case.world.apply(Event::DownstreamRemoved { number: billing });
        },
        DenialCode::AudienceUnknown,
    );
}

#[test]
fn a_token_carries_the_number_of_each_downstream_and_one_that_could_not_is_refused() {
    let declare = |case: &mut Case, count: usize| {
        for number in 0..count {
            let environments = [case.world.production];
            case.world.downstream(&format!("more-{number}"), &[API], &environments);
        }
    };
    let issued = granted(|case| declare(case, MOST_DOWNSTREAMS - 1)).issued;
    assert_eq!(issued.further().len(), MOST_DOWNSTREAMS);
    refused(|case| declare(case, MOST_DOWNSTREAMS), DenialCode::AudienceTooWide);
}

#[test]
fn without_a_permit_nothing_is_granted_and_a_forbid_wins() {
    let some = r#"permit (principal, action == Curfew::Action::"IssueCertificate", resource);"#;
    check(some, |_| {}, Err(DenialCode::PolicyDenied));
    let both = format!(r#"{PERMIT_ISSUING} @id("no") forbid (principal, action, resource);"#);
    check(&both, |_| {}, Err(DenialCode::PolicyDenied));
    check(&both, |case| case.request = certificate(), Err(DenialCode::PolicyDenied));
}

#[test]
fn every_downstream_that_declares_the_audience_must_be_allowed() {
    let shared = |case: &mut Case| case.request.audience = Some(a(SHARED));
    let one = r#"permit (principal, action == Curfew::Action::"IssueToken", resource == Curfew::Downstream::"api");"#;
    check(one, |_| {}, Ok(()));
    check(one, shared, Err(DenialCode::PolicyDenied));
    let grant = granted(shared);
    let world = World::new();
    assert_eq!(grant.issued().downstreams, [world.api, world.billing]);
}

#[test]
fn a_policy_that_fails_refuses_even_where_others_permit_and_is_counted() {
    let failing = format!("{PERMIT_ISSUING} @id(\"bad\") forbid (principal, action, resource) when {{ 9223372036854775807 + 1 == 0 }};");
    let engine = engine(&failing);
    let (world, caller) = (World::new(), from_outside(INVOICER));
    for count in 1..3 {
        let denial = world.decide(&engine, &caller, &token()).expect_err("a policy fails");
        assert_eq!(denial.code, DenialCode::PolicyError);
        assert!(denial.detail.contains("`bad`"), "{denial}");
        assert_eq!(engine.evaluation_errors(), count, "an error is not remembered");
    }
}

#[test]
fn policies_see_what_the_schema_promises() {
    let seen = r#"
        permit (principal, action == Curfew::Action::"IssueToken", resource) when {
            principal == Curfew::Workload::"spiffe://example.org/payments/invoicer" && principal in Curfew::Owner::"payments" &&
            principal.spiffe_id == "spiffe://example.org/payments/invoicer" && principal.path == "/payments/invoicer" &&
            principal.owner.id == "payments" && principal.owner.kind == Curfew::OwnerKind::"team" &&
            principal.environments.contains(context.environment) &&
            resource == Curfew::Downstream::"api" && resource.name == "api" && resource.audiences.contains("https://api.example") &&
            resource.environments.contains(Curfew::Environment::"staging") && resource.verifier_kind == Curfew::VerifierKind::"follower" &&
            context.environment == Curfew::Environment::"production" && context.environment.name == "production" &&
            context.audience == "https://api.example" && context.scopes == ["invoices:read"] &&
            context.kind == Curfew::CredentialKind::"access-token" && !context.bearer && context.obtained_with == Curfew::Identity::"outside" &&
            context has task && context.task.owner == principal.owner && context.task.environment == context.environment &&
            context.task has workload && context.task.workload.owner.kind == Curfew::OwnerKind::"team" &&
            context.task.opened_by == principal.spiffe_id
        };
        permit (principal, action == Curfew::Action::"IssueCertificate", resource) when {
            context.obtained_with == Curfew::Identity::"certificate" && resource == context.environment && !(context has task) &&
            context.kind == Curfew::CredentialKind::"certificate"
        };"#;
    let with_task = |case: &mut Case| {
        let only = case.world.invoicer;
        case.request.task = Some(case.world.task(|task| task.workload = Some(only)));
    };
    check(seen, with_task, Ok(()));
    check(seen, |_| {}, Err(DenialCode::PolicyDenied));
    let with_certificate = |case: &mut Case| {
        case.request = certificate();
        case.with_own_certificate(None);
    };
    check(seen, with_certificate, Ok(()));
    check(seen, |case| case.request = certificate(), Err(DenialCode::PolicyDenied));
}
