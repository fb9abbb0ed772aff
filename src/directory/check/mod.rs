//! What a registry must say to mean something. One pass finds everything that is wrong.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use super::draft::{CERTIFICATES, TOKENS};
use super::{Document, DownstreamDraft, DownstreamSpec, Draft, EnvironmentDraft, OwnerDraft, WorkloadDraft, WorkloadSpec};
use crate::model::{
    DownstreamName, Environment, EnvironmentName, Facts, MOST_DOWNSTREAMS, Owner, OwnerId, OwnerKind, SourceName, SpiffeId, Timestamp,
    VerifierKind,
};

#[cfg(test)]
mod tests;

/// What is wrong with a text of a draft. Whoever wrote the text knows where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding<'a, T> {
    /// The text that is wrong; where one is missing, the name of its record.
    pub at: &'a T,
    /// The earlier text that it clashes with.
    pub earlier: Option<&'a T>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// What is wrong with a registry, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Problem {
    /// Where, if it was read from a file.
    pub place: Option<Place>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file, as it was named to us.
    pub file: PathBuf,
    /// The line, from 1 on.
    pub line: u64,
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl Document {
    /// Holds a document to every rule, wherever it came from. It may refer to what `others` record.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn check(&self, others: &Names) -> Result<(), Vec<Problem>> {
        let problem = |finding: Finding<'_, String>| Problem { place: None, message: finding.message };
        match Draft::from(self).check(others) {
            Ok(_) => Ok(()),
            Err(findings) => Err(findings.into_iter().map(problem).collect()),
        }
    }
}

/// Names that records may refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Of owners.
    pub owners: BTreeSet<OwnerId>,
    /// Of environments.
    pub environments: BTreeSet<EnvironmentName>,
}

impl Names {
    /// What is recorded by others than `source`, or than the administrators if that is `None`.
    pub(crate) fn of_others(facts: &Facts, source: Option<&SourceName>) -> Self {
        let owners = facts.owners().filter(|known| known.is_registered() && !known.is_of(source));
        let environments = facts.environments().filter(|known| known.is_registered() && !known.is_of(source));
        Self {
            owners: owners.map(|known| known.record.id.clone()).collect(),
            environments: environments.map(|known| known.record.name.clone()).collect(),
        }
    }
}

