//! What a document changes, what dies by it, and that nothing else does.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::directory::Names;
use crate::model::{
    Bound, CLOCK_STEP, CUT_GRACE, Closing, CredentialKind, CutMade, Entry, Facts, Issued, Living, Reason, SpiffeId, Subjects,
};

mod changes;
mod moves;
mod properties;
mod sources;

/// A ledger in memory, and every credential that it ever recorded.
#[derive(Clone, Default)]
struct World {
    facts: Facts,
    living: Living,
    head: Position,
    latest_expiry: Timestamp,
    now: Timestamp,
    issued: Vec<(Position, Issued)>,
}

impl World {
    fn at(document: &Document) -> Self {
        let mut world = Self { now: Timestamp::from_seconds(1), ..Self::default() };
        world.apply(document);
        world
    }

    fn plan(&self, document: &Document) -> Difference {
        let Self { facts, living, head, latest_expiry, now, .. } = self;
        let present = Present { facts, living, head: *head, latest_expiry: *latest_expiry, now: *now };
        plan(&Snapshot::from(document.clone()), &Scope::administrators(), &present, &|_| true)
    }

    /// What a scope says, applied.
    fn hear(&mut self, scope: &Scope, snapshot: &Snapshot) -> Difference {
        self.hear_from(scope, snapshot, false)
    }

    /// The same, where policy lets the scope move workloads or not.
    fn hear_from(&mut self, scope: &Scope, snapshot: &Snapshot, may_move: bool) -> Difference {
        let Self { facts, living, head, latest_expiry, now, .. } = &*self;
        let present = Present { facts, living, head: *head, latest_expiry: *latest_expiry, now: *now };
        let difference = plan(snapshot, scope, &present, &|_| may_move);
        difference.events.iter().cloned().for_each(|event| self.append(event));
        difference
    }

    fn apply(&mut self, document: &Document) -> Difference {
        let difference = self.plan(document);
        difference.events.iter().cloned().for_each(|event| self.append(event));
        difference
    }

    fn append(&mut self, event: Event) {
        if let Event::Cut(cut) = &event {
            let workload =
                self.facts.workload_numbered(cut.number).map(|known| Whose::Workload { owner: known.record.owner, workload: cut.number });
            let environment = self.facts.environment_numbered(cut.number).map(|_| Whose::Environment(cut.number));
            let downstream = self.facts.downstream_numbered(cut.number).map(|_| Whose::Bearing(cut.number));
            self.living.cut(workload.or(environment).or(downstream).unwrap_or(Whose::Owner(cut.number)));
        }
        self.head = self.head.next();
        self.facts.apply(&Entry { position: self.head, time: self.now, actor: None, request_id: None, event });
    }

    /// Issues what the registry allows: a life within `valid_until` and `contract_end`.
    fn issue(&mut self, workload: &str, environment: &str, life: u64) {
        let id: SpiffeId = workload.parse().expect("an identity");
        let known = self.facts.workload(&id).expect("registered");
        let owner = self.facts.owner_numbered(known.record.owner).expect("an owner");
        let environment = self.facts.environment(&environment.parse().expect("a name")).expect("registered");
        assert!(known.is_registered() && owner.is_registered() && known.record.environments.contains(&environment.number));
        let ends = [known.record.valid_until, owner.record.contract_end];
        let wanted = self.now.plus(Duration::from_secs(life));
        let expires_at = ends.into_iter().flatten().fold(wanted, Timestamp::min);
        if expires_at <= self.now {
            return;
        }
        let subjects = Subjects { owner: owner.number, workload: known.number, environment: environment.number, task: None, lineage: None };
        self.record(issued(subjects, expires_at));
    }

    /// The same as a token for every downstream that declares the audience.
    fn issue_token(&mut self, workload: &str, environment: &str, audience: &str) {
        self.issue(workload, environment, 1000);
        let (_, certificate) = self.issued.pop().expect("issued");
        let audience = audience.parse().expect("an audience");
        let concerned = self.facts.accepting_tokens(certificate.subjects.environment, &audience);
        let downstreams = concerned.map(|known| known.number).collect();
        self.record(Issued { kind: CredentialKind::AccessToken, audience: Some(audience), downstreams, ..certificate });
    }

    fn record(&mut self, issued: Issued) {
        let expires_at = issued.expires_at;
        self.head = self.head.next();
        self.living.add(&issued);
        self.latest_expiry = self.latest_expiry.max(expires_at);
        self.issued.push((self.head, issued));
    }

    fn is_cut(&self, (position, issued): &(Position, Issued)) -> bool {
        self.facts.cuts().killer(*position, issued.numbers(*position)).is_some()
    }

