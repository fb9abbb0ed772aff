//! The only file that knows Cedar: policies compiled and validated, and questions put to them.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::str::FromStr;

use cedar_policy::{
    ActionConstraint, Authorizer, Context, Decision, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy, PolicyId,
    PolicySet, Request, RestrictedExpression, Schema, ValidationMode, Validator,
};
use miette::Diagnostic;

use super::depth::too_deep;
use super::text::{Annotations, Problem, line_at};
use super::{Action, Resource, Role};
use crate::model::{
    Audience, CredentialId, CredentialKind, Downstream, Facts, KnownTask, Owner, PolicyName, PolicyText, Position, Scope, SourceName,
    SpiffeId, Subjects, Task,
};

const SCHEMA: &str = include_str!("curfew.cedarschema");

/// One policy, apart from its conditions.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// What it goes by.
    pub(super) name: PolicyName,
    /// What its annotations say.
    pub(super) annotations: Annotations,
}

/// A valid set of policies, ready to be asked.
pub(super) struct Cedar {
    schema: Schema,
    authorizer: Authorizer,
    policies: PolicySet,
    rules: HashMap<PolicyId, Rule>,
    types: HashMap<String, EntityTypeName>,
    actions: HashMap<String, EntityUid>,
}

/// What is asked of the policies.
pub(super) struct Question<'a> {
    pub(super) role: &'a Role,
    pub(super) action: Action,
    pub(super) resource: &'a Resource,
    pub(super) issuing: Option<Issuing<'a>>,
}

/// What policies are told of a request to issue, beside who asks and for what.
#[derive(Clone, Copy)]
pub(super) struct Issuing<'a> {
    pub(super) environment: Position,
    pub(super) kind: CredentialKind,
    pub(super) audience: Option<&'a Audience>,
    pub(super) scopes: &'a [Scope],
    pub(super) bearer: bool,
    pub(super) task: Option<&'a KnownTask>,
    pub(super) outside: bool,
}

