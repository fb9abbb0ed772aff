//! `curfew verify report`: offline, by the keys of the broker or those in a backup of its ledger.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;

use crate::app::config::files;
use crate::cli::exit::NotValid;
use crate::cli::fetch::Public;
use crate::cli::ledger::progress::Progress;
use crate::cli::output::Layout;
use crate::cli::session::Session;
use crate::formats::jwk::P256;
use crate::formats::jws::Jws;
use crate::formats::keyset::{Keys, MAX_KEYS};
use crate::formats::report::Report;
use crate::ledger::{Offline, Testimony};
use crate::model::{KeyPurpose, PublicKey};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The file with the report, as it is signed; `-` is standard input.
    #[arg(default_value = "-", value_name = "FILE")]
    report: PathBuf,
    /// A backup of the ledger, or the file of a stopped broker, that has to bear the report out.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// The keys, as served at /v1/keys; those in the ledger if one is given and this is not.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Fetch the keys from here, trusting --cacert, if neither is given.
    #[arg(long, env = "CURFEW_URL", default_value = "https://localhost:7480")]
    url: String,
}

#[derive(Debug, Serialize)]
struct Answer {
    valid: bool,
    owner: Option<String>,
    verdict: Option<&'static str>,
    why: Option<String>,
    position: Option<u64>,
    key: Option<String>,
    ledger_entries: Option<u64>,
    problems: Vec<String>,
}

const LAYOUT: Layout = Layout::fields(&["valid", "owner", "verdict", "why", "position", "key", "ledger_entries", "problems"]);

impl Args {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let text = files::read_text(&self.report)?;
        let (report, jws) = match Report::decode(text.trim_end()) {
            Ok(decoded) => decoded,
            Err(error) => return Self::answer(session, None, (None, vec![error.to_string()])),
        };
        let heard = self.hear(&report)?;
        let keys = match (&self.keys, &heard) {
            (Some(path), _) => {
                Keys::from_json(&files::read_text(path)?).context("the keys")?.keys.into_iter().map(|(_, key)| key).collect()
            }
            (None, Some(heard)) => heard.keys.clone(),
            (None, None) => {
                let fetched = Public::of(&self.url, &session.ca()?)?.get("/v1/keys", MAX_KEYS).await?;
                let keys = Keys::from_json(&String::from_utf8(fetched)?).context("the keys")?;
                keys.keys.into_iter().map(|(_, key)| key).collect()
            }
        };
        let mut problems = Vec::new();
        problems.extend(unsigned(&jws, &keys));
        problems.extend(report.contradiction().map(str::to_owned));
        problems.extend(heard.iter().flat_map(|heard| heard.differences.clone()));
        let entries = heard.map(|heard| heard.entries);
        Self::answer(session, Some((&report, &jws)), (entries, problems))
    }

    fn hear(&self, report: &Report) -> anyhow::Result<Option<Testimony>> {
        let Some(path) = &self.ledger else { return Ok(None) };
        let mut progress = Progress::start("read");
        let heard = Offline::open(path)?.hears(report, |position| progress.reached(position))?;
        progress.finish();
        Ok(Some(heard))
    }

    fn answer(
        session: &Session,
        report: Option<(&Report, &Jws<'_>)>,
        (ledger_entries, problems): (Option<u64>, Vec<String>),
    ) -> anyhow::Result<()> {
        let first = problems.first().cloned();
        let answer = Answer {
            valid: problems.is_empty(),
            owner: report.map(|(report, _)| report.owner.id.clone()),
            verdict: report.map(|(report, _)| report.verdict.as_str()),
            why: report.map(|(report, _)| report.why.clone()),
            position: report.map(|(report, _)| report.pos),
            key: report.map(|(_, jws)| jws.kid.clone()),
            ledger_entries,
            problems,
        };
        session.print(&answer, LAYOUT)?;
        first.map_or(Ok(()), |problem| Err(NotValid(problem).into()))
    }
}

/// What is wrong with the signature.
fn unsigned(jws: &Jws<'_>, keys: &[PublicKey]) -> Option<String> {
    let lists = keys.iter().filter(|key| key.purpose == KeyPurpose::List && key.kid == jws.kid);
    let mut known = lists.filter_map(|key| P256::from_spki(&key.material)).peekable();
    if known.peek().is_none() {
        return Some(format!("the list key {} that signed it is not among the keys", jws.kid));
    }
    (!known.any(|key| key.verifies(jws.signing_input, &jws.signature))).then(|| "the signature is wrong".to_owned())
}
