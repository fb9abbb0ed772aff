//! A feed: a file, or what an address answers.

use http::header::HeaderValue;
use ring::digest::{SHA256, digest};

use super::fetch::{self, Answer, Unanswered};
use super::{Found, Settled};
use crate::app::config::sources::{Feed, FeedOrigin, Format};
use crate::broker::Said;
use crate::directory::Names;
use crate::directory::rows::{Gather, Row, csv, json};

/// After so many rows the log says how far it is.
const TOLD_EACH: usize = 100_000;

/// What a feed says, as bytes, and their tag.
pub(super) type Body = (Vec<u8>, Option<HeaderValue>);

/// The bytes of an address; none of a file, which is read where waiting holds up nothing else.
///
/// # Errors
/// If it cannot be had.
pub(super) async fn fetched(feed: &Feed, settled: Option<&Settled>) -> Result<Option<Answer>, String> {
    let FeedOrigin::Web(web) = &feed.origin else { return Ok(None) };
    let known = settled.and_then(|settled| settled.tag.as_ref());
    let answer = fetch::get(web, known, feed.most_bytes).await.map_err(|why| match why {
        Unanswered::TooLong => feed.too_long(),
        Unanswered::Refused(why) => why,
    })?;
    Ok(Some(answer))
}

/// What the bytes say; those of the file where there are none.
///
/// # Errors
/// If the file cannot be read, or they are not what they should be.
pub(super) fn read(feed: &Feed, fetched: Option<Body>, names: &Names, settled: Option<&Settled>) -> Result<Found, String> {
    let (bytes, tag) = match (fetched, &feed.origin) {
        (Some(body), _) => body,
        (None, FeedOrigin::File(path)) => (feed.read_file(path)?, None),
        (None, FeedOrigin::Web(_)) => return Err("it was not asked".to_owned()),
    };
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, &bytes).as_ref());
    if settled.is_some_and(|settled| settled.digest == sum) {
        return Ok(Found::Same);
    }
    let mut gather = Gather::new(&feed.columns, names, feed.most_rows);
    let take = |row: Row| {
        gather.take(row)?;
        told(gather.count());
        Ok(())
    };
    match &feed.format {
        Format::Csv { delimiter } => csv::read(&*bytes, *delimiter, &feed.columns, take),
        Format::Json { items } => json::read(&*bytes, items.as_deref(), &feed.columns, take),
    }?;
    drop(bytes);
    let gathered = gather.finish()?;
    let said = Said { digest: sum, snapshot: gathered.snapshot, wrong: gathered.wrong, problems: gathered.problems };
    Ok(Found::New(Box::new(said), tag))
}

/// Says how far it is, now and then.
pub(super) fn told(rows: usize) {
    if rows.is_multiple_of(TOLD_EACH) {
        tracing::info!(rows, "reading a source");
    }
}
