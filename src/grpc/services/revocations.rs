//! Revoking any other subject, and the signed list.

use super::{Call, api, service};
use crate::broker::{Error, Limits, Target, Withdrawal};
use crate::grpc::calls::Parts;
use crate::grpc::fields;
use crate::model::{Invalid, Position};
use crate::policy::Caller;

service!(revocations_server::Revocations {
    revoke(RevokeRequest) -> RevokeResponse;
    reinstate(RevocationsReinstateRequest) -> RevocationsReinstateResponse;
    get_list(GetListRequest) -> GetListResponse;
} streams {
    watch(WatchRequest) -> WatchStream of WatchResponse;
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
        let subject =
            self.subject.ok_or_else(|| Invalid::new("subject", "say what to revoke: a workload, environment, task or credential"))?;
        if ask.suspend && matches!(subject, Subject::Task(_) | Subject::CredentialId(_)) {
            return Err(Invalid::new("suspend", "a task or a credential does not come back; suspend a workload or an environment").into());
        }
        let revoked = match subject {
            Subject::Workload(id) => broker.revoke(caller, Target::Workload(fields::required("workload", &id)?), ask).await?,
            Subject::Environment(name) => broker.revoke(caller, Target::Environment(fields::required("environment", &name)?), ask).await?,
            Subject::Task(number) => broker.revoke_task(caller, fields::position("task", number)?, ask).await?,
            Subject::CredentialId(id) => {
                let id = fields::required("credential_id", &id)?;
                broker.revoke_credential(caller, id, ask.reason, ask.note, ask.limits).await?
            }
        };
        Ok(api::RevokeResponse {
            position: fields::number(revoked.position),
            ended: Some(revoked.ended.into()),
            repeated: revoked.repeated,
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
            None => return Err(Invalid::new("subject", "say what to reinstate: a workload or an environment").into()),
        };
        let reinstated = parts.broker.reinstate(caller, target, fields::optional("note", &self.note)?).await?;
        Ok(api::RevocationsReinstateResponse { position: fields::number(reinstated.position) })
    }
}

impl Call for api::GetListRequest {
    type Answer = api::GetListResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        parts.broker.may_follow(caller).await?;
        Ok(api::GetListResponse { list: parts.published(Position::new(self.since).non_zero()).await?.jws.clone() })
    }
}
