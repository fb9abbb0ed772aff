//! A feed: a file, or what an address answers, with one record a row.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use http::header::HeaderValue;
use serde::{Deserialize, Serialize};

use super::trusted::Trusted;
use super::{Declaring, LONGEST_TIME, MOST_ROWS, Reading, Source, every, max_rows, timeout};
use crate::app::config::check::Problems;
use crate::app::config::files;
use crate::app::config::units::{Share, Size, Span};
use crate::broker::SourceKind;
use crate::directory::rows::Columns;

/// A feed, field by field; `docs/sources.md` says what each is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the file")]
pub(in crate::app::config) struct RawFeed {
    pub(super) name: String,
    holds: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delimiter: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    columns: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    defaults: BTreeMap<String, String>,
    #[serde(default = "every")]
    every: Span,
    #[serde(default = "timeout")]
    timeout: Span,
    #[serde(default = "Share::tenth")]
    max_ended: Share,
    #[serde(default = "max_bytes")]
    max_bytes: Size,
    #[serde(default = "max_rows")]
    max_rows: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    covers: Option<String>,
    #[serde(default)]
    complete: bool,
    #[serde(default)]
    take_over: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cacert: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) authorization_file: Option<PathBuf>,
    #[serde(default)]
    allow_http: bool,
    #[serde(default)]
    allow_private: bool,
}

/// A feed without contradictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct Feed {
    pub(in crate::app) origin: FeedOrigin,
    pub(in crate::app) format: Format,
    pub(in crate::app) columns: Columns,
    pub(in crate::app) most_bytes: u64,
    pub(in crate::app) most_rows: usize,
}

/// Where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) enum FeedOrigin {
    File(PathBuf),
    Web(Web),
}

/// How it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) enum Format {
    Csv { delimiter: u8 },
    Json { items: Option<String> },
}

/// An address that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct Web {
    pub(in crate::app) uri: Uri,
    pub(in crate::app) host: String,
    pub(in crate::app) port: u16,
    pub(in crate::app) is_https: bool,
    /// How long one answer may take, all in all.
    pub(in crate::app) timeout: Duration,
    pub(in crate::app) allow_private: bool,
    /// Who may vouch for it.
    pub(in crate::app) trusted: Trusted,
    pub(in crate::app) authorization: Option<PathBuf>,
}

impl Feed {
    /// The bytes of its file.
    pub(in crate::app) fn read_file(&self, path: &Path) -> Result<Vec<u8>, String> {
        let bytes = files::read_at_most(path, self.most_bytes).map_err(|error| error.to_string())?;
        bytes.ok_or_else(|| self.too_long())
    }

    /// That there is more of it than there may be.
    pub(in crate::app) fn too_long(&self) -> String {
        format!("it is longer than {} bytes; if that is right, raise `max_bytes`", self.most_bytes)
    }
}

