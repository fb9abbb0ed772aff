//! `curfew policy`: the Cedar text that decides every call.

mod explain;
mod rehearsal;
mod test;

use std::path::PathBuf;

use serde::Serialize;

use crate::app::config::files;
use crate::cli::call::answer;
use crate::cli::exit::Refused;
use crate::cli::output::Layout;
use crate::cli::session::Session;
use crate::cli::wire;
use crate::client::api;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say what is wrong with a policy text. Changes nothing.
    Check(Args),
    /// Make a policy text the one in force.
    Apply(Args),
    /// Say whether a request would pass, which policies decide, and what bounds the life. Issues nothing.
    Explain(Box<explain::Args>),
    /// Decide requests in files by policies in a folder, without a broker. Exits 1 if one is not decided as expected.
    Test(test::Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder with the policies, *.cedar.
    #[arg(default_value = "policies", value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Debug, Serialize)]
struct Checked {
    hash: Option<String>,
    policies: Vec<String>,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Applied {
    position: u64,
    hash: String,
    unchanged: bool,
}

const CHECKED: Layout = Layout::fields(&["hash", "policies"]);
const APPLIED: Layout = Layout::fields(&["position", "hash", "unchanged"]);

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Check(args) => {
                let files = args.read()?;
                let found = answer(session.connect().await?.policy().check(api::PolicyCheckRequest { files })).await?;
                let problems = found.problems.join("\n");
                session.print(&Checked { hash: wire::text(found.hash), policies: found.policies, problems: found.problems }, CHECKED)?;
                if problems.is_empty() { Ok(()) } else { Err(Refused(format!("the policy text is not valid\n{problems}")).into()) }
            }
            Self::Apply(args) => {
                let files = args.read()?;
                let applied = answer(session.connect().await?.policy().apply(api::PolicyApplyRequest { files })).await?;
                let applied = Applied { position: applied.position, hash: applied.hash, unchanged: applied.unchanged };
                session.print(&applied, APPLIED)
            }
            Self::Explain(args) => args.run(session).await,
            Self::Test(args) => args.run(session),
        }
    }
}

impl Args {
    fn read(&self) -> anyhow::Result<Vec<api::PolicyFile>> {
        let files = files::read_policies(&self.folder)?;
        anyhow::ensure!(!files.is_empty(), "{} has no *.cedar files", self.folder.display());
        Ok(files.into_iter().map(|(name, text)| api::PolicyFile { name: name.to_string(), text }).collect())
    }
}
