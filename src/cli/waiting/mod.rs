//! Waiting until a revocation has come as far as was asked for, and saying on standard error for whom it
//! waits.

mod news;
mod reached;

use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;

use self::news::News;
pub(super) use self::reached::Reached;
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

/// How soon a broker is asked again that could not be reached.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Waiting {
    /// Waits for the stage that was asked for. Gives how far it came, and why no further.
    pub(super) async fn until_reached(
        self,
        session: &Session,
        client: &Client,
        (position, mut reached): (u64, Reached),
    ) -> (Reached, anyhow::Result<()>) {
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
        let mut news = News::default();
        loop {
            let request = api::FollowEnforcementRequest { position, timeout: Some(wire::sent_duration(self.timeout.duration())) };
            match answer(client.revocations().follow_enforcement(request)).await {
                Ok(mut stream) => {
                    while let Ok(Some(told)) = stream.message().await {
                        *reached = Reached::of(told);
                        *problem = format!("it is not everywhere after {}s", self.timeout.duration().as_secs());
                        let over = reached.stage >= self.wait || (self.wait == Stage::Enforced && reached.is_over());
                        // What was not waited for needs no news.
                        if self.wait == Stage::Enforced && (!over || news.began()) {
                            // Who closed standard error does not want to know.
                            let _ = std::io::stderr().write_all(news.of(position, reached).as_bytes());
                        }
                        if over {
                            return;
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
