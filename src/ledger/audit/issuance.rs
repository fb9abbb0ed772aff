//! What an issuance must stand on, and how long it may live.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Audit;
use crate::model::{
    CredentialId, CredentialKind, Entry, Event, Facts, Issued, KeyPurpose, Known, KnownKey, KnownTask, PolicyName, Position, Subjects,
};

/// What is wrong with an issuance, on what was right before it.
pub(super) fn wrong(issued: &Issued, before: &Audit, find: &impl Fn(Position) -> Option<Entry>) -> Vec<String> {
    let facts = &before.facts;
    let mut wrong = closed_to(issued, facts);
    if let Some(ceilings) = before.policies.as_ref().filter(|_| !is_own(issued)) {
        wrong.extend(unpermitted(issued, ceilings));
    }
    wrong.extend(outlived(issued, facts));
    wrong.extend(misfits(issued, facts).into_iter().map(str::to_owned));
    if let Some(id) = issued.parent {
        wrong.extend(disinherited(issued, id, find(id.position()), facts).map(str::to_owned));
    }
    wrong
}

/// The broker's own certificates stand on nothing.
fn is_own(issued: &Issued) -> bool {
    issued.subjects.owner == Position::BROKER
}

/// What it stood on that was closed, cut or unknown.
fn closed_to(issued: &Issued, facts: &Facts) -> Vec<String> {
    let Subjects { owner, workload, environment, task, lineage } = issued.subjects;
    let parent = issued.parent.map(CredentialId::position);
    let mut wrong = Vec::new();
    let mut stand = |kind: &str, number: Position, open: Option<bool>| match open {
        Some(true) => {}
        Some(false) => wrong.push(format!("was issued under {kind} {number}, which was closed")),
        None => wrong.push(format!("was issued under {kind} {number}, which was unknown or long closed")),
    };
    if !is_own(issued) {
        stand("owner", owner, facts.owner_numbered(owner).map(Known::is_open));
        stand("workload", workload, facts.workload_numbered(workload).map(Known::is_open));
        stand("environment", environment, facts.environment_numbered(environment).map(Known::is_open));
    }
    if let Some(task) = task {
        stand("task", task, facts.task(task).map(|task| task.closed.is_none()));
    }
    if let Some(number) = issued.exception {
        stand("exception", number, facts.exceptions().get(number).map(|known| known.approved.is_some() && known.ended.is_none()));
    }
    for through in [lineage, parent].into_iter().flatten() {
        stand("certificate", through, Some(facts.cuts().get(through).is_none()));
    }
    // One that is unknown is no downstream that it concerned.
    for number in issued.own_downstreams() {
        stand("downstream", *number, Some(facts.downstream_numbered(*number).is_none_or(Known::is_open)));
    }
    let key = facts.signing_keys().get(issued.key);
    stand("key", issued.key, key.map(|key| key.lives() && facts.cuts().get(issued.key).is_none()));
    if facts.workload_numbered(workload).is_some_and(|known| known.record.owner != owner) {
        wrong.push(format!("was issued under owner {owner}, which did not own workload {workload}"));
    }
    if parent.is_none() && lineage.is_some() {
        wrong.push("has a lineage and was obtained with nothing".to_owned());
    }
    wrong
}

/// What it outlives that must bound it.
fn outlived(issued: &Issued, facts: &Facts) -> Option<String> {
    let subjects = &issued.subjects;
    let key = facts.signing_keys().get(issued.key);
    let bounds = [
        ("the longest life of its kind", Some(issued.issued_at.plus(issued.kind.longest_life()))),
        ("its task", subjects.task.and_then(|task| facts.task(task)).map(|task| task.record.deadline)),
        ("its workload", facts.workload_numbered(subjects.workload).and_then(|known| known.record.valid_until)),
        ("the contract of its owner", facts.owner_numbered(subjects.owner).and_then(|known| facts.contract_end(known))),
        ("its signing key", key.and_then(KnownKey::ends)),
        ("its exception", issued.exception.and_then(|number| facts.exceptions().get(number)).map(|known| known.record.until)),
    ];
    if issued.expires_at <= issued.issued_at {
        return Some("was issued without any life".to_owned());
    }
    let outlived = bounds.into_iter().find(|(_, end)| end.is_some_and(|end| end < issued.expires_at));
    outlived.map(|(what, _)| format!("outlives {what}"))
}

