//! Reconciliation, and what it found.

use super::{Call, api, service};
use crate::broker::{Error, FindingStory, Step};
use crate::grpc::calls::Parts;
use crate::grpc::{fields, time};
use crate::model::{Invalid, Position};
use crate::policy::Caller;

service!(findings_server::Findings {
    reconcile(FindingsReconcileRequest) -> FindingsReconcileResponse;
    get(FindingsGetRequest) -> FindingsGetResponse;
    list(FindingsListRequest) -> FindingsListResponse;
    resolve(FindingsResolveRequest) -> FindingsResolveResponse;
    waive(FindingsWaiveRequest) -> FindingsWaiveResponse;
});

/// The most findings in one list.
const MOST_LISTED: usize = 1000;

impl Call for api::FindingsReconcileRequest {
    type Answer = api::FindingsReconcileResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let run = parts.broker.reconcile(caller, self.dry_run).await?;
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Ok(api::FindingsReconcileResponse {
            steps: run.steps.into_iter().map(Into::into).collect(),
            held: count(run.held),
            workloads: count(run.workloads),
        })
    }
}

impl Call for api::FindingsGetRequest {
    type Answer = api::FindingsGetResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let story = parts.broker.finding(caller, fields::position("finding", self.finding)?).await?;
        Ok(api::FindingsGetResponse { finding: Some(story.into()) })
    }
}

impl Call for api::FindingsListRequest {
    type Answer = api::FindingsListResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let (findings, truncated) = parts.broker.findings(caller, MOST_LISTED).await?;
        Ok(api::FindingsListResponse { findings: findings.into_iter().map(Into::into).collect(), truncated })
    }
}

impl Call for api::FindingsResolveRequest {
    type Answer = api::FindingsResolveResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let (number, note) = (fields::position("finding", self.finding)?, fields::optional("note", &self.note)?);
        let position = parts.broker.resolve_finding(caller, number, note).await?;
        Ok(api::FindingsResolveResponse { position: position.get() })
    }
}

impl Call for api::FindingsWaiveRequest {
    type Answer = api::FindingsWaiveResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let (number, note) = (fields::position("finding", self.finding)?, fields::optional("note", &self.note)?);
        let until = self.until.ok_or_else(|| Invalid::new("until", "say until when"))?;
        let position = parts.broker.waive_finding(caller, number, time::instant("until", &until)?, note).await?;
        Ok(api::FindingsWaiveResponse { position: position.get() })
    }
}

impl From<Step> for api::ReconcileStep {
    fn from(step: Step) -> Self {
        Self {
            step: step.what.to_owned(),
            finding: fields::number(step.number),
            kind: step.kind.to_string(),
            about: step.about,
            detail: step.detail.to_string(),
        }
    }
}

impl From<FindingStory> for api::Finding {
    fn from(story: FindingStory) -> Self {
        let known = story.known;
        let (waiver, resolved) = (known.waiver.as_ref(), story.resolved.as_ref());
        Self {
            finding: known.number.get(),
            kind: known.record.kind.to_string(),
            severity: known.record.kind.severity().to_string(),
            about: story.about,
            detail: known.record.detail.to_string(),
            evidence: known.record.evidence.iter().copied().map(Position::get).collect(),
            first_seen: Some(time::timestamp(known.raised)),
            last_seen: Some(time::timestamp(known.seen)),
            action: story.action.to_string(),
            due: story.due.map(time::timestamp),
            acted: known.acted.map(|(action, _)| action.to_string()).unwrap_or_default(),
            acted_position: fields::number(known.acted.map(|(_, at)| at)),
            waived_until: waiver.map(|waiver| time::timestamp(waiver.until)),
            waived_by: waiver.and_then(|waiver| waiver.by.as_ref()).map(ToString::to_string).unwrap_or_default(),
            waived_note: waiver.and_then(|waiver| waiver.note.as_ref()).map(ToString::to_string).unwrap_or_default(),
            resolved_at: resolved.map(|resolved| time::timestamp(resolved.time)),
            resolved_position: fields::number(resolved.map(|resolved| resolved.at)),
            resolved_by: resolved.and_then(|resolved| resolved.by.as_ref()).map(ToString::to_string).unwrap_or_default(),
            resolved_note: resolved.and_then(|resolved| resolved.note.as_ref()).map(ToString::to_string).unwrap_or_default(),
        }
    }
}