impl<T: AsRef<str>> Draft<T> {
    /// The document that was written here. It may refer to what `others` record.
    ///
    /// # Errors
    /// Everything that is wrong with it. A malformed name is told once: what refers to the name
    /// that was probably meant is not told as well.
    pub(crate) fn check(&self, others: &Names) -> Result<Document, Vec<Finding<'_, T>>> {
        let (document, findings) = self.sift(others);
        if findings.is_empty() { Ok(document) } else { Err(findings) }
    }

    /// The records with which nothing is wrong, and everything that is wrong with the others. Of those that
    /// are declared twice, all are left, and told.
    pub(crate) fn sift(&self, others: &Names) -> (Document, Vec<Finding<'_, T>>) {
        let mut declared = others.clone();
        declared.owners.extend(self.owners.iter().filter_map(|owner| meant::<OwnerId>(owner.id.as_ref())));
        declared
            .environments
            .extend(self.environments.iter().filter_map(|environment| meant::<EnvironmentName>(environment.name.as_ref())));
        let mut findings = Vec::new();
        let owner_twice = distinct::<OwnerId, T>("owner", self.owners.iter().map(|owner| &owner.id), &mut findings);
        let environment_twice =
            distinct::<EnvironmentName, T>("environment", self.environments.iter().map(|environment| &environment.name), &mut findings);
        let workload_twice = distinct::<SpiffeId, T>("workload", self.workloads.iter().map(|workload| &workload.spiffe_id), &mut findings);
        let downstream_twice =
            distinct::<DownstreamName, T>("downstream", self.downstreams.iter().map(|downstream| &downstream.name), &mut findings);
        let mut document = Document {
            owners: sound(&self.owners, &mut findings, OwnerDraft::check),
            environments: sound(&self.environments, &mut findings, EnvironmentDraft::check),
            workloads: sound(&self.workloads, &mut findings, |workload, findings| workload.check(&declared, findings)),
            downstreams: sound(&self.downstreams, &mut findings, |downstream, findings| downstream.check(&declared, findings)),
        };
        document.owners.retain(|owner| !owner_twice.contains(owner.id.as_str()));
        document.environments.retain(|environment| !environment_twice.contains(environment.name.as_str()));
        if !workload_twice.is_empty() {
            document.workloads.retain(|workload| !workload_twice.contains(&workload.spiffe_id.as_str().to_lowercase()));
        }
        document.downstreams.retain(|downstream| !downstream_twice.contains(downstream.name.as_str()));
        let wide = self.wide_audiences(&mut findings);
        document.downstreams.retain(|downstream| !wide.contains(downstream.name.as_str()));
        (document, findings)
    }

    /// Finds audiences that more downstreams of one environment declare than a token can carry the numbers of,
    /// and gives the names of those that are too many.
    fn wide_audiences<'a>(&'a self, findings: &mut Vec<Finding<'a, T>>) -> HashSet<&'a str> {
        let mut found = HashSet::new();
        let mut declared: HashMap<(&str, &str), usize> = HashMap::new();
        for downstream in &self.downstreams {
            for audience in &downstream.audiences {
                let mut wide = false;
                for environment in &downstream.environments {
                    let count = declared.entry((audience.as_ref(), environment.as_ref())).or_default();
                    *count += 1;
                    wide |= *count > MOST_DOWNSTREAMS;
                }
                if wide {
                    let mut record = Record { kind: "downstream", name: &downstream.name, findings };
                    let problem =
                        format!("{MOST_DOWNSTREAMS} downstreams of an environment declare `{}` already; write another", audience.as_ref());
                    record.refuse("audiences", audience, &problem);
                    found.insert(downstream.name.as_ref());
                }
            }
        }
        found
    }
}

impl<T: AsRef<str>> OwnerDraft<T> {
    fn check<'a>(&'a self, findings: &mut Vec<Finding<'a, T>>) -> Option<Owner> {
        let mut record = Record { kind: "owner", name: &self.id, findings };
        let id = record.one("id", &self.id, value);
        let kind: Option<OwnerKind> = record.mandatory("kind", &self.kind, value, "write team, vendor or person");
        let business_owner =
            record.mandatory("business_owner", &self.business_owner, value, "write how to reach who answers for the purpose");
        let technical_owner =
            record.mandatory("technical_owner", &self.technical_owner, value, "write how to reach who answers for the running");
        let contract_end = record.optional("contract_end", &self.contract_end, instant);
        if kind == Some(OwnerKind::Vendor) && self.contract_end.is_none() {
            record.missing("contract_end", "the contract of a vendor ends: write when, such as 2027-03-31T17:00:00Z");
        }
        Some(Owner { id: id?, kind: kind?, business_owner: business_owner?, technical_owner: technical_owner?, contract_end })
    }
}

impl<T: AsRef<str>> EnvironmentDraft<T> {
    fn check<'a>(&'a self, findings: &mut Vec<Finding<'a, T>>) -> Option<Environment> {
        let mut record = Record { kind: "environment", name: &self.name, findings };
        Some(Environment { name: record.one("name", &self.name, value)? })
    }
}

impl<T: AsRef<str>> WorkloadDraft<T> {
    fn check<'a>(&'a self, declared: &Names, findings: &mut Vec<Finding<'a, T>>) -> Option<WorkloadSpec> {
        let mut record = Record { kind: "workload", name: &self.spiffe_id, findings };
        let spiffe_id = record.one("spiffe_id", &self.spiffe_id, value);
        let owner = |text: &str| reference(text, "owners", &declared.owners);
        let owner = record.mandatory("owner", &self.owner, owner, OneOf("owners", &declared.owners));
        let purpose = record.mandatory("purpose", &self.purpose, value, "write in one line what it is for");
        let environments = record.environments(&self.environments, declared);
        let valid_until = record.optional("valid_until", &self.valid_until, instant);
        let business_owner = record.optional("business_owner", &self.business_owner, value);
        let technical_owner = record.optional("technical_owner", &self.technical_owner, value);
        Some(WorkloadSpec {
            spiffe_id: spiffe_id?,
            owner: owner?,
            purpose: purpose?,
            environments,
            valid_until,
            business_owner,
            technical_owner,
        })
    }
}

