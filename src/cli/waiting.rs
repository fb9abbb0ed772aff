//! Waiting until a revocation has come as far as was asked for, and saying on standard error for whom it
//! waits.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::call::answer;
use super::exit::{Failed, NotYet};
use super::session::Session;
use super::wire;
use crate::app::config::Span;
use crate::client::{Client, Outcome, api};

/// How far a revocation has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Only counted; nothing was changed.
    #[value(skip)]
    DryRun,
    /// In the ledger: nothing is issued any more.
    Committed,
    /// In the signed list: whoever has the list rejects what was issued before.
    Published,
    /// Nothing that it ended is accepted anywhere: every downstream that it concerns has confirmed, or has had to
    /// fail closed, or everything has expired.
    #[default]
    Enforced,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Waiting {
    /// What to wait for.
    #[arg(long, value_enum, default_value_t)]
    wait: Stage,
    /// How long to wait for it at most.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    timeout: Span,
}

/// How far a revocation was seen to come.
#[derive(Debug, Default, Serialize)]
pub(super) struct Reached {
    pub(super) stage: Stage,
    published_at: Option<String>,
    until: Option<String>,
    enforcement: Vec<AtDownstream>,
}

/// How it stands at one downstream.
#[derive(Debug, Serialize)]
struct AtDownstream {
    downstream: Option<String>,
    kind: String,
    state: Option<String>,
    at: Option<String>,
    living: u64,
    last_expiry: Option<String>,
    entry: Option<u64>,
    confirmed: u32,
    waiting_for: Vec<String>,
}

/// How soon a broker is asked again that could not be reached.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Reached {
    /// Nothing was changed.
    pub(super) fn nothing() -> Self {
        Self { stage: Stage::DryRun, ..Self::default() }
    }

    fn of(told: api::FollowEnforcementResponse) -> Self {
        let stage = match told.stage() {
            api::EnforcementStage::Unspecified | api::EnforcementStage::Committed => Stage::Committed,
            api::EnforcementStage::Published => Stage::Published,
            api::EnforcementStage::Enforced => Stage::Enforced,
        };
        Self {
            stage,
            published_at: wire::instant(told.published_at),
            until: wire::instant(told.until),
            enforcement: told.downstreams.into_iter().map(AtDownstream::from).collect(),
        }
    }

    /// Those of another history.
    fn forked(&self) -> Vec<&str> {
        let forked = self.enforcement.iter().filter(|at| at.is("forked"));
        forked.filter_map(|at| at.downstream.as_deref()).collect()
    }

    /// Whether nothing more can come but what is known to have failed.
    fn is_over(&self) -> bool {
        !self.enforcement.iter().any(|at| at.is("waiting"))
    }

    /// For whom it waits, one a line.
    fn words(&self) -> String {
        let until = self.until.as_ref().map(|until| format!(", until {until} at the latest")).unwrap_or_default();
        let stage = if self.stage == Stage::Committed { "committed" } else { "published" };
        let mut text = format!("curfew: {stage}, and not yet enforced{until}\n");
        for at in &self.enforcement {
            // A string takes all.
            let _ = writeln!(text, "  {}", at.words());
        }
        text
    }
}

impl AtDownstream {
    fn is(&self, state: &str) -> bool {
        self.state.as_deref() == Some(state)
    }

    fn words(&self) -> String {
        let name = self.downstream.as_deref().unwrap_or("what no downstream accepts any more");
        let (kind, at) = (&self.kind, self.at.as_deref().unwrap_or_default());
        let missing = self.waiting_for.join(", ");
        match self.state.as_deref() {
            Some("waiting") if !missing.is_empty() => format!("{name} ({kind}): {} confirmed, not yet: {missing}", self.confirmed),
            Some("waiting") => format!("{name} ({kind}): nobody there can confirm; until {at}"),
            Some("forked") => format!("{name} ({kind}): a verifier has another history than the ledger; until {at}"),
            Some(way) => format!("{name} ({kind}): enforced ({way}) at {at}"),
            None => format!("{name} ({kind})"),
        }
    }
}

impl From<api::DownstreamEnforcement> for AtDownstream {
    fn from(at: api::DownstreamEnforcement) -> Self {
        Self {
            downstream: wire::text(at.name),
            kind: at.verifier_kind,
            state: wire::enforcement_state(at.state),
            at: wire::instant(at.at),
            living: at.living,
            last_expiry: wire::instant(at.last_expiry),
            entry: wire::number(at.entry),
            confirmed: at.confirmed_count,
            waiting_for: at.waiting,
        }
    }
}

impl Waiting {
    /// Waits for the stage that was asked for. Gives how far it came, and why no further.
    pub(super) async fn until_reached(self, session: &Session, client: &Client, position: u64) -> (Reached, anyhow::Result<()>) {
        let mut reached = Reached { stage: Stage::Committed, ..Reached::default() };
        if self.wait <= Stage::Committed {
            return (reached, Ok(()));
        }
        let seconds = self.timeout.duration().as_secs();
        let mut problem = format!("the broker has not answered after {seconds}s");
        let deadline = session.clock.now().plus(self.timeout.duration());
        tokio::select! {
            biased;
            () = self.follow(session, client, position, (&mut reached, &mut problem)) => {}
            () = session.clock.sleep_until(deadline) => {}
        }
        if reached.stage >= self.wait {
            return (reached, Ok(()));
        }
        let forked = reached.forked().join(", ");
        let failed = (!forked.is_empty()).then(|| Failed { position, problem: format!("{forked} has another history than the ledger") });
        let wanted = if self.wait == Stage::Enforced { "enforced" } else { "published" };
        let ended = failed.map_or_else(|| NotYet { position, wanted, problem }.into(), anyhow::Error::from);
        (reached, Err(ended))
    }

    /// Returns once nothing more is to be waited for.
    async fn follow(self, session: &Session, client: &Client, position: u64, (reached, problem): (&mut Reached, &mut String)) {
        let mut said = String::new();
        loop {
            let request = api::FollowEnforcementRequest { position, timeout: Some(wire::sent_duration(self.timeout.duration())) };
            match answer(client.revocations().follow_enforcement(request)).await {
                Ok(mut stream) => {
                    while let Ok(Some(told)) = stream.message().await {
                        *reached = Reached::of(told);
                        *problem = format!("it is not everywhere after {}s", self.timeout.duration().as_secs());
                        if reached.stage >= self.wait || (self.wait == Stage::Enforced && reached.is_over()) {
                            return;
                        }
                        let words = reached.words();
                        if said != words && self.wait == Stage::Enforced {
                            // Who closed standard error does not want to know.
                            let _ = std::io::stderr().write_all(words.as_bytes());
                            said = words;
                        }
                    }
                }
                Err(failure) => {
                    *problem = failure.to_string();
                    if failure.outcome == Outcome::Refused {
                        return;
                    }
                }
            }
            session.clock.sleep(LOOK_AGAIN).await;
        }
    }
}
