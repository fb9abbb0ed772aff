//! The decision to issue: who asks, under what, whether the policies allow it, and for how long.

use std::sync::Arc;

use super::cache::{Circumstances, Refusal, Seen, Shape, Terms, Verdict};
use super::cedar::{Answer, Issuing, Rule};
use super::engine::refusal;
use super::{Action, Caller, Engine, Grant, IssueRequest, OwnCertificate, Resource, Role};
use crate::model::{
    Bounds, CredentialKind, Denial, DenialCode, Downstream, Environment, EnvironmentName, Facts, Issued, Known, KnownTask,
    MOST_DOWNSTREAMS, NoLifeLeft, Owner, PolicyName, Position, Subjects, Timestamp, Workload,
};

/// Whether the certificate with which a caller comes is good still, on an open connection too.
///
/// # Errors
/// `CERTIFICATE_REVOKED` if it is one of ours and dead; `CERTIFICATE_EXPIRED`.
pub(crate) fn admit(caller: &Caller, facts: &Facts, now: Timestamp) -> Result<(), Denial> {
    if let Some(own) = &caller.issued_here {
        let position = own.id.position();
        let killer = facts.cuts().killer(position, own.numbers());
        // A thief of a key could write any position: a cut of a key reaches all that it signed.
        if let Some(cut) = killer.or_else(|| facts.cuts().get(own.key)) {
            let detail = format!("certificate {} is dead by the cut at position {}", own.id, cut.position);
            return Err(Denial::new(DenialCode::CertificateRevoked, detail));
        }
    }
    if caller.expires_at <= now {
        return Err(Denial::new(DenialCode::CertificateExpired, format!("the client certificate ended at {}", caller.expires_at)));
    }
    Ok(())
}

/// Whether a workload and its owner are open.
pub(super) fn open(workload: Position, facts: &Facts) -> Result<(), Denial> {
    Ground::party(workload, facts).map(|_| ())
}

/// What a decision came by, as far as it came.
#[derive(Debug, Default)]
pub(super) struct Weighed {
    /// What the policies said.
    pub(super) verdict: Option<Arc<Verdict>>,
    /// What bounds the life.
    pub(super) bounds: Option<Bounds>,
}

impl Engine {
    /// Decides a request to issue, on facts, at an instant.
    ///
    /// # Errors
    /// The first reason against it, in the order in which the module says that a request passes.
    pub(crate) fn decide(
        &self,
        role: &Role,
        caller: &Caller,
        request: &IssueRequest,
        facts: &Facts,
        now: Timestamp,
    ) -> Result<Grant, Denial> {
        self.weigh((role, caller), request, facts, now, &mut Weighed::default())
    }

