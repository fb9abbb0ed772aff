//! A file of tests as it is written, and what it expects.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::directory::{self, Problem};
use crate::model::{Bound, DenialCode, PolicyName};
use crate::policy::{Explanation, life};

pub(super) type Text = Spanned<String>;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli::policy) struct Script {
    pub(super) at: Option<Text>,
    #[serde(default)]
    pub(super) administrators: Vec<Text>,
    #[serde(default)]
    pub(super) tasks: Vec<TaskDraft>,
    pub(in crate::cli::policy) tests: Vec<Test>,
}

/// A task that is open.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskDraft {
    pub(super) name: Text,
    pub(super) owner: Text,
    pub(super) environment: Text,
    pub(super) workload: Option<Text>,
    pub(super) opened_by: Text,
    pub(super) ends_in: Text,
}

/// A request, and how it is to be decided.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli::policy) struct Test {
    pub(super) name: Text,
    pub(super) caller: Option<Text>,
    pub(super) source: Option<Text>,
    pub(super) obtained_with: Option<Text>,
    pub(super) issue: Option<Text>,
    pub(super) call: Option<Text>,
    pub(super) environment: Option<Text>,
    pub(super) audience: Option<Text>,
    #[serde(default)]
    pub(super) scopes: Vec<Text>,
    pub(super) task: Option<Text>,
    pub(super) ttl: Option<Text>,
    #[serde(default)]
    pub(super) bearer: bool,
    pub(super) owner: Option<Text>,
    pub(super) workload: Option<Text>,
    pub(super) downstream: Option<Text>,
    pub(super) credential_of: Option<Text>,
    pub(super) expect: Text,
    pub(super) reason: Option<Text>,
    pub(super) policies: Option<Vec<Text>>,
    pub(super) life: Option<Text>,
    pub(super) bound_by: Option<Text>,
}

/// The file in which a text stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a>(pub(super) &'a Path);

impl Place<'_> {
    pub(super) fn problem(self, field: &str, text: &Text, what: impl Display) -> Problem {
        let place = directory::Place { file: self.0.to_owned(), line: text.referenced.line() };
        Problem { place: Some(place), message: format!("{field}: {what}") }
    }

    pub(super) fn required<T: FromStr<Err: Display>>(self, field: &str, text: &Text) -> Result<T, Problem> {
        text.value.parse().map_err(|error| self.problem(field, text, error))
    }

    pub(super) fn optional<T: FromStr<Err: Display>>(self, field: &str, text: Option<&Text>) -> Result<Option<T>, Problem> {
        text.map(|text| self.required(field, text)).transpose()
    }

    pub(super) fn life(self, field: &str, text: &Text) -> Result<Duration, Problem> {
        life(&text.value).ok_or_else(|| self.problem(field, text, "write a whole number above 0 and s, m or h, such as 5m"))
    }
}

/// How a request is to be decided.
pub(super) struct Expected {
    allowed: bool,
    reason: Option<DenialCode>,
    policies: Option<Vec<PolicyName>>,
    life: Option<Duration>,
    bound_by: Option<Bound>,
}

impl Expected {
    pub(super) fn read(place: Place<'_>, test: &Test) -> Result<Self, Problem> {
        let allowed = match test.expect.value.as_str() {
            "allow" => true,
            "deny" => false,
            _ => return Err(place.problem("expect", &test.expect, "write allow or deny")),
        };
        if allowed && test.reason.is_some() {
            return Err(place.problem("reason", &test.name, "what is allowed has no reason"));
        }
        if !allowed && (test.life.is_some() || test.bound_by.is_some()) {
            return Err(place.problem("life", &test.name, "what is denied has no life"));
        }
        let named = |text: &Text| {
            let code = DenialCode::ALL.iter().copied().find(|code| code.as_str() == text.value);
            code.ok_or_else(|| place.problem("reason", text, format!("`{}` is no reason of a refusal", text.value)))
        };
        let policies = |texts: &Vec<Text>| -> Result<Vec<PolicyName>, Problem> {
            let mut names = texts.iter().map(|name| place.required("policies", name)).collect::<Result<Vec<_>, _>>()?;
            names.sort();
            Ok(names)
        };
        Ok(Self {
            allowed,
            reason: test.reason.as_ref().map(named).transpose()?,
            policies: test.policies.as_ref().map(policies).transpose()?,
            life: test.life.as_ref().map(|text| place.life("life", text)).transpose()?,
            bound_by: place.optional("bound_by", test.bound_by.as_ref())?,
        })
    }

    /// What is not as expected, in words.
    pub(super) fn differences(&self, explanation: &Explanation) -> Vec<String> {
        let mut differs = Vec::new();
        match (&explanation.refused, self.allowed) {
            (Some(denial), true) => differs.push(format!("it is denied: {}: {denial}", denial.code.as_str())),
            (None, false) => differs.push("it is allowed".to_owned()),
            (Some(denial), false) if self.reason.is_some_and(|reason| reason != denial.code) => {
                differs.push(format!("the reason is {}: {denial}", denial.code.as_str()));
            }
            (Some(_), false) | (None, true) => {}
        }
        if !differs.is_empty() {
            return differs;
        }
        let deciding = if self.allowed { &explanation.permits } else { &explanation.forbids };
        if self.policies.as_ref().is_some_and(|policies| policies != deciding) {
            let names: Vec<_> = deciding.iter().map(ToString::to_string).collect();
            differs.push(format!("the policies are [{}]", names.join(", ")));
        }
        if let Some(found) = explanation.life {
            let length = found.expires_at.since(found.issued_at);
            let other = self.life.is_some_and(|life| life != length) || self.bound_by.is_some_and(|bound| bound != found.bound_by);
            if other {
                differs.push(format!("the life is {} s, bounded by {}", length.as_secs(), found.bound_by));
            }
        } else if self.life.is_some() || self.bound_by.is_some() {
            differs.push("it issues nothing, so it has no life".to_owned());
        }
        differs
    }
}
