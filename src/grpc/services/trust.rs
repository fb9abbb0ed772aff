//! Keys to verify with, and who the caller is.

use super::{Call, api, service};
use crate::broker::{Allowance, Error};
use crate::grpc::calls::Parts;
use crate::grpc::time;
use crate::model::KeyPurpose;
use crate::policy::Caller;

service!(trust_server::Trust {
    get_bundle(GetBundleRequest) -> GetBundleResponse;
    who_am_i(WhoAmIRequest) -> WhoAmIResponse;
});

impl Call for api::GetBundleRequest {
    type Answer = api::GetBundleResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        // Public over HTTPS as well: an identity that is not dead is all it takes.
        parts.broker.admit(caller)?;
        let keys = parts.publisher.keys().map_err(|error| Error::Internal(error.into()))?;
        let issuers = keys.keys.iter().filter(|(_, key)| key.purpose == KeyPurpose::Issuer);
        Ok(api::GetBundleResponse {
            trust_domain: keys.trust_domain.to_string(),
            issuer: keys.issuer.clone(),
            issuers: issuers.map(|(_, key)| key.material.clone()).collect(),
            keys: keys.to_json().map_err(|error| Error::Internal(error.into()))?,
        })
    }
}

impl Call for api::WhoAmIRequest {
    type Answer = api::WhoAmIResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let known = parts.broker.who_am_i(caller)?;
        let (owner, owner_standing, workload_standing) = match known.workload {
            Some((owner, owner_standing, workload_standing)) => (owner, owner_standing.into(), workload_standing.into()),
            None => (String::new(), api::Standing::Unspecified, api::Standing::Unspecified),
        };
        Ok(api::WhoAmIResponse {
            spiffe_id: caller.spiffe_id.to_string(),
            role: known.role.to_owned(),
            owner,
            owner_standing: owner_standing.into(),
            workload_standing: workload_standing.into(),
            certificate_expires_at: Some(time::timestamp(caller.expires_at)),
            credential_id: caller.issued_here.map(|own| own.id.to_string()).unwrap_or_default(),
            allowed: known.allowed.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<Allowance> for api::Allowed {
    fn from(allowance: Allowance) -> Self {
        let (allowed, longest_life, reason) = match allowance.outcome {
            Ok(life) => (true, life.map(time::duration), String::new()),
            Err(denial) => (false, None, denial.to_string()),
        };
        Self {
            action: allowance.action.as_str().to_owned(),
            resource: allowance.resource,
            environment: allowance.environment.map(|name| name.to_string()).unwrap_or_default(),
            allowed,
            reason,
            longest_life,
        }
    }
}
