//! Every call but issuing, under the policies that the project ships.

use std::sync::Arc;

use super::world::*;
use crate::model::{Closing, CredentialId, CredentialKind, DenialCode, Position, Subjects};
use crate::policy::{Action, Resource, Role};

const STRANGER: &str = "spiffe://example.org/nobody";

fn check(world: &World, caller: &str, action: Action, resource: &Resource, expected: Result<(), DenialCode>) {
    let answer = world.authorise(&SHIPPED, caller, action, resource).map_err(|denial| denial.code);
    assert_eq!(answer, expected, "{caller} {action} {resource:?}");
}

const DENIED: Result<(), DenialCode> = Err(DenialCode::PolicyDenied);

fn credential(world: &World, workload: Position) -> Resource {
    let subjects = Subjects { owner: world.payments, workload, environment: world.production, task: None, lineage: None };
    Resource::Credential { id: CredentialId::new(Position::new(77), [1; 8]), kind: CredentialKind::AccessToken, subjects }
}

/// An example of what each action is done to.
fn resource(world: &mut World, action: Action) -> Resource {
    match action {
        Action::IssueToken | Action::RevokeDownstream | Action::ReinstateDownstream => {
            Resource::Downstream(Arc::clone(&world.facts.downstream(&a("api")).expect("recorded").record))
        }
        Action::IssueCertificate | Action::RevokeEnvironment | Action::ReinstateEnvironment => Resource::Environment(world.production),
        Action::OpenTask | Action::CloseTask | Action::ReadTask | Action::RevokeTask => {
            let number = world.task(|_| {});
            Resource::from(world.facts.task(number).expect("open"))
        }
        Action::ReadCredential | Action::RevokeCredential => credential(world, world.invoicer),
        Action::ReadOwner
        | Action::PreviewRevocation
        | Action::RevokeOwner
        | Action::ReinstateOwner
        | Action::MoveWorkload
        | Action::AcceptWorkload => Resource::Owner(world.payments),
        Action::RevokeWorkload
        | Action::ReinstateWorkload
        | Action::ExplainPolicy
        | Action::RequestException
        | Action::ApproveException
        | Action::RevokeException
        | Action::ReadException => Resource::Workload(world.invoicer),
        Action::ReadList
        | Action::ReadFollowers
        | Action::ReadRegistry
        | Action::ApplyRegistry
        | Action::ReadLedger
        | Action::CheckPolicy
        | Action::ApplyPolicy
        | Action::ReadKeys
        | Action::RotateKey
        | Action::RevokeKey
        | Action::ReadSource
        | Action::ConfirmSource
        | Action::Reconcile
        | Action::ReadFinding
        | Action::ResolveFinding
        | Action::WaiveFinding => Resource::System,
    }
}

#[test]
fn an_action_concerns_what_the_schema_lets_it_be_done_to() {
    let mut world = World::new();
    let all: Vec<_> = Action::ALL.iter().map(|action| resource(&mut world, *action)).collect();
    for action in Action::ALL.iter().copied().filter(|action| !action.issues()) {
        for resource in &all {
            // An administrator may do everything that is a question at all.
            let expected = if action.concerns(resource) { Ok(()) } else { Err(DenialCode::PolicyError) };
            check(&world, ADMINISTRATOR, action, resource, expected);
        }
    }
}

#[test]
fn a_refusal_says_which_policy_refuses() {
    let world = World::new();
    let text = r#"@id("b") forbid (principal, action == Curfew::Action::"ReadLedger", resource);
        @id("a") forbid (principal, action == Curfew::Action::"ReadLedger", resource);"#;
    let refused = |action| world.authorise(&engine(text), ADMINISTRATOR, action, &Resource::System).expect_err("refused").detail;
    assert_eq!(refused(Action::ReadLedger), "ReadLedger is forbidden here by `a`, `b`");
    assert_eq!(refused(Action::ReadList), "no policy permits ReadList here");
}

#[test]
fn an_action_is_named_in_its_own_word_alone() {
    for action in Action::ALL {
        assert_eq!(action.to_string().parse::<Action>().as_ref(), Ok(action));
    }
    assert!("readledger".parse::<Action>().is_err());
}

#[test]
fn an_administrator_does_everything_but_be_issued_to() {
    let mut world = World::new();
    for action in Action::ALL.iter().copied().filter(|action| !action.issues()) {
        let resource = resource(&mut world, action);
        check(&world, ADMINISTRATOR, action, &resource, Ok(()));
    }
}