    /// The same, and keeps what it came by.
    pub(super) fn weigh(
        &self,
        (role, caller): (&Role, &Caller),
        request: &IssueRequest,
        facts: &Facts,
        now: Timestamp,
        weighed: &mut Weighed,
    ) -> Result<Grant, Denial> {
        admit(caller, facts, now)?;
        let own = caller.issued_here.as_ref();
        let ground = Ground::find(role, own, request, facts, now)?;
        let verdict = weighed.verdict.insert(self.verdict(role, &ground, own.is_none(), request, facts)?);
        let (terms, exception) = match &**verdict {
            Verdict::Allowed(terms) => (terms, own.and_then(|own| own.exception)),
            Verdict::Refused(refusal) => {
                let excepted = ground.exception(own, request, facts, now).filter(|_| refusal.forbids.is_empty());
                let number = excepted.ok_or_else(|| Denial::new(DenialCode::PolicyDenied, &*refusal.detail))?;
                (&refusal.permits, Some(number))
            }
        };
        if request.bearer && !terms.bearer {
            return Err(Denial::new(DenialCode::BearerNotAllowed, "not every policy that allows this allows a bearer token"));
        }
        let certificate = request.kind == CredentialKind::Certificate;
        let bound = !certificate && !request.bearer;
        let bounds = Bounds {
            kind: request.kind,
            requested: request.ttl,
            policy: terms.max_ttl,
            task: ground.task.map(|task| task.record.deadline),
            workload: ground.workload.record.valid_until,
            contract: facts.contract_end(ground.owner),
            // A key that was cut signs nothing more.
            signing_key: facts.cuts().get(request.key).map_or(request.key_not_after, |_| Some(now)),
            client_certificate: bound.then_some(caller.expires_at),
            exception: exception.and_then(|number| facts.exceptions().get(number)).map(|known| known.record.until),
        };
        weighed.bounds = Some(bounds);
        let life = bounds.life(now).map_err(|NoLifeLeft(bound)| Denial::no_life_left(bound))?;
        let issued = Issued {
            kind: request.kind,
            subjects: ground.subjects(own),
            parent: own.map(|own| own.id),
            nonce: [0; 8],
            issued_at: life.issued_at,
            expires_at: life.expires_at,
            bound_by: life.bound_by,
            audience: request.audience.clone(),
            scopes: request.scopes.clone(),
            confirmation: if certificate { request.public_key_hash } else { bound.then_some(caller.fingerprint) },
            key: request.key,
            downstreams: terms.downstreams.clone(),
            policies: terms.policies.clone(),
            policy_hash: self.text().hash,
            purpose: request.purpose.clone(),
            exception,
            asked_from: caller.address,
        };
        let (spiffe_id, environment) = (ground.workload.record.spiffe_id.clone(), ground.environment.record.name.clone());
        Ok(Grant { issued, spiffe_id, environment, fence: facts.changed(), request_id: request.request_id.clone() })
    }

    /// What the policies say, now or remembered.
    fn verdict(
        &self,
        role: &Role,
        ground: &Ground<'_>,
        outside: bool,
        request: &IssueRequest,
        facts: &Facts,
    ) -> Result<Arc<Verdict>, Denial> {
        let shape = ground.shape(outside, request, facts);
        if let Some(known) = self.cache.get(&shape) {
            return Ok(known);
        }
        let environment = ground.environment;
        let (action, resources, downstreams) = if request.kind == CredentialKind::Certificate {
            let concerned = facts.accepting_certificates(environment.number).map(|known| known.number).collect();
            (Action::IssueCertificate, vec![Resource::Environment(environment.number)], concerned)
        } else {
            let accepting = request.audience.iter().flat_map(|audience| facts.accepting_tokens(environment.number, audience));
            // One that is closed would take what is meant for another of the same audience.
            let open = |known: &Known<Downstream>| {
                standing(known, DenialCode::DownstreamNotActive, || format!("downstream {}", known.record.name))?;
                Ok((Resource::Downstream(Arc::clone(&known.record)), known.number))
            };
            let (resources, concerned): (Vec<_>, Vec<_>) = accepting.map(open).collect::<Result<Vec<_>, Denial>>()?.into_iter().unzip();
            if resources.is_empty() {
                let detail = format!("no downstream in {} accepts tokens for this audience", environment.record.name);
                return Err(Denial::new(DenialCode::AudienceUnknown, detail));
            }
            if resources.len() > MOST_DOWNSTREAMS {
                let detail = format!("{} downstreams in {} accept tokens for this audience", resources.len(), environment.record.name);
                return Err(Denial::new(DenialCode::AudienceTooWide, detail));
            }
            (Action::IssueToken, resources, concerned)
        };
        let issuing = Issuing {
            environment: environment.number,
            kind: request.kind,
            audience: request.audience.as_ref(),
            scopes: &request.scopes,
            bearer: request.bearer,
            task: ground.task,
            outside,
        };
        let (mut allowing, mut forbidding): (Vec<&Rule>, Vec<&Rule>) = (Vec::new(), Vec::new());
        let mut refused = None;
        for resource in &resources {
            match self.ask(role, action, resource, Some(issuing), facts)? {
                Answer::Allowed(by) => allowing.extend(by),
                Answer::Refused(by) => {
                    refused = Some(refusal(action, &by));
                    forbidding.extend(by);
                }
            }
        }
        let verdict = Arc::new(match refused {
            None => Verdict::Allowed(Terms::of(&allowing, downstreams)),
            Some(detail) => Verdict::Refused(Refusal {
                detail,
                forbids: names(&forbidding),
                permits: Terms { bearer: false, ..Terms::of(&allowing, downstreams) },
            }),
        });
        self.cache.put(&shape, &verdict);
        Ok(verdict)
    }
}

