//! `curfew registry`: YAML files in, structures to the broker, and back.

use std::path::PathBuf;

use serde::Serialize;

use super::call::answer;
use super::output::{self, Format, Layout};
use super::session::Session;
use super::wire;
use crate::app::config::files;
use crate::client::{Client, api};
use crate::directory::{
    Document, DownstreamDraft, DownstreamSpec, Draft, EnvironmentDraft, Names, OwnerDraft, Problem, WorkloadDraft, WorkloadSpec, yaml,
};
use crate::model::{Contact, Owner};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say what `apply` would change.
    Diff(Files),
    /// Make the ledger's records equal to the files, all or nothing. What they do not name ends.
    Apply {
        #[command(flatten)]
        files: Files,
        /// End at most so many owners, environments, workloads and downstreams; to move one, or to kill anything alive
        /// of it, counts as well.
        #[arg(long, default_value_t = 0, value_name = "NUMBER")]
        allow_end: u32,
    },
    /// Print the records as one YAML file.
    Export,
}

#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// YAML files, or folders of them; together one whole registry. `-` is standard input.
    #[arg(default_value = "registry", value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    changes: Vec<Change>,
}

#[derive(Debug, Serialize)]
pub(super) struct Change {
    action: String,
    subject: String,
    name: String,
    detail: String,
    living: u64,
}

const DIFFERENCE: Layout = Layout::rows("changes", &["action", "subject", "name", "living", "detail"]);
const APPLIED: Layout = Layout::fields(&["position"]).and_rows("changes", &["action", "subject", "name", "living", "detail"]);

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Diff(files) => {
                let document = Some(files.read_beside(session).await?);
                let client = session.connect().await?;
                let found = answer(client.registry().diff(api::RegistryDiffRequest { document })).await?;
                session.print(&Answer { position: None, changes: changes(found.changes) }, DIFFERENCE)
            }
            Self::Apply { files, allow_end } => {
                let document = files.read_beside(session).await?;
                let applied = apply(&session.connect().await?, document, allow_end).await?;
                session.print(&Answer { position: wire::number(applied.position), changes: changes(applied.changes) }, APPLIED)
            }
            Self::Export => {
                let client = session.connect().await?;
                let exported = answer(client.registry().export(api::RegistryExportRequest {})).await?;
                let draft = draft(exported.document.unwrap_or_default());
                // People export in order to edit what `apply` takes.
                match session.global.format {
                    Format::Table | Format::Yaml => output::write(&serde_saphyr::to_string(&draft)?),
                    Format::Json => session.print(&draft, Layout::fields(&[])),
                }
            }
        }
    }
}

/// Path and text of each YAML file that is named, or lies in a folder that is named.
pub(super) fn texts(paths: &[PathBuf]) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut texts = Vec::new();
    for path in paths {
        if files::is_folder(path) {
            texts.extend(files::read_folder(path, &["yaml", "yml"])?);
        } else {
            texts.push((path.clone(), files::read_text(path)?));
        }
    }
    Ok(texts)
}

impl Files {
    fn read(&self) -> anyhow::Result<Vec<(PathBuf, String)>> {
        let texts = texts(&self.paths)?;
        // An empty registry would end everything; that is never meant by an empty folder.
        anyhow::ensure!(!texts.is_empty(), "there is no *.yaml file to read");
        Ok(texts)
    }

    /// Understands the files, which may refer to what sources record. Only if they seem to is the broker asked
    /// for that: what is wrong in them is told without it.
    async fn read_beside(&self, session: &Session) -> anyhow::Result<api::RegistryDocument> {
        let texts = self.read()?;
        let problems = match yaml::read(&texts, &Names::default()) {
            Ok(document) => return Ok(sent(&document)),
            Err(problems) => problems,
        };
        let client = session.connect().await;
        let others = match client {
            Ok(client) => sourced(&client).await.unwrap_or_default(),
            Err(_unreachable) => Names::default(),
        };
        if others == Names::default() {
            return Err(unusable(problems));
        }
        yaml::read(&texts, &others).map(|document| sent(&document)).map_err(unusable)
    }
}

/// Understands YAML files as one registry.
pub(super) fn read(texts: &[(PathBuf, String)]) -> anyhow::Result<api::RegistryDocument> {
    yaml::read(texts, &Names::default()).map(|document| sent(&document)).map_err(unusable)
}

#[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
fn unusable(problems: Vec<Problem>) -> anyhow::Error {
    let lines = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    anyhow::anyhow!("the registry cannot be used; nothing was sent\n{lines}")
}

/// The names of what sources record.
async fn sourced(client: &Client) -> anyhow::Result<Names> {
    let exported = answer(client.registry().export(api::RegistryExportRequest {})).await?;
    let named = |subject: &'static str| exported.sourced.iter().filter(move |record| record.subject == subject);
    Ok(Names {
        owners: named("owner").filter_map(|record| record.name.parse().ok()).collect(),
        environments: named("environment").filter_map(|record| record.name.parse().ok()).collect(),
    })
}

