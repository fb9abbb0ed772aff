//! Reading the ledger.

use super::{Call, api, service};
use crate::broker::{Error, LedgerRow};
use crate::grpc::calls::Parts;
use crate::grpc::{fields, time};
use crate::model::Position;
use crate::policy::Caller;

service!(ledger_server::Ledger {
    list(LedgerListRequest) -> LedgerListResponse;
    get_checkpoint(GetCheckpointRequest) -> GetCheckpointResponse;
});

impl Call for api::LedgerListRequest {
    type Answer = api::LedgerListResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let from = Position::new(self.from.max(1));
        let rows = parts.broker.ledger_rows(caller, from, fields::page_size(self.page_size)).await?;
        let head = parts.broker.ledger().head().position;
        let next = rows.last().map(|last| last.position).filter(|last| *last < head).map(Position::next);
        Ok(api::LedgerListResponse { entries: rows.into_iter().map(Into::into).collect(), next: fields::number(next) })
    }
}

impl Call for api::GetCheckpointRequest {
    type Answer = api::GetCheckpointResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        parts.broker.may_follow(caller).await?;
        let checkpoint = parts.publisher.checkpoint().map_err(|error| Error::Internal(error.into()))?;
        Ok(api::GetCheckpointResponse { checkpoint })
    }
}

impl From<LedgerRow> for api::LedgerRow {
    fn from(row: LedgerRow) -> Self {
        let entry = row.entry.as_ref();
        Self {
            position: row.position.get(),
            time: entry.map(|entry| time::timestamp(entry.time)),
            actor: entry.and_then(|entry| entry.actor.as_ref()).map(ToString::to_string).unwrap_or_default(),
            event: entry.map(|entry| entry.event.name().to_owned()).unwrap_or_default(),
            summary: row.summary,
            unreadable: row.entry.is_none(),
            entry: row.bytes,
        }
    }
}