/// The names of policies, sorted, each once.
pub(super) fn names(rules: &[&Rule]) -> Vec<PolicyName> {
    let mut names: Vec<_> = rules.iter().map(|rule| rule.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

impl Terms {
    fn of(allowing: &[&Rule], downstreams: Vec<Position>) -> Self {
        Self {
            policies: names(allowing),
            max_ttl: allowing.iter().filter_map(|rule| rule.annotations.max_ttl).min(),
            bearer: allowing.iter().all(|rule| rule.annotations.bearer),
            downstreams,
        }
    }
}

impl Role {
    /// The workload to which something may be issued.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn receives(&self) -> Result<Position, Denial> {
        match self {
            Self::Workload(number) => Ok(*number),
            Self::Unknown => Err(unknown()),
            Self::Administrator(_) | Self::Verifier(_) | Self::Source(_) => {
                Err(Denial::new(DenialCode::PolicyDenied, format!("nothing is issued to a {}, only to a workload", self.as_str())))
            }
        }
    }
}

/// What a credential would stand on: found, open, and fit for each other.
struct Ground<'a> {
    workload: &'a Known<Workload>,
    owner: &'a Known<Owner>,
    environment: &'a Known<Environment>,
    task: Option<&'a KnownTask>,
}

impl<'a> Ground<'a> {
    fn find(role: &Role, own: Option<&OwnCertificate>, request: &IssueRequest, facts: &'a Facts, now: Timestamp) -> Result<Self, Denial> {
        let number = role.receives()?;
        if let Some(own) = own {
            within(own, number, request, facts)?;
        }
        let (workload, owner) = Self::party(number, facts)?;
        let environment = Self::environment(&request.environment, workload, facts)?;
        let mut ground = Self { workload, owner, environment, task: None };
        if let Some(number) = request.task.or_else(|| own.and_then(|own| own.subjects.task)) {
            ground.task = Some(ground.find_task(number, facts, now)?);
        }
        Ok(ground)
    }

    /// The workload and its owner, if they are open.
    fn party(number: Position, facts: &'a Facts) -> Result<(&'a Known<Workload>, &'a Known<Owner>), Denial> {
        let workload = facts.workload_numbered(number).ok_or_else(unknown)?;
        let owner = facts.owner_numbered(workload.record.owner).ok_or_else(unknown)?;
        standing(workload, DenialCode::WorkloadNotActive, || format!("workload {}", workload.record.spiffe_id))?;
        standing(owner, DenialCode::OwnerNotActive, || format!("owner {}", owner.record.id))?;
        if let Some(moved) = workload.awaiting {
            let (id, owner) = (&workload.record.spiffe_id, &owner.record.id);
            let detail = format!("workload {id} was moved to owner {owner} at position {}, who has not accepted it", moved.at);
            return Err(Denial::new(DenialCode::WorkloadAwaitsOwner, detail));
        }
        Ok((workload, owner))
    }