impl<T: AsRef<str>> DownstreamDraft<T> {
    fn check<'a>(&'a self, declared: &Names, findings: &mut Vec<Finding<'a, T>>) -> Option<DownstreamSpec> {
        let mut record = Record { kind: "downstream", name: &self.name, findings };
        let name = record.one("name", &self.name, value);
        let accepts = record.set("accepts", &self.accepts, accepted);
        if self.accepts.is_empty() {
            record.missing("accepts", "it accepts nothing: write tokens, certificates or both, or leave the downstream out");
        }
        let accepts_tokens = accepts.contains(TOKENS);
        let audiences = record.set("audiences", &self.audiences, value);
        match self.audiences.first() {
            None if accepts_tokens => {
                record.missing("audiences", "a token is for one audience: write those that it answers to, or accept no tokens");
            }
            Some(first) if !accepts_tokens => {
                record.refuse("audiences", first, "only tokens have an audience; add tokens to `accepts`, or leave the audiences out");
            }
            _ => {}
        }
        let environments = record.environments(&self.environments, declared);
        let words = "write follower, guard, crl, status_list or none";
        let verifier_kind: Option<VerifierKind> = record.mandatory("verifier_kind", &self.verifier_kind, value, words);
        let verifier = record.optional("verifier", &self.verifier, value);
        let business_owner = record.optional("business_owner", &self.business_owner, value);
        let technical_owner = record.optional("technical_owner", &self.technical_owner, value);
        Some(DownstreamSpec {
            name: name?,
            accepts_tokens,
            accepts_certificates: accepts.contains(CERTIFICATES),
            audiences,
            environments,
            verifier_kind: verifier_kind?,
            verifier,
            business_owner,
            technical_owner,
        })
    }
}

/// The records with which nothing is wrong.
fn sound<'a, D, F, R>(drafts: &'a [D], findings: &mut Vec<F>, check: impl Fn(&'a D, &mut Vec<F>) -> Option<R>) -> Vec<R> {
    let sound = |draft| {
        let before = findings.len();
        check(draft, findings).filter(|_| findings.len() == before)
    };
    drafts.iter().filter_map(sound).collect()
}

/// The record that is being read, for what is found wrong in it.
struct Record<'a, 'f, T> {
    kind: &'static str,
    name: &'a T,
    findings: &'f mut Vec<Finding<'a, T>>,
}

impl<'a, T: AsRef<str>> Record<'a, '_, T> {
    fn one<V>(&mut self, field: &'static str, text: &'a T, read: impl Fn(&str) -> Result<V, String>) -> Option<V> {
        read(text.as_ref()).map_err(|problem| self.refuse(field, text, &problem)).ok()
    }

    fn optional<V>(&mut self, field: &'static str, text: &'a Option<T>, read: impl Fn(&str) -> Result<V, String>) -> Option<V> {
        self.one(field, text.as_ref()?, read)
    }

    fn mandatory<V>(
        &mut self,
        field: &'static str,
        text: &'a Option<T>,
        read: impl Fn(&str) -> Result<V, String>,
        remedy: impl Display,
    ) -> Option<V> {
        if text.is_none() {
            self.missing(field, remedy);
        }
        self.optional(field, text, read)
    }

    fn set<V: Ord>(&mut self, field: &'static str, texts: &'a [T], read: impl Fn(&str) -> Result<V, String>) -> BTreeSet<V> {
        let mut values = BTreeSet::new();
        for text in texts {
            if self.one(field, text, &read).is_some_and(|value| !values.insert(value)) {
                self.refuse(field, text, &format!("`{}` is written more than once; keep one", text.as_ref()));
            }
        }
        values
    }

    fn environments(&mut self, texts: &'a [T], declared: &Names) -> BTreeSet<EnvironmentName> {
        if texts.is_empty() {
            self.missing("environments", OneOf("environments", &declared.environments));
        }
        self.set("environments", texts, |text| reference(text, "environments", &declared.environments))
    }

    fn missing(&mut self, field: &'static str, remedy: impl Display) {
        self.refuse(field, self.name, &format!("missing; {remedy}"));
    }

    fn refuse(&mut self, field: &'static str, at: &'a T, problem: &str) {
        let name: String = self.name.as_ref().chars().take(120).flat_map(char::escape_debug).collect();
        self.findings.push(Finding { at, earlier: None, message: format!("{} `{name}`: {field}: {problem}", self.kind) });
    }
}