impl Web {
    /// What is sent as `authorization`, if anything. Read anew each time.
    pub(in crate::app) fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        let Some(path) = &self.authorization else { return Ok(None) };
        let secret = files::read_secret(path).map_err(|error| error.to_string())?;
        let mut value = HeaderValue::from_str(secret.trim_end_matches(['\r', '\n']))
            .map_err(|_bytes| format!("{}: write one line, such as `Bearer …`", path.display()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

const fn max_bytes() -> Size {
    Size::mebibytes(64)
}

/// The longest feed: what is read is held in memory.
const MOST_BYTES: u64 = 1 << 30;

/// A feed as the broker reads it; notes what is wrong.
pub(super) fn source(raw: &RawFeed, problems: &mut Problems) -> Option<Source> {
    let declaring =
        Declaring { kind: SourceKind::Feed, name: &raw.name, holds: &raw.holds, max_ended: raw.max_ended, takes_over: raw.take_over };
    let found = declaring.one(raw.every, (&raw.columns, &raw.defaults), (raw.covers.as_deref(), raw.complete), problems);
    let origin = origin(raw, problems);
    let format = format(raw, problems);
    problems.unless((1..=MOST_BYTES).contains(&raw.max_bytes.bytes()), "source.max_bytes", "write a size from 1B to 1GiB");
    problems.unless((1..=MOST_ROWS).contains(&raw.max_rows), "source.max_rows", format_args!("write a number from 1 to {MOST_ROWS}"));
    let (declared, columns) = found?;
    let feed = Feed { origin: origin?, format: format?, columns, most_bytes: raw.max_bytes.bytes(), most_rows: raw.max_rows };
    Some(Source { every: raw.every.duration(), declared, reading: Reading::Feed(Box::new(feed)) })
}

fn origin(raw: &RawFeed, problems: &mut Problems) -> Option<FeedOrigin> {
    let of_web = raw.cacert.is_some() || raw.authorization_file.is_some() || raw.allow_http || raw.allow_private;
    match (&raw.path, &raw.url) {
        (Some(path), None) => {
            problems.unless(
                !of_web,
                "source.path",
                "cacert, authorization_file, allow_http and allow_private are for a `url`; leave them out",
            );
            Some(FeedOrigin::File(path.clone()))
        }
        (None, Some(url)) => web(raw, url, problems).map(FeedOrigin::Web),
        (Some(_), Some(_)) | (None, None) => {
            problems.note("source.path", "write either the `path` of a file or a `url`");
            None
        }
    }
}

fn web(raw: &RawFeed, url: &str, problems: &mut Problems) -> Option<Web> {
    let timeout = raw.timeout.duration();
    problems.unless(
        (Duration::from_secs(1)..=LONGEST_TIME).contains(&timeout),
        "source.timeout",
        "write a time from 1s to 1h for the whole of an answer",
    );
    let uri: Uri = problems.parsed("source.url", url)?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
    let is_https = uri.scheme_str() == Some("https");
    let Some(authority) = authority.filter(|_| is_https || uri.scheme_str() == Some("http")) else {
        problems.note("source.url", "write https://host/path, without a user in it; secrets go in `authorization_file`");
        return None;
    };
    problems.unless(
        is_https || raw.allow_http,
        "source.url",
        "whoever is between could say anything: write https, or `allow_http = true` if that is right",
    );
    problems.unless(
        is_https || raw.authorization_file.is_none(),
        "source.authorization_file",
        "it would go out for everybody to read: write an https address",
    );
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    let (trusted, authorization) = (Trusted(raw.cacert.clone()), raw.authorization_file.clone());
    Some(Web { uri: uri.clone(), host, port, is_https, timeout, allow_private: raw.allow_private, trusted, authorization })
}

fn format(raw: &RawFeed, problems: &mut Problems) -> Option<Format> {
    let of_url = || raw.url.as_deref().and_then(|url| url.parse::<Uri>().ok()).map(|uri| PathBuf::from(uri.path()));
    let file = raw.path.clone().or_else(of_url);
    let extension = file.as_deref().and_then(Path::extension).map(|extension| extension.to_string_lossy().to_lowercase());
    match raw.format.as_deref().or(extension.as_deref()) {
        Some("json") => {
            problems.unless(raw.delimiter.is_none(), "source.delimiter", "JSON has none; leave it out");
            Some(Format::Json { items: raw.items.clone() })
        }
        Some("csv") => {
            problems.unless(raw.items.is_none(), "source.items", "it is for JSON; leave it out");
            match raw.delimiter.as_deref().unwrap_or(",").as_bytes() {
                [delimiter] if delimiter.is_ascii() && !matches!(delimiter, b'"' | b'\r' | b'\n') => {
                    Some(Format::Csv { delimiter: *delimiter })
                }
                _ => {
                    problems.note("source.delimiter", "write one character, such as \";\"");
                    None
                }
            }
        }
        Some(_) | None => {
            problems.note("source.format", "write \"csv\" or \"json\"; the name does not say which it is");
            None
        }
    }
}
