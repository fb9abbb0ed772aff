//! The policy text.

use super::{Call, api, service};
use crate::broker::Error;
use crate::grpc::calls::Parts;
use crate::grpc::fields;
use crate::model::{Invalid, PolicyName};
use crate::policy::Caller;

service!(policy_server::Policy {
    check(PolicyCheckRequest) -> PolicyCheckResponse;
    apply(PolicyApplyRequest) -> PolicyApplyResponse;
});

impl Call for api::PolicyCheckRequest {
    type Answer = api::PolicyCheckResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        Ok(match parts.broker.check_policy(caller, files(self.files)?).await? {
            Ok(engine) => api::PolicyCheckResponse {
                hash: fields::hex(&engine.text().hash),
                policies: engine.names().iter().map(ToString::to_string).collect(),
                problems: Vec::new(),
            },
            Err(problems) => {
                api::PolicyCheckResponse { problems: problems.iter().map(ToString::to_string).collect(), ..Default::default() }
            }
        })
    }
}

impl Call for api::PolicyApplyRequest {
    type Answer = api::PolicyApplyResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let applied = parts.broker.apply_policy(caller, files(self.files)?).await?;
        Ok(api::PolicyApplyResponse { position: applied.position.get(), hash: fields::hex(&applied.hash), unchanged: applied.unchanged })
    }
}

fn files(files: Vec<api::PolicyFile>) -> Result<Vec<(PolicyName, String)>, Invalid> {
    files.into_iter().map(|file| Ok((fields::required("files.name", &file.name)?, file.text))).collect()
}
