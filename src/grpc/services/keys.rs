//! The signing keys.

use super::{Call, api, service};
use crate::broker::{Error, KeyState, KeyStory};
use crate::grpc::calls::Parts;
use crate::grpc::{fields, time};
use crate::policy::Caller;

service!(keys_server::Keys {
    list(KeysListRequest) -> KeysListResponse;
    rotate(KeysRotateRequest) -> KeysRotateResponse;
    revoke(KeysRevokeRequest) -> KeysRevokeResponse;
});

impl Call for api::KeysListRequest {
    type Answer = api::KeysListResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let keys = parts.broker.list_keys(caller).await?;
        let key = |KeyStory { key, state, since, held }: KeyStory| api::Key {
            purpose: key.record.purpose.to_string(),
            number: key.number.get(),
            kid: key.record.kid.clone(),
            state: api::KeyState::from(state).into(),
            since: Some(time::timestamp(since)),
            signs_from: (state == KeyState::Announced).then(|| time::timestamp(parts.broker.signs_from(&key))),
            ends: key.ends().map(time::timestamp),
            held,
        };
        Ok(api::KeysListResponse { keys: keys.into_iter().map(key).collect() })
    }
}

impl Call for api::KeysRotateRequest {
    type Answer = api::KeysRotateResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let rotated = parts.broker.rotate_key(caller, fields::required("purpose", &self.purpose)?, self.now).await?;
        Ok(api::KeysRotateResponse {
            next: rotated.next.get(),
            signs_from: Some(time::timestamp(rotated.signs_from)),
            retired: fields::number(rotated.retired),
        })
    }
}

impl Call for api::KeysRevokeRequest {
    type Answer = api::KeysRevokeResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let (number, reason) = (fields::position("number", self.number)?, fields::reason(self.reason)?);
        let revoked = parts.broker.revoke_key(caller, number, reason, fields::optional("note", &self.note)?).await?;
        Ok(api::KeysRevokeResponse {
            position: revoked.position.get(),
            repeated: revoked.repeated,
            signing: fields::number(revoked.signing),
            committed_at: revoked.committed_at.map(time::timestamp),
        })
    }
}

impl From<KeyState> for api::KeyState {
    fn from(state: KeyState) -> Self {
        match state {
            KeyState::Announced => Self::Announced,
            KeyState::Signing => Self::Signing,
            KeyState::Retired => Self::Retired,
            KeyState::Ended => Self::Ended,
            KeyState::Revoked => Self::Revoked,
        }
    }
}
