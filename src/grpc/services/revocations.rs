//! Revoking any other subject, and the signed list.

use super::{Call, api, service};
use crate::broker::{Confirmation, Error, FollowerState, FollowerStory, Handed, Limits, SilentDownstream, Target, Withdrawal};
use crate::grpc::calls::Parts;
use crate::grpc::{fields, time};
use crate::model::{Epoch, Instance, Invalid, Position, SpiffeId};
use crate::policy::Caller;

service!(revocations_server::Revocations {
    revoke(RevokeRequest) -> RevokeResponse;
    reinstate(RevocationsReinstateRequest) -> RevocationsReinstateResponse;
    get_list(GetListRequest) -> GetListResponse;
    acknowledge(AcknowledgeRequest) -> AcknowledgeResponse;
    list_followers(ListFollowersRequest) -> ListFollowersResponse;
} streams {
    watch(WatchRequest) -> WatchStream of WatchResponse;
    follow_enforcement(FollowEnforcementRequest) -> FollowEnforcementStream of FollowEnforcementResponse;
});

impl Call for api::RevokeRequest {
    type Answer = api::RevokeResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        use api::revoke_request::Subject;
        let broker = &parts.broker;
        let ask = Withdrawal {
            reason: fields::reason(self.reason)?,
            note: fields::optional("note", &self.note)?,
            suspend: self.suspend,
            limits: Limits { dry_run: self.dry_run, max_affected: self.max_affected },
        };
        let subject = self
            .subject
            .ok_or_else(|| Invalid::new("subject", "say what to revoke: a workload, environment, task, downstream or credential"))?;
        if ask.suspend && matches!(subject, Subject::Task(_) | Subject::CredentialId(_)) {
            let problem = "tasks and credentials do not come back; suspend a workload, an environment or a downstream";
            return Err(Invalid::new("suspend", problem).into());
        }
        let revoked = match subject {
            Subject::Workload(id) => broker.revoke(caller, Target::Workload(fields::required("workload", &id)?), ask).await?,
            Subject::Environment(name) => broker.revoke(caller, Target::Environment(fields::required("environment", &name)?), ask).await?,
            Subject::Task(number) => broker.revoke_task(caller, fields::position("task", number)?, ask).await?,
            Subject::Downstream(name) if ask.suspend => {
                broker.revoke(caller, Target::Downstream(fields::required("downstream", &name)?), ask).await?
            }
            Subject::Downstream(name) => {
                let name = fields::required("downstream", &name)?;
                broker.revoke_downstream(caller, name, (ask.reason, ask.note), ask.limits).await?
            }
            Subject::CredentialId(id) => {
                let id = fields::required("credential_id", &id)?;
                broker.revoke_credential(caller, id, ask.reason, ask.note, ask.limits).await?
            }
        };
        Ok(api::RevokeResponse {
            position: fields::number(revoked.position),
            ended: Some(revoked.ended.into()),
            repeated: revoked.repeated,
            committed_at: revoked.committed_at.map(time::timestamp),
        })
    }
}

impl Call for api::RevocationsReinstateRequest {
    type Answer = api::RevocationsReinstateResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        use api::revocations_reinstate_request::Subject;
        let target = match self.subject {
            Some(Subject::Workload(id)) => Target::Workload(fields::required("workload", &id)?),
            Some(Subject::Environment(name)) => Target::Environment(fields::required("environment", &name)?),
            Some(Subject::Downstream(name)) => Target::Downstream(fields::required("downstream", &name)?),
            None => return Err(Invalid::new("subject", "say what to reinstate: a workload, an environment or a downstream").into()),
        };
        let reinstated = parts.broker.reinstate(caller, target, fields::optional("note", &self.note)?).await?;
        Ok(api::RevocationsReinstateResponse { position: fields::number(reinstated.position) })
    }
}

impl Call for api::GetListRequest {
    type Answer = api::GetListResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let instance: Option<Instance> = fields::optional("instance", &self.instance)?;
        parts.broker.may_follow(caller).await?;
        let published = parts.published(Position::new(self.since).non_zero()).await?;
        parts.broker.hand(caller, instance.as_ref(), Handed { position: published.position, issued_at: published.issued_at })?;
        Ok(api::GetListResponse { list: published.jws.clone() })
    }
}

impl Call for api::AcknowledgeRequest {
    type Answer = api::AcknowledgeResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let confirmation = Confirmation {
            position: fields::position("position", self.position)?,
            root: fields::bytes("root", &self.root)?,
            epoch: Epoch(fields::bytes("epoch", &self.epoch)?),
        };
        let instance = fields::required("instance", &self.instance)?;
        let downstreams = parts.broker.acknowledge(caller, instance, confirmation).await?;
        Ok(api::AcknowledgeResponse { downstreams })
    }
}

impl Call for api::ListFollowersRequest {
    type Answer = api::ListFollowersResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let after = Some(self.after).filter(|after| !after.is_empty()).map(|after| after_of(&after)).transpose()?;
        let roll = parts.broker.roll(caller, after.as_ref(), fields::page_size(self.page_size)).await?;
        let next = roll.followers.last().filter(|_| roll.more).map(next_of).unwrap_or_default();
        Ok(api::ListFollowersResponse {
            followers: roll.followers.into_iter().map(Into::into).collect(),
            next,
            silent: roll.silent.into_iter().map(Into::into).collect(),
            complete_from: Some(time::timestamp(roll.complete_from)),
        })
    }
}

/// Identity and name of a follower in one word. Neither has a space in it.
fn next_of(last: &FollowerStory) -> String {
    last.instance.as_ref().map_or_else(|| last.spiffe_id.to_string(), |instance| format!("{} {instance}", last.spiffe_id))
}

fn after_of(text: &str) -> Result<(SpiffeId, Option<Instance>), Invalid> {
    let (identity, instance) = text.split_once(' ').map_or((text, None), |(identity, instance)| (identity, Some(instance)));
    let instance = instance.map(|instance| fields::required("after", instance)).transpose()?;
    Ok((fields::required("after", identity)?, instance))
}

impl From<FollowerStory> for api::Follower {
    fn from(follower: FollowerStory) -> Self {
        let downstream = |(name, kind): (crate::model::DownstreamName, crate::model::VerifierKind)| api::FollowedDownstream {
            name: name.to_string(),
            verifier_kind: kind.to_string(),
        };
        let state = match follower.state {
            FollowerState::Current => api::FollowerState::Current,
            FollowerState::Behind => api::FollowerState::Behind,
            FollowerState::Stale => api::FollowerState::Stale,
            FollowerState::Forked => api::FollowerState::Forked,
        };
        Self {
            spiffe_id: follower.spiffe_id.to_string(),
            instance: follower.instance.map(|name| name.to_string()).unwrap_or_default(),
            downstreams: follower.downstreams.into_iter().map(downstream).collect(),
            handed_position: fields::number(follower.handed.map(|handed| handed.position)),
            list_issued_at: follower.handed.map(|handed| time::timestamp(handed.issued_at)),
            confirmed_position: fields::number(follower.confirmed.map(|(position, _)| position)),
            confirmed_at: follower.confirmed.map(|(_, at)| time::timestamp(at)),
            seen_at: Some(time::timestamp(follower.seen)),
            state: state.into(),
        }
    }
}

impl From<SilentDownstream> for api::SilentDownstream {
    fn from(silent: SilentDownstream) -> Self {
        Self {
            name: silent.name.to_string(),
            verifier_kind: silent.kind.to_string(),
            verifier: silent.verifier.map(|verifier| verifier.to_string()).unwrap_or_default(),
        }
    }
}