/// What is wrong with the policies that it names as those that allowed it.
fn unpermitted(issued: &Issued, ceilings: &BTreeMap<PolicyName, Option<Duration>>) -> Option<String> {
    if let Some(name) = issued.policies.iter().find(|name| !ceilings.contains_key(*name)) {
        return Some(format!("was allowed by policy `{name}`, which was not in force"));
    }
    if issued.policies.is_empty() && issued.exception.is_none() {
        return Some("was allowed by no policy and no exception".to_owned());
    }
    let ceiling = issued.policies.iter().filter_map(|name| ceilings.get(name).copied().flatten()).min();
    let outlived = ceiling.is_some_and(|ceiling| issued.issued_at.plus(ceiling) < issued.expires_at);
    outlived.then(|| "outlives the ceiling of a policy that allowed it".to_owned())
}

/// What of it does not fit together, or not what was recorded.
fn misfits(issued: &Issued, facts: &Facts) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    let mut unless = |fits: bool, what: &'static str| {
        if !fits {
            wrong.push(what);
        }
    };
    let certificate = issued.kind == CredentialKind::Certificate;
    let purpose = if certificate { KeyPurpose::Issuer } else { KeyPurpose::Token };
    let key = facts.signing_keys().get(issued.key);
    unless(key.is_none_or(|key| key.record.purpose == purpose), "was signed by a key that signs something else");
    unless(certificate == issued.audience.is_none(), "must have an audience if it is a token, and none if it is a certificate");
    unless(issued.scopes.is_empty() || issued.kind == CredentialKind::AccessToken, "has scopes and is no access token");
    if is_own(issued) {
        return wrong;
    }
    let Subjects { workload, environment, task, .. } = issued.subjects;
    let may_act = facts.workload_numbered(workload).is_none_or(|known| known.record.environments.contains(&environment));
    unless(may_act, "was issued in an environment in which its workload may not act");
    unless(task.and_then(|task| facts.task(task)).is_none_or(|task| fits(task, issued)), "was issued under a task of somebody else");
    let exception = issued.exception.and_then(|number| facts.exceptions().get(number));
    // What is obtained with a certificate that was issued by one is not all that it was for.
    let covered = exception.is_none_or(|known| {
        let record = &known.record;
        record.workload == workload && (issued.parent.is_some() || record.covers(environment, issued.audience.as_ref(), &issued.scopes))
    });
    unless(covered, "was issued by an exception for something else");
    let policy = facts.policy().map(|(_, text)| text.hash);
    unless(policy == Some(issued.policy_hash), "was issued under another policy than the one in force");
    let concerned: Vec<Position> = match &issued.audience {
        Some(audience) => facts.accepting_tokens(environment, audience).map(|known| known.number).collect(),
        None => facts.accepting_certificates(environment).map(|known| known.number).collect(),
    };
    unless(concerned == issued.downstreams, "does not name the downstreams that it concerned");
    unless(certificate || !concerned.is_empty(), "was issued for an audience that no downstream had");
    wrong
}

fn fits(task: &KnownTask, issued: &Issued) -> bool {
    let Subjects { owner, workload, environment, .. } = issued.subjects;
    let record = &task.record;
    record.owner == owner && record.environment == environment && record.workload.is_none_or(|only| only == workload)
}

/// What is wrong with what was obtained with the credential `id` of ours.
fn disinherited(issued: &Issued, id: CredentialId, found: Option<Entry>, facts: &Facts) -> Option<&'static str> {
    let Some(Event::CredentialIssued(parent)) = found.map(|entry| entry.event) else {
        return Some("was obtained with something that is no credential");
    };
    let inherited = parent.subjects.inherited(id.position());
    let adds_task = Subjects { task: inherited.task.or(issued.subjects.task), ..inherited };
    let bound = issued.kind != CredentialKind::Certificate && issued.confirmation.is_some();
    // A cut of the certificate itself is found with what it was issued under.
    let others = parent.numbers(id.position()).filter(|number| Some(*number) != parent.subjects.lineage && *number != id.position());
    let dead = facts.cuts().killer(id.position(), others).is_some() || facts.cuts().get(parent.key).is_some();
    if parent.nonce != id.nonce() || parent.kind != CredentialKind::Certificate {
        Some("was obtained with a certificate that was never issued")
    } else if parent.expires_at <= issued.issued_at {
        Some("was obtained with a certificate that had expired")
    } else if dead {
        Some("was obtained with a certificate that was dead")
    } else if parent.exception.is_some() && parent.exception != issued.exception {
        Some("left the exception of the certificate it was obtained with")
    } else if adds_task != issued.subjects {
        Some("left the subjects of the certificate it was obtained with")
    } else if bound && parent.expires_at < issued.expires_at {
        Some("outlives the certificate that it is bound to")
    } else {
        None
    }
}