#[test]
fn a_workload_does_what_concerns_itself_and_nothing_else() {
    let allowed = [
        Action::OpenTask,
        Action::CloseTask,
        Action::ReadTask,
        Action::ReadCredential,
        Action::RevokeCredential,
        Action::ReadList,
        Action::ExplainPolicy,
        Action::RequestException,
        Action::ReadException,
    ];
    let mut world = World::new();
    for action in Action::ALL.iter().copied().filter(|action| !action.issues()) {
        let resource = resource(&mut world, action);
        check(&world, INVOICER, action, &resource, if allowed.contains(&action) { Ok(()) } else { DENIED });
    }
    check(&world, REPORTER, Action::ReadCredential, &credential(&world, world.invoicer), DENIED);
    check(&world, SCANNER, Action::RevokeCredential, &credential(&world, world.invoicer), DENIED);
    check(&world, REPORTER, Action::ExplainPolicy, &Resource::Workload(world.invoicer), DENIED);
    check(&world, REPORTER, Action::ExplainPolicy, &Resource::System, DENIED);
    check(&world, REPORTER, Action::RequestException, &Resource::Workload(world.invoicer), DENIED);
    check(&world, REPORTER, Action::ReadException, &Resource::System, DENIED);
    check(&world, INVOICER, Action::ReadTask, &Resource::Owner(world.payments), Ok(()));
    check(&world, INVOICER, Action::ReadTask, &Resource::Owner(world.acme), DENIED);
    check(&world, INVOICER, Action::ReadTask, &Resource::System, DENIED);
}

#[test]
fn tasks_are_opened_and_closed_within_the_own_owner_and_environments_only() {
    let world = World::new();
    let (acme, staging) = (world.acme, world.staging);
    let of = |owner, environment| {
        Resource::new_task(world.planned(|task| {
            task.owner = owner;
            task.environment = environment;
        }))
    };
    for action in [Action::OpenTask, Action::CloseTask] {
        check(&world, REPORTER, action, &of(world.payments, staging), Ok(()));
        check(&world, SCANNER, action, &of(world.payments, world.production), DENIED);
        check(&world, SCANNER, action, &of(acme, world.production), Ok(()));
        check(&world, SCANNER, action, &of(acme, staging), DENIED);
    }
}

#[test]
fn a_verifier_follows_the_list_and_a_stranger_does_not() {
    let mut world = World::new();
    for action in Action::ALL.iter().copied().filter(|action| !action.issues()) {
        let resource = resource(&mut world, action);
        // An action that the schema does not offer a verifier is no question at all.
        let answer = world.authorise(&SHIPPED, VERIFIER, action, &resource);
        assert_eq!(answer.is_ok(), action == Action::ReadList, "{action}");
        check(&world, STRANGER, action, &resource, Err(DenialCode::IdentityUnknown));
    }
}

#[test]
fn a_closed_workload_follows_the_list_and_does_nothing_else() {
    for closing in [Closing::Suspend, Closing::Unregister] {
        let mut world = World::new();
        world.cut(world.invoicer, closing);
        check(&world, INVOICER, Action::ReadCredential, &credential(&world, world.invoicer), Err(DenialCode::WorkloadNotActive));
        check(&world, INVOICER, Action::ReadList, &Resource::System, Ok(()));
        world.cut(world.payments, closing);
        check(&world, REPORTER, Action::ReadCredential, &credential(&world, world.reporter), Err(DenialCode::OwnerNotActive));
        check(&world, REPORTER, Action::ReadList, &Resource::System, Ok(()));
    }
}

#[test]
fn issuing_is_never_authorised_without_a_decision() {
    let mut world = World::new();
    for action in [Action::IssueToken, Action::IssueCertificate] {
        let resource = resource(&mut world, action);
        check(&world, INVOICER, action, &resource, Err(DenialCode::PolicyError));
        assert!(world.authorise(&SHIPPED, ADMINISTRATOR, action, &resource).is_err());
    }
}

#[test]
fn a_resource_that_is_in_no_record_is_refused_as_an_error() {
    let world = World::new();
    check(&world, ADMINISTRATOR, Action::RevokeOwner, &Resource::Owner(Position::new(99)), Err(DenialCode::PolicyError));
}

#[test]
fn a_role_is_the_first_that_fits() {
    let mut world = World::new();
    let role = |world: &World, id| world.role(&from_outside(id));
    assert_eq!(role(&world, ADMINISTRATOR), Role::Administrator(a(ADMINISTRATOR)));
    assert_eq!(role(&world, INVOICER), Role::Workload(world.invoicer));
    assert_eq!(role(&world, VERIFIER), Role::Verifier(a(VERIFIER)));
    assert_eq!(role(&world, STRANGER), Role::Unknown);
    let (payments, production) = (world.payments, world.production);
    world.workload(ADMINISTRATOR, payments, &[production]);
    let number = world.workload(VERIFIER, payments, &[production]);
    assert_eq!(role(&world, ADMINISTRATOR), Role::Administrator(a(ADMINISTRATOR)), "a registry takes no administrator away");
    assert_eq!(role(&world, VERIFIER), Role::Workload(number));
}