/// Applies a registry.
pub(super) async fn apply(client: &Client, document: api::RegistryDocument, allow_end: u32) -> anyhow::Result<api::RegistryApplyResponse> {
    Ok(answer(client.registry().apply(api::RegistryApplyRequest { document: Some(document), allow_end })).await?)
}

pub(super) fn changes(changes: Vec<api::RegistryChange>) -> Vec<Change> {
    let shown = |change: api::RegistryChange| Change {
        action: change.action,
        subject: change.subject,
        name: change.name,
        detail: change.detail,
        living: change.living,
    };
    changes.into_iter().map(shown).collect()
}

/// A checked document, as it is sent.
fn sent(document: &Document) -> api::RegistryDocument {
    api::RegistryDocument {
        owners: document.owners.iter().map(sent_owner).collect(),
        environments: document
            .environments
            .iter()
            .map(|environment| api::EnvironmentRecord { name: environment.name.to_string() })
            .collect(),
        workloads: document.workloads.iter().map(sent_workload).collect(),
        downstreams: document.downstreams.iter().map(sent_downstream).collect(),
    }
}

fn sent_owner(owner: &Owner) -> api::OwnerRecord {
    api::OwnerRecord {
        id: owner.id.to_string(),
        kind: owner.kind.to_string(),
        business_owner: owner.business_owner.to_string(),
        technical_owner: owner.technical_owner.to_string(),
        contract_end: owner.contract_end.map(wire::sent_instant),
    }
}

fn sent_workload(workload: &WorkloadSpec) -> api::WorkloadRecord {
    api::WorkloadRecord {
        spiffe_id: workload.spiffe_id.to_string(),
        owner: workload.owner.to_string(),
        purpose: workload.purpose.to_string(),
        environments: workload.environments.iter().map(ToString::to_string).collect(),
        valid_until: workload.valid_until.map(wire::sent_instant),
        business_owner: contact(workload.business_owner.as_ref()),
        technical_owner: contact(workload.technical_owner.as_ref()),
    }
}

fn sent_downstream(downstream: &DownstreamSpec) -> api::DownstreamRecord {
    let draft = DownstreamDraft::from(downstream);
    api::DownstreamRecord {
        name: draft.name,
        accepts: draft.accepts,
        audiences: draft.audiences,
        environments: draft.environments,
        verifier_kind: draft.verifier_kind.unwrap_or_default(),
        verifier: draft.verifier.unwrap_or_default(),
        business_owner: contact(downstream.business_owner.as_ref()),
        technical_owner: contact(downstream.technical_owner.as_ref()),
    }
}

fn contact(contact: Option<&Contact>) -> String {
    contact.map(ToString::to_string).unwrap_or_default()
}

/// What the broker sent, as it is written in files.
fn draft(document: api::RegistryDocument) -> Draft<String> {
    let owner = |owner: api::OwnerRecord| OwnerDraft {
        id: owner.id,
        kind: wire::text(owner.kind),
        business_owner: wire::text(owner.business_owner),
        technical_owner: wire::text(owner.technical_owner),
        contract_end: wire::instant(owner.contract_end),
    };
    let workload = |workload: api::WorkloadRecord| WorkloadDraft {
        spiffe_id: workload.spiffe_id,
        owner: wire::text(workload.owner),
        purpose: wire::text(workload.purpose),
        environments: workload.environments,
        valid_until: wire::instant(workload.valid_until),
        business_owner: wire::text(workload.business_owner),
        technical_owner: wire::text(workload.technical_owner),
    };
    let downstream = |downstream: api::DownstreamRecord| DownstreamDraft {
        name: downstream.name,
        accepts: downstream.accepts,
        audiences: downstream.audiences,
        environments: downstream.environments,
        verifier_kind: wire::text(downstream.verifier_kind),
        verifier: wire::text(downstream.verifier),
        business_owner: wire::text(downstream.business_owner),
        technical_owner: wire::text(downstream.technical_owner),
    };
    Draft {
        owners: document.owners.into_iter().map(owner).collect(),
        environments: document.environments.into_iter().map(|environment| EnvironmentDraft { name: environment.name }).collect(),
        workloads: document.workloads.into_iter().map(workload).collect(),
        downstreams: document.downstreams.into_iter().map(downstream).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../docs/samples/registry.yaml");

    #[test]
    fn what_was_sent_is_exported_as_it_was_written() {
        let document = yaml::read(&[("registry.yaml".into(), SAMPLE.to_owned())], &Names::default()).expect("the sample");
        assert_eq!(draft(sent(&document)), Draft::from(&document));
    }

    #[test]
    fn an_error_names_the_file_and_nothing_is_sent() {
        let error = read(&[("teams.yaml".into(), "owners:\n  - id: Payments\n".to_owned())]).expect_err("upper case").to_string();
        assert!(error.contains("nothing was sent") && error.contains("teams.yaml"), "{error}");
    }
}