/// What they answer, with the policies that determined it.
#[derive(Debug)]
pub(super) enum Answer<'a> {
    /// These permit it, and none forbids it.
    Allowed(Vec<&'a Rule>),
    /// These forbid it; none, if merely nothing permits it.
    Refused(Vec<&'a Rule>),
}

/// Why there is no answer. It counts as a refusal: Cedar skips a policy that errs, so that a
/// `forbid` could vanish.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unanswered(String);

fn unanswered(cause: impl Display) -> Unanswered {
    Unanswered(cause.to_string())
}

impl Cedar {
    /// Compiles and validates every file of a text, or says everything that is wrong with it.
    pub(super) fn compile(text: &PolicyText) -> Result<Self, Vec<Problem>> {
        let schema = Schema::from_str(SCHEMA).map_err(|error| vec![Problem::of_text(format!("the schema: {error}"))])?;
        let mut reading = Reading::default();
        text.files.iter().for_each(|(file, text)| reading.file(file, text));
        reading.validate(&schema);
        if reading.problems.is_empty() && reading.policies.is_empty() {
            let what = "there is no policy; to refuse everything, write `forbid (principal, action, resource);`";
            reading.problems.push(Problem::of_text(what));
        }
        if !reading.problems.is_empty() {
            reading.problems.sort();
            reading.problems.dedup();
            return Err(reading.problems);
        }
        let types = schema.entity_types().map(|name| (name.basename().to_owned(), name.clone())).collect();
        let actions = schema.actions().map(|uid| (uid.id().unescaped().to_owned(), uid.clone())).collect();
        let rules = reading.rules.into_iter().map(|(id, placed)| (id, placed.rule)).collect();
        Ok(Self { authorizer: Authorizer::new(), policies: reading.policies, rules, types, actions, schema })
    }

    /// Every policy, in no order.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.values()
    }

    /// Puts a question to the policies.
    pub(super) fn ask(&self, question: &Question<'_>, facts: &Facts) -> Result<Answer<'_>, Unanswered> {
        let mut cast = Cast { cedar: self, facts, entities: HashMap::new() };
        let principal = cast.principal(question.role)?;
        let resource = cast.resource(question.resource)?;
        let context = match question.issuing {
            Some(issuing) => Context::from_pairs(cast.context(issuing)?).map_err(unanswered)?,
            None => Context::empty(),
        };
        let entities = Entities::from_entities(cast.entities.into_values(), Some(&self.schema)).map_err(unanswered)?;
        let action = self.actions.get(question.action.as_str()).cloned().ok_or_else(|| unanswered("the schema lacks the action"))?;
        let request = Request::new(principal, action, resource, context, Some(&self.schema)).map_err(unanswered)?;

        let response = self.authorizer.is_authorized(&request, &self.policies, &entities);
        let errors: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
        if !errors.is_empty() {
            return Err(Unanswered(errors.join("; ")));
        }
        let determining = response.diagnostics().reason().filter_map(|id| self.rules.get(id)).collect();
        Ok(match response.decision() {
            Decision::Allow => Answer::Allowed(determining),
            Decision::Deny => Answer::Refused(determining),
        })
    }
}

/// A text on its way to a valid set of policies.
#[derive(Default)]
struct Reading {
    policies: PolicySet,
    rules: HashMap<PolicyId, Placed>,
    problems: Vec<Problem>,
}

/// A policy and where it stands.
struct Placed {
    rule: Rule,
    file: PolicyName,
    text: String,
    line: usize,
}

impl Reading {
    fn file(&mut self, file: &PolicyName, text: &str) {
        if let Some(problem) = too_deep(file, text) {
            return self.problems.push(problem);
        }
        let parsed = match PolicySet::from_str(text) {
            Ok(parsed) => parsed,
            Err(errors) => return self.problems.extend(errors.iter().map(|error| diagnosed(file, text, None, error))),
        };
        if parsed.num_of_templates() > 0 {
            let what = "a template applies to nothing here; write a principal and a resource instead of ?principal and ?resource";
            self.problems.push(Problem::in_file(file, None, what));
        }
        // Cedar numbers what it reads `policy0`, `policy1`, …: the order in the file.
        let mut policies: Vec<&Policy> = parsed.policies().collect();
        policies.sort_by_key(|policy| (policy.id().to_string().len(), policy.id().to_string()));
        let mut read = 0;
        for (index, policy) in policies.into_iter().enumerate() {
            let source = policy.to_string();
            let start = text.get(read..).and_then(|rest| rest.find(&source)).map_or(read, |at| read + at);
            read = start + source.len();
            let line = line_at(text, start);
            if let Err(wrong) = self.policy(policy, index, (file, text, line)) {
                self.problems.extend(wrong.into_iter().map(|what| Problem::in_file(file, Some(line), what)));
            }
        }
    }

    fn policy(&mut self, policy: &Policy, index: usize, (file, text, line): (&PolicyName, &str, usize)) -> Result<(), Vec<String>> {
        let annotations = Annotations::read(policy.annotations())?;
        let name = match &annotations.id {
            Some(id) => id.clone(),
            None => format!("{file}#{}", index + 1).parse().map_err(|_not_a_name| vec!["give it a name with @id(\"...\")".to_owned()])?,
        };
        misplaced(&annotations, policy)?;
        let id = PolicyId::new(name.as_str());
        if let Some(other) = self.rules.get(&id) {
            return Err(vec![format!("the name `{name}` is taken at {}:{}; give each policy its own @id", other.file, other.line)]);
        }
        let placed = Placed { rule: Rule { name, annotations }, file: file.clone(), text: text.to_owned(), line };
        self.rules.insert(id.clone(), placed);
        self.policies.add(policy.new_id(id)).map_err(|error| vec![error.to_string()])
    }

    /// A warning is a problem too: a policy that can never apply, or a name that looks like
    /// another, is not what was meant.
    fn validate(&mut self, schema: &Schema) {
        let result = Validator::new(schema.clone()).validate(&self.policies, ValidationMode::Strict);
        let errors = result.validation_errors().map(|error| (error.policy_id(), error as &dyn Diagnostic));
        let warnings = result.validation_warnings().map(|warning| (warning.policy_id(), warning as &dyn Diagnostic));
        for (id, diagnostic) in errors.chain(warnings) {
            if let Some(at) = self.rules.get(id) {
                self.problems.push(diagnosed(&at.file, &at.text, Some(at.line), diagnostic));
            }
        }
    }
}

/// An annotation where it could have no effect would only seem to bound something.
fn misplaced(annotations: &Annotations, policy: &Policy) -> Result<(), Vec<String>> {
    let only = |allowed: &[Action]| {
        let among = |uid: &EntityUid| allowed.iter().any(|action| action.as_str() == uid.id().unescaped());
        policy.effect() == Effect::Permit
            && match policy.action_constraint() {
                ActionConstraint::Any => false,
                ActionConstraint::Eq(uid) => among(&uid),
                ActionConstraint::In(uids) => uids.iter().all(among),
            }
    };
    let mut wrong = Vec::new();
    if annotations.max_ttl.is_some() && !only(&[Action::IssueToken, Action::IssueCertificate]) {
        wrong.push("@max_ttl belongs on a permit whose action is IssueToken or IssueCertificate, and nothing else".to_owned());
    }
    if annotations.bearer && !only(&[Action::IssueToken]) {
        wrong.push("@bearer belongs on a permit whose action is IssueToken, and nothing else".to_owned());
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn diagnosed(file: &PolicyName, text: &str, line: Option<usize>, diagnostic: &(impl Diagnostic + ?Sized)) -> Problem {
    let label = diagnostic.labels().and_then(|mut labels| labels.next());
    let line = label.map(|label| line_at(text, label.offset())).or(line);
    let help = diagnostic.help().map(|help| format!("; {help}")).unwrap_or_default();
    Problem::in_file(file, line, format!("{diagnostic}{help}"))
}

/// The entities of one question: those that it names, and those that can be reached from them.
struct Cast<'a> {
    cedar: &'a Cedar,
    facts: &'a Facts,
    entities: HashMap<EntityUid, Entity>,
}

type Attributes<const N: usize> = [(&'static str, RestrictedExpression); N];

impl Cast<'_> {
    fn principal(&mut self, role: &Role) -> Result<EntityUid, Unanswered> {
        match role {
            Role::Workload(number) => self.workload(*number),
            Role::Administrator(id) => self.identity("Administrator", id),
            Role::Verifier(id) => self.identity("Verifier", id),
            Role::Source(name) => self.source(name),
            Role::Unknown => Err(unanswered("an unknown identity is no principal")),
        }
    }

    fn resource(&mut self, resource: &Resource) -> Result<EntityUid, Unanswered> {
        match resource {
            Resource::Downstream(downstream) => self.downstream(downstream),
            Resource::Environment(number) => self.environment(*number),
            Resource::Owner(number) => self.owner(*number),
            Resource::OwnerToBe(owner) => self.party(owner),
            Resource::Workload(number) => self.workload(*number),
            Resource::Task { number, record } => self.task(*number, record),
            Resource::Credential { id, kind, subjects } => self.credential(*id, *kind, subjects),
            Resource::System => self.uid("System", "curfew"),
        }
    }

    fn context(&mut self, issuing: Issuing<'_>) -> Result<Vec<(String, RestrictedExpression)>, Unanswered> {
        let mut pairs = vec![
            ("environment", reference(self.environment(issuing.environment)?)),
            ("kind", self.word("CredentialKind", issuing.kind.as_str())?),
            ("obtained_with", self.word("Identity", if issuing.outside { "outside" } else { "certificate" })?),
        ];
        if let Some(task) = issuing.task {
            pairs.push(("task", reference(self.task(Some(task.number), &task.record)?)));
        }
        if let Some(audience) = issuing.audience {
            pairs.push(("audience", string(audience)));
            pairs.push(("scopes", RestrictedExpression::new_set(issuing.scopes.iter().map(string))));
            pairs.push(("bearer", RestrictedExpression::new_bool(issuing.bearer)));
        }
        Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    fn identity(&mut self, kind: &str, id: &SpiffeId) -> Result<EntityUid, Unanswered> {
        let uid = self.uid(kind, id.as_str())?;
        self.enter(uid, [("spiffe_id", string(id)), ("path", string(id.path()))], None)
    }

    fn source(&mut self, name: &SourceName) -> Result<EntityUid, Unanswered> {
        let uid = self.uid("Source", name.as_str())?;
        self.enter(uid, [("name", string(name))], None)
    }

    fn owner(&mut self, number: Position) -> Result<EntityUid, Unanswered> {
        let owner = &self.facts.owner_numbered(number).ok_or_else(|| unrecorded(number))?.record;
        self.party(owner)
    }

    fn party(&mut self, owner: &Owner) -> Result<EntityUid, Unanswered> {
        let kind = self.word("OwnerKind", owner.kind.as_str())?;
        let uid = self.uid("Owner", owner.id.as_str())?;
        self.enter(uid, [("id", string(&owner.id)), ("kind", kind)], None)
    }

    fn environment(&mut self, number: Position) -> Result<EntityUid, Unanswered> {
        let environment = &self.facts.environment_numbered(number).ok_or_else(|| unrecorded(number))?.record;
        let uid = self.uid("Environment", environment.name.as_str())?;
        self.enter(uid, [("name", string(&environment.name))], None)
    }

    fn environments(&mut self, numbers: &[Position]) -> Result<RestrictedExpression, Unanswered> {
        let uids: Result<Vec<_>, _> = numbers.iter().map(|number| self.environment(*number).map(reference)).collect();
        Ok(RestrictedExpression::new_set(uids?))
    }

    fn workload(&mut self, number: Position) -> Result<EntityUid, Unanswered> {
        let workload = &self.facts.workload_numbered(number).ok_or_else(|| unrecorded(number))?.record;
        let owner = self.owner(workload.owner)?;
        let id = &workload.spiffe_id;
        let attributes = [
            ("spiffe_id", string(id)),
            ("path", string(id.path())),
            ("owner", reference(owner.clone())),
            ("environments", self.environments(&workload.environments)?),
        ];
        let uid = self.uid("Workload", id.as_str())?;
        self.enter(uid, attributes, Some(owner))
    }

    fn downstream(&mut self, downstream: &Downstream) -> Result<EntityUid, Unanswered> {
        let attributes = [
            ("name", string(&downstream.name)),
            ("audiences", RestrictedExpression::new_set(downstream.audiences.iter().map(string))),
            ("environments", self.environments(&downstream.environments)?),
            ("verifier_kind", self.word("VerifierKind", downstream.verifier_kind.as_str())?),
        ];
        let uid = self.uid("Downstream", downstream.name.as_str())?;
        self.enter(uid, attributes, None)
    }

    fn task(&mut self, number: Option<Position>, task: &Task) -> Result<EntityUid, Unanswered> {
        let owner = ("owner", reference(self.owner(task.owner)?));
        let environment = ("environment", reference(self.environment(task.environment)?));
        let opened_by = ("opened_by", string(&task.opened_by));
        let uid = self.uid("Task", &number.map_or_else(|| "new".to_owned(), |number| number.to_string()))?;
        match task.workload {
            None => self.enter(uid, [owner, environment, opened_by], None),
            Some(workload) => {
                let workload = ("workload", reference(self.workload(workload)?));
                self.enter(uid, [owner, environment, opened_by, workload], None)
            }
        }
    }

    fn credential(&mut self, id: CredentialId, kind: CredentialKind, subjects: &Subjects) -> Result<EntityUid, Unanswered> {
        let attributes = [
            ("owner", reference(self.owner(subjects.owner)?)),
            ("workload", reference(self.workload(subjects.workload)?)),
            ("environment", reference(self.environment(subjects.environment)?)),
            ("kind", self.word("CredentialKind", kind.as_str())?),
        ];
        let uid = self.uid("Credential", &id.to_string())?;
        self.enter(uid, attributes, None)
    }

    fn enter<const N: usize>(
        &mut self,
        uid: EntityUid,
        attributes: Attributes<N>,
        parent: Option<EntityUid>,
    ) -> Result<EntityUid, Unanswered> {
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let entity = Entity::new(uid.clone(), attributes, parent.into_iter().collect::<HashSet<_>>()).map_err(unanswered)?;
        self.entities.insert(uid.clone(), entity);
        Ok(uid)
    }

    fn word(&self, set: &str, word: &str) -> Result<RestrictedExpression, Unanswered> {
        self.uid(set, word).map(reference)
    }

    fn uid(&self, kind: &str, id: &str) -> Result<EntityUid, Unanswered> {
        let name = self.cedar.types.get(kind).ok_or_else(|| unanswered("the schema lacks the type"))?;
        Ok(EntityUid::from_type_name_and_id(name.clone(), EntityId::new(id)))
    }
}

fn unrecorded(number: Position) -> Unanswered {
    Unanswered(format!("number {number} is in no record"))
}

fn string(text: &(impl ToString + ?Sized)) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_string())
}

fn reference(uid: EntityUid) -> RestrictedExpression {
    RestrictedExpression::new_entity_uid(uid)
}
