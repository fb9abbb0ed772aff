//! A small world: two owners, three workloads, two environments, three downstreams.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::LazyLock;

use crate::model::{
    Closing, CredentialId, CredentialKind, CutMade, Denial, Downstream, Entry, Environment, Epoch, Event, Facts, Owner, OwnerKind,
    Position, Reason, Recording, SpiffeId, Subjects, Task, Timestamp, VerifierKind, Workload,
};
use crate::policy::{Action, Caller, DEFAULT_PACK, Engine, Grant, IssueRequest, OwnCertificate, Problem, Resource, Role};

pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub(super) const API: &str = "https://api.example";
pub(super) const SHARED: &str = "https://shared.example";
pub(super) const INVOICER: &str = "spiffe://example.org/payments/invoicer";
pub(super) const REPORTER: &str = "spiffe://example.org/payments/reporter";
pub(super) const SCANNER: &str = "spiffe://example.org/acme/scanner";
pub(super) const ADMINISTRATOR: &str = "spiffe://example.org/people/ada";
pub(super) const VERIFIER: &str = "spiffe://example.org/api/verifier";

/// The text as whatever it is a name of.
pub(super) fn a<T: FromStr<Err: Display>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(super) fn compile(text: &str) -> Result<Engine, Vec<Problem>> {
    Engine::compile(vec![(a("test.cedar"), text.to_owned())])
}

