//! A query on a PostgreSQL database, with one record a row.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::config::{Host, SslMode};

use super::trusted::Trusted;
use super::{Declaring, LONGEST_TIME, MOST_ROWS, Reading, Source, every, max_rows, timeout};
use crate::app::config::check::Problems;
use crate::app::config::files;
use crate::app::config::units::{Share, Span};
use crate::broker::SourceKind;
use crate::directory::rows::Columns;

/// A query, field by field; `docs/sources.md` says what each is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::app::config) struct RawSql {
    pub(super) name: String,
    holds: Vec<String>,
    url: String,
    query: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    columns: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    defaults: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) password_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cacert: Option<PathBuf>,
    #[serde(default)]
    allow_plain: bool,
    #[serde(default = "every")]
    every: Span,
    #[serde(default = "timeout")]
    timeout: Span,
    #[serde(default = "Share::tenth")]
    max_ended: Share,
    #[serde(default = "max_rows")]
    max_rows: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    covers: Option<String>,
    #[serde(default)]
    complete: bool,
    #[serde(default)]
    take_over: bool,
}

/// A query without contradictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct Query {
    pub(in crate::app) text: String,
    pub(in crate::app) columns: Columns,
    pub(in crate::app) most_rows: usize,
    /// How long one reading may take, all in all.
    pub(in crate::app) timeout: Duration,
    /// Who may vouch for the database; nobody has to where it is on this machine.
    pub(in crate::app) trusted: Option<Trusted>,
    database: tokio_postgres::Config,
    password: Option<PathBuf>,
}

impl Query {
    /// How to reach the database. The password is read anew each time.
    ///
    /// # Errors
    /// If the password cannot be read.
    pub(in crate::app) fn database(&self) -> Result<tokio_postgres::Config, String> {
        let mut database = self.database.clone();
        if let Some(path) = &self.password {
            let secret = files::read_secret(path).map_err(|error| error.to_string())?;
            database.password(secret.trim_end_matches(['\r', '\n']));
        }
        Ok(database)
    }
}

/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(10);

/// A query as the broker makes it; notes what is wrong.
pub(super) fn source(raw: &RawSql, problems: &mut Problems) -> Option<Source> {
    let (name, holds) = (raw.name.as_str(), raw.holds.as_slice());
    let declaring = Declaring { kind: SourceKind::Sql, name, holds, max_ended: raw.max_ended, takes_over: raw.take_over };
    let found = declaring.one(raw.every, (&raw.columns, &raw.defaults), (raw.covers.as_deref(), raw.complete), problems);
    let timeout = raw.timeout.duration();
    problems.unless((Duration::from_secs(1)..=LONGEST_TIME).contains(&timeout), "source.timeout", "write a time from 1s to 1h");
    problems.unless((1..=MOST_ROWS).contains(&raw.max_rows), "source.max_rows", format_args!("write a number from 1 to {MOST_ROWS}"));
    problems.unless(!raw.query.trim().is_empty(), "source.query", "write one that gives a row for each record");
    let database = database(raw, problems);
    let (declared, columns) = found?;
    let query = Query {
        text: raw.query.clone(),
        columns,
        most_rows: raw.max_rows,
        timeout,
        trusted: (!raw.allow_plain).then(|| Trusted(raw.cacert.clone())),
        database: database?,
        password: raw.password_file.clone(),
    };
    Some(Source { every: raw.every.duration(), declared, reading: Reading::Sql(Box::new(query)) })
}

fn database(raw: &RawSql, problems: &mut Problems) -> Option<tokio_postgres::Config> {
    let mut database: tokio_postgres::Config = match raw.url.parse() {
        Ok(database) => database,
        // The text may hold a password, so that it is not told.
        Err(_told) => {
            problems.note("source.url", "write postgresql://user@host/database");
            return None;
        }
    };
    problems.unless(database.get_password().is_none(), "source.url", "there is a password in it: put that in `password_file`");
    problems.unless(
        !database.get_hosts().is_empty() && database.get_user().is_some(),
        "source.url",
        "write postgresql://user@host/database",
    );
    let is_here = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    };
    let all_here = database.get_hosts().iter().all(is_here) && database.get_hostaddrs().iter().all(IpAddr::is_loopback);
    problems.unless(
        all_here || !raw.allow_plain,
        "source.allow_plain",
        "whoever is between could say anything: it is for a database on this machine alone",
    );
    problems.unless(
        raw.allow_plain || database.get_hosts().iter().all(|host| matches!(host, Host::Tcp(_))),
        "source.url",
        "a socket has no TLS: write `allow_plain = true`",
    );
    problems.unless(!raw.allow_plain || raw.cacert.is_none(), "source.cacert", "nobody vouches where `allow_plain` is true; leave one out");
    // The database gives up by itself too.
    let limit = format!("-c statement_timeout={}", raw.timeout.duration().as_millis());
    let options = database.get_options().map_or_else(|| limit.clone(), |given| format!("{given} {limit}"));
    let mode = if raw.allow_plain { SslMode::Disable } else { SslMode::Require };
    database.options(options).ssl_mode(mode).connect_timeout(CONNECT);
    if database.get_application_name().is_none() {
        database.application_name("curfew");
    }
    Some(database)
}
