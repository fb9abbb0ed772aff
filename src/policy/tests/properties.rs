//! Rules that hold whatever is asked of whatever policies.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use proptest::prelude::*;

use super::world::*;
use crate::model::{Closing, DenialCode, Event, PolicyName, Position};
use crate::policy::cache::DecisionCache;
use crate::policy::{Caller, Engine, IssueRequest};

/// A policy about tokens that is simple enough to be judged by hand.
#[derive(Clone, Debug)]
struct Simple {
    forbids: bool,
    if_scope: Option<&'static str>,
    max_ttl: Option<u64>,
    bearer: bool,
}

impl Simple {
    fn text(&self, name: usize) -> String {
        let action = r#"(principal, action == Curfew::Action::"IssueToken", resource)"#;
        let when = self.if_scope.map(|scope| format!("when {{ context.scopes.contains(\"{scope}\") }}")).unwrap_or_default();
        if self.forbids {
            return format!("@id(\"p{name}\") forbid {action} {when};");
        }
        let max_ttl = self.max_ttl.map(|seconds| format!("@max_ttl(\"{seconds}s\")")).unwrap_or_default();
        let bearer = if self.bearer { "@bearer(\"allowed\")" } else { "" };
        format!("@id(\"p{name}\") {max_ttl} {bearer} permit {action} {when};")
    }

    fn applies(&self, request: &IssueRequest) -> bool {
        self.if_scope.is_none_or(|wanted| request.scopes.iter().any(|scope| scope.as_str() == wanted))
    }
}

fn scope() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["a", "b", "c"][..])
}

prop_compose! {
    fn simple()(
        forbids in prop::bool::weighted(0.2), if_scope in prop::option::of(scope()),
        max_ttl in prop::option::of(1..400u64), bearer: bool,
    ) -> Simple {
        Simple { forbids, if_scope, max_ttl, bearer }
    }
}