pub(super) fn engine(text: &str) -> Engine {
    compile(text).unwrap_or_else(|problems| panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

/// The policies that the project ships. One engine serves every test: it is not asked to decide,
/// so it remembers nothing.
pub(super) static SHIPPED: LazyLock<Engine> = LazyLock::new(default_pack);

/// The policies that the project ships, in an engine of one's own.
pub(super) fn default_pack() -> Engine {
    let files = DEFAULT_PACK.iter().map(|(name, text)| (a(name), (*text).to_owned())).collect();
    Engine::compile(files).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Facts, and the numbers of what is in them.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) facts: Facts,
    pub(super) last: Position,
    pub(super) payments: Position,
    pub(super) acme: Position,
    pub(super) production: Position,
    pub(super) staging: Position,
    pub(super) invoicer: Position,
    pub(super) reporter: Position,
    pub(super) scanner: Position,
    /// Accepts tokens for [`API`] and [`SHARED`], in production and staging.
    pub(super) api: Position,
    /// Accepts tokens for [`SHARED`] only, in production.
    pub(super) billing: Position,
    /// Accepts certificates only, in production.
    pub(super) mesh: Position,
}

fn fresh<T>(record: T) -> Recording<T> {
    Recording { number: None, origin: None, record }
}

impl World {
    pub(super) fn new() -> Self {
        let none = Position::ZERO;
        let mut world = Self {
            facts: Facts::default(),
            last: none,
            payments: none,
            acme: none,
            production: none,
            staging: none,
            invoicer: none,
            reporter: none,
            scanner: none,
            api: none,
            billing: none,
            mesh: none,
        };
        world.apply(Event::LedgerOpened { epoch: Epoch([7; 16]), trust_domain: a("example.org") });
        world.payments = world.apply(Event::OwnerRecorded(fresh(owner("payments", OwnerKind::Team))));
        world.acme = world.apply(Event::OwnerRecorded(fresh(owner("acme", OwnerKind::Vendor))));
        world.production = world.apply(Event::EnvironmentRecorded(fresh(Environment { name: a("production") })));
        world.staging = world.apply(Event::EnvironmentRecorded(fresh(Environment { name: a("staging") })));
        let both = [world.production, world.staging];
        world.invoicer = world.workload(INVOICER, world.payments, &both);
        world.reporter = world.workload(REPORTER, world.payments, &both);
        world.scanner = world.workload(SCANNER, world.acme, &both[..1]);
        world.api = world.downstream("api", &[API, SHARED], &both);
        world.billing = world.downstream("billing", &[SHARED], &both[..1]);
        world.mesh = world.downstream("mesh", &[], &both[..1]);
        world
    }

    pub(super) fn apply(&mut self, event: Event) -> Position {
        self.last = self.last.next();
        self.facts.apply(&Entry { position: self.last, time: NOW, actor: None, request_id: None, event });
        self.last
    }

    pub(super) fn workload(&mut self, id: &str, owner: Position, environments: &[Position]) -> Position {
        let number = self.facts.workload(&a(id)).map(|known| known.number);
        let record = Workload {
            spiffe_id: a(id),
            owner,
            purpose: a("a test"),
            environments: environments.to_vec(),
            valid_until: None,
            business_owner: None,
            technical_owner: None,
        };
        let at = self.apply(Event::WorkloadRecorded(Recording { number, origin: None, record }));
        number.unwrap_or(at)
    }

    pub(super) fn downstream(&mut self, name: &str, audiences: &[&str], environments: &[Position]) -> Position {
        let number = self.facts.downstream(&a(name)).map(|known| known.number);
        let record = Downstream {
            name: a(name),
            accepts_tokens: !audiences.is_empty(),
            accepts_certificates: audiences.is_empty(),
            audiences: audiences.iter().map(|audience| a(audience)).collect(),
            environments: environments.to_vec(),
            verifier_kind: VerifierKind::Follower,
            verifier: Some(a(VERIFIER)),
            business_owner: None,
            technical_owner: None,
        };
        let at = self.apply(Event::DownstreamRecorded(Recording { number, origin: None, record }));
        number.unwrap_or(at)
    }

    /// A task of `payments` in production, for a minute, but for `change`.
    pub(super) fn planned(&self, change: impl FnOnce(&mut Task)) -> Task {
        let mut task = Task {
            owner: self.payments,
            environment: self.production,
            workload: None,
            deadline: Timestamp::from_seconds(NOW.seconds() + 60),
            purpose: a("a test"),
            opened_by: a(INVOICER),
        };
        change(&mut task);
        task
    }

    /// The same, opened.
    pub(super) fn task(&mut self, change: impl FnOnce(&mut Task)) -> Position {
        let task = self.planned(change);
        self.apply(Event::TaskOpened(task))
    }

    /// A cut that stays in the list.
    pub(super) fn cut(&mut self, number: Position, closing: Closing) -> Position {
        let ends = Some(Timestamp::from_seconds(NOW.seconds() + 3600));
        self.apply(Event::Cut(CutMade {
            number,
            reason: Reason::PrivilegeWithdrawn,
            ends,
            closing,
            note: None,
            concerns: None,
            source: None,
        }))
    }

    /// A certificate of ours for the invoicer in production, issued after everything so far.
    pub(super) fn own_certificate(&mut self, task: Option<Position>) -> OwnCertificate {
        self.last = self.last.next();
        let subjects = Subjects { owner: self.payments, workload: self.invoicer, environment: self.production, task, lineage: None };
        OwnCertificate { id: CredentialId::new(self.last, [9; 8]), subjects, key: Position::new(500), exception: None }
    }

    pub(super) fn role(&self, caller: &Caller) -> Role {
        Role::of(caller, &BTreeSet::from([a::<SpiffeId>(ADMINISTRATOR)]), &self.facts)
    }

    pub(super) fn decide(&self, engine: &Engine, caller: &Caller, request: &IssueRequest) -> Result<Grant, Denial> {
        engine.decide(&self.role(caller), caller, request, &self.facts, NOW)
    }

    pub(super) fn authorise(&self, engine: &Engine, caller: &str, action: Action, resource: &Resource) -> Result<(), Denial> {
        engine.authorise(&self.role(&from_outside(caller)), action, resource, &self.facts)
    }
}

pub(super) fn owner(id: &str, kind: OwnerKind) -> Owner {
    Owner { id: a(id), kind, business_owner: a("b@example.org"), technical_owner: a("t@example.org"), contract_end: None }
}

/// A caller with an identity that somebody else vouches for.
pub(super) fn from_outside(id: &str) -> Caller {
    let expires_at = Timestamp::from_seconds(NOW.seconds() + 86_400);
    Caller { spiffe_id: a(id), fingerprint: [3; 32], expires_at, issued_here: None, address: None }
}

/// A request for an access token for [`API`] in production.
pub(super) fn token() -> IssueRequest {
    IssueRequest {
        kind: CredentialKind::AccessToken,
        environment: a("production"),
        audience: Some(a(API)),
        scopes: vec![a("invoices:read")],
        task: None,
        ttl: None,
        bearer: false,
        purpose: None,
        public_key_hash: None,
        key: Position::new(500),
        key_not_after: None,
        request_id: None,
    }
}

/// A request for a certificate in production.
pub(super) fn certificate() -> IssueRequest {
    IssueRequest { kind: CredentialKind::Certificate, audience: None, scopes: Vec::new(), public_key_hash: Some([4; 32]), ..token() }
}

/// Permits every token and every certificate.
pub(super) const PERMIT_ISSUING: &str =
    r#"@id("all") permit (principal, action in [Curfew::Action::"IssueToken", Curfew::Action::"IssueCertificate"], resource);"#;