    fn environment(name: &EnvironmentName, workload: &Known<Workload>, facts: &'a Facts) -> Result<&'a Known<Environment>, Denial> {
        let unknown = || Denial::new(DenialCode::EnvironmentUnknown, format!("there is no environment {name}"));
        let environment = facts.environment(name).ok_or_else(unknown)?;
        standing(environment, DenialCode::EnvironmentNotActive, || format!("environment {name}"))?;
        if !workload.record.environments.contains(&environment.number) {
            let detail = format!("workload {} may not act in {name}", workload.record.spiffe_id);
            return Err(Denial::new(DenialCode::EnvironmentNotAllowed, detail));
        }
        Ok(environment)
    }

    fn find_task(&self, number: Position, facts: &'a Facts, now: Timestamp) -> Result<&'a KnownTask, Denial> {
        let unknown = || Denial::new(DenialCode::TaskUnknown, format!("there is no open task {number}"));
        let task = facts.task(number).ok_or_else(unknown)?;
        if task.closed.is_some() || task.record.deadline <= now {
            return Err(Denial::new(DenialCode::TaskClosed, format!("task {number} has ended")));
        }
        let record = &task.record;
        let same = record.owner == self.owner.number
            && record.environment == self.environment.number
            && record.workload.is_none_or(|only| only == self.workload.number);
        if !same {
            let detail = format!("task {number} is of another owner, environment or workload");
            return Err(Denial::new(DenialCode::TaskNotAllowed, detail));
        }
        Ok(task)
    }

    /// The exception that allows what no policy permits. With a certificate that was issued by an exception, no
    /// other one is used: what is obtained with it dies with that one.
    fn exception(&self, own: Option<&OwnCertificate>, request: &IssueRequest, facts: &Facts, now: Timestamp) -> Option<Position> {
        let inherited = own.and_then(|own| own.exception);
        let mut known = facts.exceptions().of(self.workload.number);
        let fits = known.find(|known| {
            known.is_in_force(now)
                && inherited.is_none_or(|number| number == known.number)
                && known.record.covers(self.environment.number, request.audience.as_ref(), &request.scopes)
        });
        fits.map(|known| known.number)
    }

    fn shape<'r>(&self, outside: bool, request: &'r IssueRequest, facts: &Facts) -> Shape<'r> {
        let circumstances = Circumstances {
            kind: request.kind,
            bearer: request.bearer,
            outside,
            owner: Seen::of(self.owner),
            workload: Seen::of(self.workload),
            environment: Seen::of(self.environment),
            downstreams_changed: facts.downstreams_changed(),
            task: self.task.map(|task| task.number),
        };
        Shape { circumstances, audience: request.audience.as_ref(), scopes: &request.scopes }
    }

    fn subjects(&self, own: Option<&OwnCertificate>) -> Subjects {
        Subjects {
            owner: self.owner.number,
            workload: self.workload.number,
            environment: self.environment.number,
            task: self.task.map(|task| task.number),
            lineage: own.and_then(|own| own.subjects.inherited(own.id.position()).lineage),
        }
    }
}

impl Seen {
    fn of<T>(known: &Known<T>) -> Self {
        Self { number: known.number, changed: known.changed }
    }
}

/// Whether a request stays within the certificate of ours that it was made with: the same owner,
/// workload and environment, and its task if it has one.
fn within(own: &OwnCertificate, workload: Position, request: &IssueRequest, facts: &Facts) -> Result<(), Denial> {
    let outside = |what: &str| Err(Denial::new(DenialCode::OutsideLineage, format!("certificate {} is bound to another {what}", own.id)));
    if own.subjects.workload != workload {
        return outside("workload");
    }
    let owner = facts.workload_numbered(workload).map(|workload| workload.record.owner);
    if owner != Some(own.subjects.owner) {
        return outside("owner");
    }
    if facts.environment(&request.environment).map(|environment| environment.number) != Some(own.subjects.environment) {
        return outside("environment");
    }
    if own.subjects.task.is_some() && request.task.is_some() && request.task != own.subjects.task {
        return outside("task");
    }
    Ok(())
}

fn standing<T>(known: &Known<T>, code: DenialCode, what: impl Fn() -> String) -> Result<(), Denial> {
    if let Some(closed) = known.closed {
        return Err(Denial::new(code, format!("{} is closed to issuing since position {}", what(), closed.at)));
    }
    match known.absent {
        Some(absent) => Err(Denial::new(code, format!("{} is no longer in the registry since position {}", what(), absent.at))),
        None => Ok(()),
    }
}

fn unknown() -> Denial {
    Denial::new(DenialCode::IdentityUnknown, "this identity is in no record")
}
