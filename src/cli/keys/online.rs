//! Those of `curfew keys` that ask a broker.

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::call::answer;
use crate::cli::output::{self, Layout};
use crate::cli::revoking;
use crate::cli::session::Session;
use crate::cli::waiting::{Reached, Waiting};
use crate::cli::wire;
use crate::client::api;
use crate::formats::pem;
use crate::model::{KeyPurpose, Reason};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rotate {
    /// What the key signs: token, issuer, list or checkpoint.
    purpose: KeyPurpose,
    /// Do not wait until verifiers had the time to find the key: those that have not fetched it reject what it
    /// signs until they do.
    #[arg(long)]
    now: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Revoke {
    /// The number or the name of the key, as `keys list` shows them.
    #[arg(value_name = "KEY")]
    which: String,
    /// cessation-of-operation, affiliation-changed, superseded, privilege-withdrawn or key-compromise.
    #[arg(long, default_value = "key-compromise")]
    reason: Reason,
    /// Why, for people; to the ledger only.
    #[arg(long, value_name = "TEXT")]
    note: String,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(Debug, Serialize)]
struct Listed {
    keys: Vec<Key>,
}

#[derive(Debug, Serialize)]
struct Key {
    purpose: String,
    number: u64,
    kid: String,
    state: &'static str,
    since: Option<String>,
    /// Of one that waits.
    signs_from: Option<String>,
    /// The last instant at which something that it signed may be good.
    ends: Option<String>,
    /// Whether the broker has its private half.
    held: bool,
}

#[derive(Debug, Serialize)]
struct Rotated {
    purpose: String,
    next: u64,
    signs_from: Option<String>,
    retired: Option<u64>,
}

const fn state(state: api::KeyState) -> &'static str {
    match state {
        api::KeyState::Unspecified => "unspecified",
        api::KeyState::Announced => "announced",
        api::KeyState::Signing => "signing",
        api::KeyState::Retired => "retired",
        api::KeyState::Ended => "ended",
        api::KeyState::Revoked => "revoked",
    }
}

async fn keys(session: &Session) -> anyhow::Result<Vec<Key>> {
    let client = session.connect().await?;
    let listed = answer(client.keys().list(api::KeysListRequest {})).await?;
    let key = |key: api::Key| Key {
        state: state(key.state()),
        purpose: key.purpose,
        number: key.number,
        kid: key.kid,
        since: wire::instant(key.since),
        signs_from: wire::instant(key.signs_from),
        ends: wire::instant(key.ends),
        held: key.held,
    };
    Ok(listed.keys.into_iter().map(key).collect())
}

pub(super) async fn list(session: &Session) -> anyhow::Result<()> {
    let keys = keys(session).await?;
    session.print(&Listed { keys }, Layout::rows("keys", &["purpose", "number", "kid", "state", "since", "signs_from", "ends", "held"]))
}

/// The issuers of the bundle, as a file to know the broker by.
pub(super) async fn issuers(session: &Session) -> anyhow::Result<()> {
    let client = session.connect().await?;
    let bundle = answer(client.trust().get_bundle(api::GetBundleRequest {})).await?;
    output::write(&pem::certificates(&bundle.issuers))
}

impl Rotate {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let client = session.connect().await?;
        let request = api::KeysRotateRequest { purpose: self.purpose.to_string(), now: self.now };
        let rotated = answer(client.keys().rotate(request)).await?;
        let rotated = Rotated {
            purpose: self.purpose.to_string(),
            next: rotated.next,
            signs_from: wire::instant(rotated.signs_from),
            retired: wire::number(rotated.retired),
        };
        session.print(&rotated, Layout::fields(&["purpose", "next", "signs_from", "retired"]))
    }
}

impl Revoke {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let known = keys(session).await?;
        let named = known.iter().find(|key| key.kid == self.which || key.number.to_string() == self.which);
        let key = named.with_context(|| format!("no key `{}`; `curfew keys list` shows them", self.which))?;
        let client = session.connect().await?;
        let request = api::KeysRevokeRequest { number: key.number, reason: i32::from(self.reason.code()), note: self.note };
        let revoked = answer(client.keys().revoke(request)).await?;
        let revoked = revoking::Revoked {
            subject: format!("{} key {}", key.purpose, key.kid),
            reached: Reached::committed(revoked.committed_at),
            position: Some(revoked.position),
            standing: None,
            repeated: revoked.repeated,
            ended: api::Census::default().into(),
        };
        revoking::finish(session, &client, revoked, self.waiting).await
    }
}