/// A text that must be a `V` as it stands.
fn value<V: FromStr<Err: Display> + Display>(text: &str) -> Result<V, String> {
    text.parse().map_err(|problem| match meant::<V>(text) {
        Some(meant) => format!("{problem}; write `{meant}`"),
        None => format!("{problem}"),
    })
}

/// The name of a record under `section`.
fn reference<V: FromStr<Err: Display> + Display + Ord>(text: &str, section: &str, known: &BTreeSet<V>) -> Result<V, String> {
    match text.parse() {
        Ok(name) if known.contains(&name) => Ok(name),
        Ok(name) => Err(format!("`{name}` is not declared; {}", OneOf(section, known))),
        Err(_) if meant(text).is_some_and(|name| known.contains(&name)) => value(text),
        Err(problem) => Err(format!("{problem}; {}", OneOf(section, known))),
    }
}

/// An end. The epoch is none: entries say "never" with it.
fn instant(text: &str) -> Result<Timestamp, String> {
    let epoch = || format!("`{text}` is the epoch; leave it out for no end, or write a later instant");
    value(text).and_then(|instant| if instant == Timestamp::EPOCH { Err(epoch()) } else { Ok(instant) })
}

/// A word of `accepts`.
fn accepted(text: &str) -> Result<&'static str, String> {
    let word = [TOKENS, CERTIFICATES].into_iter().find(|word| *word == text);
    word.ok_or_else(|| format!("`{}` is not one of: {TOKENS}, {CERTIFICATES}", text.escape_debug()))
}

/// What a text is, or was probably meant to be: without padding, or else in lower case. It stands
/// in for a malformed name only while the rest is checked.
pub(super) fn meant<V: FromStr>(text: &str) -> Option<V> {
    let trimmed = text.trim();
    [text, trimmed, &trimmed.to_lowercase()].into_iter().find_map(|text| text.parse().ok())
}

/// The names that may be written under a section, for a message.
struct OneOf<'a, V>(&'a str, &'a BTreeSet<V>);

impl<V: Display> Display for OneOf<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 12;
        let Self(section, known) = self;
        let mut names: Vec<String> = known.iter().take(MOST).map(ToString::to_string).collect();
        if known.len() > MOST {
            names.push("…".to_owned());
        }
        if names.is_empty() {
            write!(f, "declare it under `{section}`")
        } else {
            write!(f, "write one of: {}; or declare another under `{section}`", names.join(", "))
        }
    }
}

/// Finds names that are declared twice, or that people would confuse, and gives them in lower case. Malformed
/// ones are told elsewhere.
fn distinct<'a, V: FromStr, T: AsRef<str>>(
    kind: &str,
    names: impl Iterator<Item = &'a T>,
    findings: &mut Vec<Finding<'a, T>>,
) -> HashSet<String> {
    let mut twice = HashSet::new();
    let mut seen: HashMap<String, &'a T> = HashMap::new();
    for at in names.filter(|name| name.as_ref().parse::<V>().is_ok()) {
        let name = at.as_ref();
        let Some(earlier) = seen.insert(name.to_lowercase(), at) else { continue };
        let message = match earlier.as_ref() {
            same if same == name => format!("{kind} `{name}` is declared more than once; keep one"),
            other => format!("{kind} `{name}` differs from `{other}` only by case; write `{other}`, or a name that differs in more"),
        };
        findings.push(Finding { at, earlier: Some(earlier), message });
        twice.insert(name.to_lowercase());
    }
    twice
}
