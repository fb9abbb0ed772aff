//! The loop of each source: read it, let the broker hear it, wait.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::HeaderValue;

use super::config::sources::{Reading, Source};
use super::metrics::Faults;
use crate::ambient::Clock;
use crate::broker::{Broker, Said};
use crate::directory::Names;
use crate::directory::yaml::Parsed;
use crate::model::SourceName;
use fetch::Answer;

mod address;
mod feed;
mod fetch;
mod folder;
mod sql;

#[cfg(test)]
mod tests;

/// What was last applied whole: to read the same again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settled {
    digest: [u8; 32],
    /// Under which an address knows it.
    tag: Option<HeaderValue>,
}

/// How a source is read, and what was made of its files.
struct Reader {
    reading: Reading,
    parsed: Mutex<Parsed>,
}

/// What a reader found.
enum Found {
    /// What was settled.
    Same,
    /// This, under its tag if it has one.
    New(Box<Said>, Option<HeaderValue>),
}

/// Reads a source for as long as the broker runs, and at once when somebody wants it.
pub(super) async fn keep(source: Source, broker: Arc<Broker>, clock: Clock, faults: Faults) {
    let name = source.declared.name.clone();
    let reader = Arc::new(Reader { reading: source.reading, parsed: Mutex::default() });
    let mut settled: Option<Settled> = None;
    loop {
        let names = broker.names_beside(&name);
        settled = settled.filter(|known| broker.is_settled(&name, known.digest));
        let found = read(&name, &reader, names, settled.clone()).await;
        let heard = match found {
            Ok(Found::Same) => {
                broker.source_unchanged(&name);
                Ok(settled.take())
            }
            Ok(Found::New(said, tag)) => {
                let digest = said.digest;
                broker.hear_source(&name, Ok(*said)).await.map(|is_settled| is_settled.then_some(Settled { digest, tag }))
            }
            Err(why) => broker.hear_source(&name, Err(why)).await.map(|_is_settled| None),
        };
        settled = heard.unwrap_or_else(|error| {
            tracing::error!(source = %name, %error, "what the source says could not be applied; it is tried again");
            faults.sources.inc();
            None
        });
        tokio::select! {
            () = clock.sleep(source.every) => {}
            () = broker.source_wanted(&name) => {}
        }
    }
}

async fn read(name: &SourceName, reader: &Arc<Reader>, names: Arc<Names>, settled: Option<Settled>) -> Result<Found, String> {
    let fetched = match &reader.reading {
        Reading::Feed(feed) => feed::fetched(feed, settled.as_ref()).await?,
        Reading::Folder(_) | Reading::Sql(_) => None,
    };
    let body = match fetched {
        Some(Answer::Same) => return Ok(Found::Same),
        Some(Answer::Body(bytes, tag)) => Some((bytes, tag)),
        None => None,
    };
    let (reader, runtime) = (Arc::clone(reader), tokio::runtime::Handle::current());
    let span = tracing::info_span!("reading", source = %name);
    let read = move || match (&reader.reading, body) {
        (Reading::Folder(folder), _) => {
            let mut parsed = reader.parsed.lock().unwrap_or_else(PoisonError::into_inner);
            folder::read(folder, (&names, &mut parsed), settled.as_ref())
        }
        (Reading::Feed(feed), body) => feed::read(feed, body, &names, settled.as_ref()),
        // What is made of the rows takes long where there are many, and may hold up nothing else.
        (Reading::Sql(query), _) => runtime.block_on(sql::read(query, &names)).map(|said| Found::New(Box::new(said), None)),
    };
    // Whatever is logged meanwhile says which source is read.
    let read = tokio::task::spawn_blocking(move || span.in_scope(read)).await;
    read.unwrap_or_else(|error| Err(format!("it could not be read: {error}")))
}

/// An error with what it came from.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}