/// What the documentation says that a set of policies means.
fn expected(policies: &[Simple], request: &IssueRequest) -> Result<(Vec<PolicyName>, Duration), DenialCode> {
    let applying: Vec<(usize, &Simple)> = policies.iter().enumerate().filter(|(_, policy)| policy.applies(request)).collect();
    if applying.is_empty() || applying.iter().any(|(_, policy)| policy.forbids) {
        return Err(DenialCode::PolicyDenied);
    }
    if request.bearer && !applying.iter().all(|(_, policy)| policy.bearer) {
        return Err(DenialCode::BearerNotAllowed);
    }
    let life = applying.iter().filter_map(|(_, policy)| policy.max_ttl).chain([300]).min().unwrap_or_default();
    Ok((applying.iter().map(|(name, _)| a(&format!("p{name}"))).collect(), Duration::from_secs(life)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn policies_combine_as_documented(
        policies in prop::collection::vec(simple(), 1..6), scopes in prop::collection::vec(scope(), 0..3), bearer: bool,
    ) {
        let text: String = policies.iter().enumerate().map(|(name, policy)| policy.text(name)).collect();
        let request = IssueRequest { scopes: scopes.into_iter().map(a).collect(), bearer, ..token() };
        let decided = World::new().decide(&engine(&text), &from_outside(INVOICER), &request);
        let told = decided.map(|grant| (grant.issued().policies.clone(), grant.issued().expires_at.since(NOW)));
        prop_assert_eq!(told.map_err(|denial| denial.code), expected(&policies, &request), "{}", text);
    }
}

/// Looks at everything that a policy can look at.
const PICKY: &str = r#"
    @id("team") @max_ttl("4m") permit (principal, action == Curfew::Action::"IssueToken", resource)
    when { principal.owner.kind == Curfew::OwnerKind::"team" && principal.environments.contains(Curfew::Environment::"staging") };
    @id("scoped") @max_ttl("2m") permit (principal, action == Curfew::Action::"IssueToken", resource)
    when { context.scopes.contains("a") };
    @id("bearer") @bearer("allowed") permit (principal, action == Curfew::Action::"IssueToken", resource)
    when { context.bearer && context.kind == Curfew::CredentialKind::"access-token" };
    @id("certificate") permit (principal, action == Curfew::Action::"IssueCertificate", resource)
    when { context.obtained_with == Curfew::Identity::"outside" || context has task };
    @id("narrow") forbid (principal, action == Curfew::Action::"IssueToken", resource)
    when { context.audience == "https://shared.example" && !resource.audiences.contains("https://api.example") };
    @id("tasks") forbid (principal, action == Curfew::Action::"IssueToken", resource)
    when { context has task && context.task.opened_by != principal.spiffe_id && context.scopes.contains("b") };
"#;

static REMEMBERING: LazyLock<Mutex<Engine>> = LazyLock::new(|| Mutex::new(engine(PICKY)));
static FORGETFUL: LazyLock<Engine> = LazyLock::new(|| {
    let mut engine = engine(PICKY);
    engine.cache = DecisionCache::new(0);
    engine
});

/// Something that is asked; numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
struct Ask {
    caller: usize,
    environment: usize,
    audience: usize,
    scopes: usize,
    shape: usize,
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    Workload { id: usize, owner: usize, environments: usize },
    Downstream { name: usize, audiences: usize, environments: usize },
    Remove { name: usize },
    Task { owner: usize, opened_by: usize },
    Cut { subject: usize, closing: usize },
    Reinstate { subject: usize },
    Turn { name: usize, open: bool },
}

prop_compose! {
    fn ask()(caller in 0..3usize, environment in 0..2usize, audience in 0..3usize, scopes in 0..4usize, shape in 0..16usize) -> Ask {
        Ask { caller, environment, audience, scopes, shape }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0..3usize;
    prop_oneof![
        2 => (n(), 0..2usize, 1..4usize).prop_map(|(id, owner, environments)| Step::Workload { id, owner, environments }),
        2 => (n(), 0..4usize, 1..4usize).prop_map(|(name, audiences, environments)| Step::Downstream { name, audiences, environments }),
        1 => n().prop_map(|name| Step::Remove { name }),
        1 => (0..2usize, n()).prop_map(|(owner, opened_by)| Step::Task { owner, opened_by }),
        1 => (0..8usize, n()).prop_map(|(subject, closing)| Step::Cut { subject, closing }),
        2 => (0..7usize).prop_map(|subject| Step::Reinstate { subject }),
        2 => (n(), any::<bool>()).prop_map(|(name, open)| Step::Turn { name, open }),
    ]
}

const IDS: [&str; 3] = [INVOICER, REPORTER, SCANNER];
const DOWNSTREAMS: [&str; 3] = ["api", "billing", "mesh"];

fn chosen<T: Copy>(all: &[T], bits: usize) -> Vec<T> {
    all.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1).map(|(_, one)| *one).collect()
}

struct History {
    world: World,
    task: Option<Position>,
}

impl History {
    fn subject(&self, subject: usize) -> Position {
        let world = &self.world;
        let all = [world.payments, world.acme, world.invoicer, world.reporter, world.scanner, world.production, world.staging];
        all.get(subject).copied().or(self.task).unwrap_or(world.payments)
    }

    fn happens(&mut self, step: Step) {
        let environments = [self.world.production, self.world.staging];
        let owners = [self.world.payments, self.world.acme];
        match step {
            Step::Workload { id, owner, environments: bits } => {
                self.world.workload(IDS[id], owners[owner], &chosen(&environments, bits));
            }
            Step::Downstream { name, audiences, environments: bits } => {
                self.world.downstream(DOWNSTREAMS[name], &chosen(&[API, SHARED], audiences), &chosen(&environments, bits));
            }
            Step::Remove { name } => {
                if let Some(number) = self.world.facts.downstream(&a(DOWNSTREAMS[name])).map(|known| known.number) {
                    self.world.apply(Event::DownstreamRemoved { number });
                }
            }
            Step::Task { owner, opened_by } => {
                self.task = Some(self.world.task(|task| {
                    task.owner = owners[owner];
                    task.opened_by = a(IDS[opened_by]);
                }));
            }
            Step::Cut { subject: 7, .. } => {
                self.world.cut(self.subject(7), Closing::CloseTask);
            }
            Step::Cut { subject, closing } => {
                self.world.cut(self.subject(subject), [Closing::Suspend, Closing::Unregister, Closing::Nothing][closing]);
            }
            Step::Reinstate { subject } => {
                let number = self.subject(subject);
                self.world.apply(Event::Reinstated { number, note: None });
            }
            Step::Turn { name, open } => {
                let Some(number) = self.world.facts.downstream(&a(DOWNSTREAMS[name])).map(|known| known.number) else { return };
                if open {
                    self.world.apply(Event::Reinstated { number, note: None });
                } else {
                    self.world.cut(number, Closing::Suspend);
                }
            }
        }
    }

    fn question(&mut self, ask: Ask) -> (Caller, IssueRequest) {
        let Ask { caller, environment, audience, scopes, shape } = ask;
        let mut caller = from_outside(IDS[caller]);
        let mut request = if shape & 1 == 1 { certificate() } else { token() };
        request.environment = a(["production", "staging"][environment]);
        if request.audience.is_some() {
            request.audience = Some(a([API, SHARED, "https://unknown.example"][audience]));
            request.scopes = chosen(&["a", "b"], scopes).into_iter().map(a).collect();
            request.bearer = shape & 2 == 2;
        }
        request.task = self.task.filter(|_| shape & 4 == 4);
        if shape & 8 == 8 && caller.spiffe_id.as_str() == INVOICER {
            caller.issued_here = Some(self.world.own_certificate(None));
        }
        (caller, request)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_remembered_is_what_would_be_decided(
        asks in prop::collection::vec(ask(), 1..12), steps in prop::collection::vec(step(), 0..15),
        capacity in prop::sample::select(&[1, 4, 1000][..]),
    ) {
        let mut remembering = REMEMBERING.lock().unwrap_or_else(PoisonError::into_inner);
        remembering.cache = DecisionCache::new(capacity);
        let mut history = History { world: World::new(), task: None };
        for step in [None].into_iter().chain(steps.into_iter().map(Some)) {
            step.into_iter().for_each(|step| history.happens(step));
            for ask in &asks {
                let (caller, request) = history.question(*ask);
                let decided = history.world.decide(&FORGETFUL, &caller, &request);
                prop_assert_eq!(history.world.decide(&remembering, &caller, &request), decided);
            }
        }
    }
}