    /// Whether the registry as it is now would let this have been issued.
    fn is_allowed(&self, (_, issued): &(Position, Issued)) -> bool {
        let Subjects { owner, workload, environment, .. } = issued.subjects;
        let owner = self.facts.owner_numbered(owner).filter(|known| known.is_registered());
        let workload = self.facts.workload_numbered(workload).filter(|known| known.is_registered());
        let environment = self.facts.environment_numbered(environment).filter(|known| known.is_registered());
        let (Some(owner), Some(workload), Some(environment)) = (owner, workload, environment) else { return false };
        let within = |end: Option<Timestamp>| end.is_none_or(|end| issued.expires_at <= end);
        workload.record.owner == owner.number
            && workload.record.environments.contains(&environment.number)
            && within(workload.record.valid_until)
            && within(owner.record.contract_end)
    }

    /// Every name with its number.
    fn numbers(&self) -> HashMap<String, Position> {
        let owners = self.facts.owners().map(|known| (format!("owner {}", known.record.id), known.number));
        let environments = self.facts.environments().map(|known| (format!("environment {}", known.record.name), known.number));
        let workloads = self.facts.workloads().map(|known| (known.record.spiffe_id.to_string(), known.number));
        owners.chain(environments).chain(workloads).collect()
    }
}

fn issued(subjects: Subjects, expires_at: Timestamp) -> Issued {
    Issued {
        kind: CredentialKind::Certificate,
        subjects,
        parent: None,
        nonce: [0; 8],
        issued_at: Timestamp::EPOCH,
        expires_at,
        bound_by: Bound::Default,
        audience: None,
        scopes: Vec::new(),
        confirmation: None,
        key: Position::new(2),
        downstreams: Vec::new(),
        policies: Vec::new(),
        policy_hash: [0; 32],
        purpose: None,
        exception: None,
        asked_from: None,
    }
}

const API: &str = "spiffe://example.org/payments/api";

/// Owners `a` and `b`, environments `production` and `staging`, one workload of `a` in both.
fn base() -> Document {
    let owner = |id: &str| Owner {
        id: id.parse().expect("an id"),
        kind: crate::model::OwnerKind::Team,
        business_owner: "boss@example.org".parse().expect("a contact"),
        technical_owner: "oncall@example.org".parse().expect("a contact"),
        contract_end: None,
    };
    let environments = ["production", "staging"].map(|name| name.parse::<EnvironmentName>().expect("a name"));
    Document {
        owners: vec![owner("a"), owner("b")],
        workloads: vec![WorkloadSpec {
            spiffe_id: API.parse().expect("an identity"),
            owner: "a".parse().expect("an id"),
            purpose: "Takes payments".parse().expect("a purpose"),
            environments: environments.clone().into(),
            valid_until: None,
            business_owner: None,
            technical_owner: None,
        }],
        downstreams: Vec::new(),
        environments: environments.map(|name| Environment { name }).into(),
    }
}

/// A world at `base` with one credential in each environment, that lives 1000 seconds from 1 on.
fn issued_world() -> World {
    let mut world = World::at(&base());
    world.issue(API, "production", 1000);
    world.issue(API, "staging", 1000);
    world
}

/// What is told, and the names of the events, after `change` is made to `base`.
#[track_caller]
fn check(change: impl FnOnce(&mut Document), told: &[&str], events: &[&str], dead: [bool; 2]) -> World {
    let mut document = base();
    change(&mut document);
    assert_eq!(document.check(&Names::default()), Ok(()));
    let mut world = issued_world();
    let difference = world.apply(&document);
    let line = |change: &Change| format!("{} {} {}: {} ({})", change.action, change.subject, change.name, change.detail, change.living);
    assert_eq!(difference.changes.iter().map(line).collect::<Vec<_>>(), told);
    let event = |event: &Event| {
        let Event::Cut(cut) = event else { return event.name().to_owned() };
        format!("cut {} {} {}", cut.closing, cut.reason, cut.ends.map(Timestamp::seconds).unwrap_or_default())
    };
    assert_eq!(difference.events.iter().map(event).collect::<Vec<_>>(), events);
    assert_eq!([world.is_cut(&world.issued[0]), world.is_cut(&world.issued[1])], dead);
    world
}

/// A source that holds everything.
fn source(name: &str) -> Scope {
    let holds = [Subject::Owner, Subject::Environment, Subject::Workload, Subject::Downstream, Subject::Person, Subject::Contract];
    Scope { source: Some(name.parse().expect("a name")), holds: holds.into(), takes_over: false, gone: Arc::default() }
}

const BATCH: &str = "spiffe://example.org/payments/batch";

/// A document that names one workload under owner `a` of somebody else.
fn batch() -> Document {
    let mut document = base();
    document.workloads[0].spiffe_id = BATCH.parse().expect("an identity");
    Document { owners: Vec::new(), environments: Vec::new(), ..document }
}
