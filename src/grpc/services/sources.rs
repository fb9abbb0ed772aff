//! Sources of records.

use super::registry::changes;
use super::{Call, api, service};
use crate::broker::{Doubted, Error, SourceStory};
use crate::grpc::calls::Parts;
use crate::grpc::{fields, time};
use crate::model::Invalid;
use crate::policy::Caller;

service!(sources_server::Sources {
    list(SourcesListRequest) -> SourcesListResponse;
    get(SourcesGetRequest) -> SourcesGetResponse;
    confirm(SourcesConfirmRequest) -> SourcesConfirmResponse;
});

/// The most problems and changes that are sent.
const MOST_TOLD: usize = 100;

impl Call for api::SourcesListRequest {
    type Answer = api::SourcesListResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let brief = |story: SourceStory| {
            let mut source = api::Source::from(story);
            source.problems.clear();
            if let Some(doubted) = &mut source.doubted {
                doubted.changes.clear();
            }
            source
        };
        Ok(api::SourcesListResponse { sources: parts.broker.list_sources(caller).await?.into_iter().map(brief).collect() })
    }
}

impl Call for api::SourcesGetRequest {
    type Answer = api::SourcesGetResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let story = parts.broker.source(caller, &fields::required("name", &self.name)?).await?;
        Ok(api::SourcesGetResponse { source: Some(story.into()) })
    }
}

impl Call for api::SourcesConfirmRequest {
    type Answer = api::SourcesConfirmResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let digest = crate::formats::list::from_hex(&self.digest)
            .ok_or_else(|| Invalid::new("digest", "it is not 64 hex digits; `source show` has them"))?;
        let story = parts.broker.confirm_source(caller, &fields::required("name", &self.name)?, digest).await?;
        Ok(api::SourcesConfirmResponse { source: Some(story.into()) })
    }
}

impl From<SourceStory> for api::Source {
    fn from(story: SourceStory) -> Self {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Self {
            name: story.declared.name.to_string(),
            kind: story.declared.kind.as_str().to_owned(),
            holds: story.declared.holds.iter().map(ToString::to_string).collect(),
            records: count(story.records),
            heard_at: story.heard.map(time::timestamp),
            believed_at: story.believed.map(time::timestamp),
            problem_count: count(story.problems.len()),
            problems: story.problems.into_iter().take(MOST_TOLD).collect(),
            doubted: story.doubted.map(Into::into),
        }
    }
}

impl From<Doubted> for api::DoubtedSource {
    fn from(doubted: Doubted) -> Self {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Self {
            digest: doubted.digest.map(|digest| fields::hex(&digest)).unwrap_or_default(),
            why: doubted.why,
            ends: count(doubted.ends),
            of: count(doubted.of),
            until: doubted.until.map(time::timestamp),
            changes: changes(doubted.changes.into_iter().take(MOST_TOLD).collect()),
        }
    }
}
