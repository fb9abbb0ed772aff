//! How far a revocation is enforced, as a stream: each change, until it is or time is up.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::unfold;
use tokio::sync::watch;
use tonic::Status;

use super::{Answers, Parts, Subscription, api};
use crate::broker::{AtDownstream, Confirmed, Error, Progress, Stage};
use crate::grpc::peer::Peer;
use crate::grpc::{fields, time};
use crate::model::{Enforcement, Position, Timestamp, Way};

/// How long is waited where nothing is said, and at most.
const DEFAULT: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);
/// What comes within this time is told together.
const GATHER: Duration = Duration::from_millis(50);
/// How often it is looked whether time alone has changed something.
const LOOK: Duration = Duration::from_secs(1);
/// How many processes of a downstream are named.
const MOST_NAMED: usize = 20;

impl Subscription for api::FollowEnforcementRequest {
    type Item = api::FollowEnforcementResponse;

    async fn begin(self, parts: Arc<Parts>, peer: Peer) -> Result<Answers<Self::Item>, Error> {
        let position = fields::position("position", self.position)?;
        let asked = self.timeout.as_ref().map(|timeout| time::life("timeout", timeout)).transpose()?;
        let deadline = parts.broker.clock().now().plus(asked.unwrap_or(DEFAULT).min(LONGEST));
        let changes = parts.broker.enforcement_changes();
        // What is refused is refused before the stream begins.
        let first = parts.broker.enforcement(peer.caller(), position).await?;
        let waiting = Waiting { parts, peer, position, deadline, changes, told: None, first: Some(first) };
        Ok(Box::pin(unfold(Some(waiting), |waiting| async {
            let mut waiting = waiting?;
            match waiting.next().await {
                Ok(Some(progress)) => {
                    let more = progress.stage != Stage::Enforced;
                    Some((Ok(progress.into()), more.then_some(waiting)))
                }
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        })))
    }
}

/// One stream.
struct Waiting {
    parts: Arc<Parts>,
    peer: Peer,
    position: Position,
    deadline: Timestamp,
    changes: watch::Receiver<u64>,
    /// What was sent last.
    told: Option<Progress>,
    first: Option<Progress>,
}

impl Waiting {
    /// How it stands when that has changed; nothing when time is up, or the broker stops.
    async fn next(&mut self) -> Result<Option<Progress>, Status> {
        if let Some(first) = self.first.take() {
            self.told = Some(first.clone());
            return Ok(Some(first));
        }
        loop {
            let clock = self.parts.broker.clock();
            tokio::select! {
                biased;
                () = self.parts.stopping.cancelled() => return Ok(None),
                () = clock.sleep_until(self.deadline) => return Ok(None),
                changed = self.changes.changed() => if changed.is_ok() { clock.sleep(GATHER).await },
                () = clock.sleep(LOOK) => {}
            }
            self.changes.mark_unchanged();
            let asked = async {
                self.peer.believed(self.parts.broker.clock().now())?;
                self.parts.broker.enforcement(self.peer.caller(), self.position).await
            };
            let mut progress = asked.await.map_err(|error| self.parts.refuse(self.peer.caller(), &error))?;
            if let Some(told) = &self.told {
                progress = progress.since(told);
            }
            if self.told.as_ref() != Some(&progress) {
                self.told = Some(progress.clone());
                return Ok(Some(progress));
            }
        }
    }
}

impl From<Progress> for api::FollowEnforcementResponse {
    fn from(progress: Progress) -> Self {
        let until = progress.until();
        let stage = match progress.stage {
            Stage::Committed => api::EnforcementStage::Committed,
            Stage::Published => api::EnforcementStage::Published,
            Stage::Enforced => api::EnforcementStage::Enforced,
        };
        Self {
            position: progress.position.get(),
            stage: stage.into(),
            committed_at: Some(time::timestamp(progress.committed_at)),
            published_at: progress.published_at.map(time::timestamp),
            until: until.map(time::timestamp),
            downstreams: progress.downstreams.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<AtDownstream> for api::DownstreamEnforcement {
    fn from(at: AtDownstream) -> Self {
        let (state, since) = match at.enforcement {
            Enforcement::Waiting { until } => (api::EnforcementState::Waiting, until),
            Enforcement::Forked { until } => (api::EnforcementState::Forked, until),
            Enforcement::Enforced { at, way: Way::Confirmed } => (api::EnforcementState::Confirmed, at),
            Enforcement::Enforced { at, way: Way::Stale } => (api::EnforcementState::Stale, at),
            Enforcement::Enforced { at, way: Way::Expired } => (api::EnforcementState::Expired, at),
        };
        let count = |processes: usize| u32::try_from(processes).unwrap_or(u32::MAX);
        let (confirmed_count, waiting_count) = (count(at.confirmed.len()), count(at.waiting.len()));
        let first: Vec<_> = at.confirmed.into_iter().take(MOST_NAMED).collect();
        Self {
            name: at.name.unwrap_or_default(),
            number: fields::number(at.number),
            verifier_kind: at.kind.to_string(),
            living: at.living,
            last_expiry: Some(time::timestamp(at.last_expiry)),
            state: state.into(),
            at: Some(time::timestamp(since)),
            entry: fields::number(at.entry),
            confirmed: first.iter().map(|one| one.name.clone()).collect(),
            confirmed_count,
            confirmations: first.into_iter().map(api::ProcessConfirmation::from).collect(),
            waiting: at.waiting.into_iter().take(MOST_NAMED).collect(),
            waiting_count,
        }
    }
}

impl From<Confirmed> for api::ProcessConfirmation {
    fn from(confirmed: Confirmed) -> Self {
        Self { instance: confirmed.name, position: confirmed.position.get(), at: Some(time::timestamp(confirmed.at)) }
    }
}
