//! The registry. The broker holds a document to the same rules as the reader of files does.

use super::{Call, api, service};
use crate::broker::{Checked, ClosedRecord, Error, Exported};
use crate::directory::{Change, Document, DownstreamDraft, Draft, EnvironmentDraft, OwnerDraft, WorkloadDraft};
use crate::grpc::calls::Parts;
use crate::grpc::{fields, time};
use crate::model::{Contact, Invalid, Origin, Timestamp};
use crate::policy::Caller;

service!(registry_server::Registry {
    apply(RegistryApplyRequest) -> RegistryApplyResponse;
    diff(RegistryDiffRequest) -> RegistryDiffResponse;
    export(RegistryExportRequest) -> RegistryExportResponse;
    accept(RegistryAcceptRequest) -> RegistryAcceptResponse;
});

impl Call for api::RegistryApplyRequest {
    type Answer = api::RegistryApplyResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let allow_end = usize::try_from(self.allow_end).unwrap_or(usize::MAX);
        let (position, changed) = parts.broker.apply_registry(caller, document(parts, self.document)?, allow_end).await?;
        Ok(api::RegistryApplyResponse { position: fields::number(position), changes: changes(changed) })
    }
}

impl Call for api::RegistryDiffRequest {
    type Answer = api::RegistryDiffResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let difference = parts.broker.registry_difference(caller, document(parts, self.document)?).await?;
        Ok(api::RegistryDiffResponse { changes: changes(difference.changes) })
    }
}

impl Call for api::RegistryExportRequest {
    type Answer = api::RegistryExportResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let Exported { document, position, closed, origins } = parts.broker.export_registry(caller).await?;
        Ok(api::RegistryExportResponse {
            document: Some((&document).into()),
            position: position.get(),
            closed: closed.into_iter().map(Into::into).collect(),
            sourced: origins.into_iter().map(sourced).collect(),
        })
    }
}

impl Call for api::RegistryAcceptRequest {
    type Answer = api::RegistryAcceptResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let workload = fields::required("workload", &self.workload)?;
        let (owner, note) = (fields::optional("owner", &self.owner)?, fields::optional("note", &self.note)?);
        let (position, owner) = parts.broker.accept_workload(caller, workload, owner, note).await?;
        Ok(api::RegistryAcceptResponse { position: fields::number(position), owner: owner.to_string() })
    }
}

fn sourced((subject, name, origin): (&'static str, String, Origin)) -> api::SourcedRecord {
    api::SourcedRecord { subject: subject.to_owned(), name, origin: Some(fields::origin(&origin)) }
}

/// The document in a request. Without one nothing would be named, and so everything would end.
fn document(parts: &Parts, wire: Option<api::RegistryDocument>) -> Result<Checked, Invalid> {
    let wire = wire.ok_or_else(|| Invalid::new("document", "there is none"))?;
    let draft = draft(wire)?;
    let beside = parts.broker.names_of_sources();
    let document = draft.check(&beside).map_err(|findings| {
        let told: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
        Invalid::new("document", told.join("; "))
    })?;
    Ok(Checked { document, beside })
}

fn draft(wire: api::RegistryDocument) -> Result<Draft<String>, Invalid> {
    let given = |text: String| (!text.is_empty()).then_some(text);
    let end = |field, end: Option<prost_types::Timestamp>| -> Result<Option<String>, Invalid> {
        end.map(|end| Ok(time::instant(field, &end)?.to_string())).transpose()
    };
    let owners = wire.owners.into_iter().map(|owner| {
        Ok(OwnerDraft {
            id: owner.id,
            kind: given(owner.kind),
            business_owner: given(owner.business_owner),
            technical_owner: given(owner.technical_owner),
            contract_end: end("contract_end", owner.contract_end)?,
        })
    });
    let workloads = wire.workloads.into_iter().map(|workload| {
        Ok(WorkloadDraft {
            spiffe_id: workload.spiffe_id,
            owner: given(workload.owner),
            purpose: given(workload.purpose),
            environments: workload.environments,
            valid_until: end("valid_until", workload.valid_until)?,
            business_owner: given(workload.business_owner),
            technical_owner: given(workload.technical_owner),
        })
    });
    let downstreams = wire.downstreams.into_iter().map(|downstream| DownstreamDraft {
        name: downstream.name,
        accepts: downstream.accepts,
        audiences: downstream.audiences,
        environments: downstream.environments,
        verifier_kind: given(downstream.verifier_kind),
        verifier: given(downstream.verifier),
        business_owner: given(downstream.business_owner),
        technical_owner: given(downstream.technical_owner),
    });
    Ok(Draft {
        owners: owners.collect::<Result<_, Invalid>>()?,
        environments: wire.environments.into_iter().map(|environment| EnvironmentDraft { name: environment.name }).collect(),
        workloads: workloads.collect::<Result<_, Invalid>>()?,
        downstreams: downstreams.collect(),
    })
}

pub(super) fn changes(changes: Vec<Change>) -> Vec<api::RegistryChange> {
    let wire = |change: Change| api::RegistryChange {
        action: change.action.to_string(),
        subject: change.subject.to_string(),
        name: change.name,
        detail: change.detail,
        living: change.living,
    };
    changes.into_iter().map(wire).collect()
}

impl From<&Document> for api::RegistryDocument {
    fn from(document: &Document) -> Self {
        let end = |end: Option<Timestamp>| end.map(time::timestamp);
        let text = |contact: Option<&Contact>| contact.map(ToString::to_string).unwrap_or_default();
        let owners = document.owners.iter().map(|owner| api::OwnerRecord {
            id: owner.id.to_string(),
            kind: owner.kind.to_string(),
            business_owner: owner.business_owner.to_string(),
            technical_owner: owner.technical_owner.to_string(),
            contract_end: end(owner.contract_end),
        });
        let workloads = document.workloads.iter().map(|workload| api::WorkloadRecord {
            spiffe_id: workload.spiffe_id.to_string(),
            owner: workload.owner.to_string(),
            purpose: workload.purpose.to_string(),
            environments: workload.environments.iter().map(ToString::to_string).collect(),
            valid_until: end(workload.valid_until),
            business_owner: text(workload.business_owner.as_ref()),
            technical_owner: text(workload.technical_owner.as_ref()),
        });
        let environments = document.environments.iter().map(|environment| api::EnvironmentRecord { name: environment.name.to_string() });
        // What a downstream accepts is two flags here and a list of words on the wire and in files.
        let downstreams = Draft::from(document).downstreams.into_iter().map(|downstream| api::DownstreamRecord {
            name: downstream.name,
            accepts: downstream.accepts,
            audiences: downstream.audiences,
            environments: downstream.environments,
            verifier_kind: downstream.verifier_kind.unwrap_or_default(),
            verifier: downstream.verifier.unwrap_or_default(),
            business_owner: downstream.business_owner.unwrap_or_default(),
            technical_owner: downstream.technical_owner.unwrap_or_default(),
        });
        Self {
            owners: owners.collect(),
            environments: environments.collect(),
            workloads: workloads.collect(),
            downstreams: downstreams.collect(),
        }
    }
}

impl From<ClosedRecord> for api::ClosedRecord {
    fn from(closed: ClosedRecord) -> Self {
        Self { subject: closed.subject.to_owned(), name: closed.name, standing: api::Standing::from(closed.standing).into() }
    }
}
