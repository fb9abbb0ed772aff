//! `curfew task`: bounded pieces of work.

use serde::Serialize;

use super::call::answer;
use super::output::Layout;
use super::session::Session;
use super::wire;
use crate::app::config::Span;
use crate::client::api;
use crate::model::{Position, Timestamp};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Open a task. `--field task` prints its number alone.
    Open(OpenArgs),
    /// Close a task for good: everything issued under it is dead.
    Close {
        /// Its number.
        task: Position,
        /// Why, for people; to the ledger only.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// List the tasks that are open, or closed and not settled.
    List {
        /// Only those of this owner; a workload names its own.
        #[arg(long)]
        owner: Option<String>,
    },
    /// Show a task.
    Show {
        /// Its number.
        task: Position,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct OpenArgs {
    /// The environment in which it runs.
    #[arg(long, value_name = "NAME")]
    environment: String,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// It ends by itself after this time, such as 30m; at most 24h.
    #[arg(long, value_name = "DURATION", required_unless_present = "deadline", conflicts_with = "deadline")]
    within: Option<Span>,
    /// It ends by itself at this instant, RFC 3339.
    #[arg(long, value_name = "INSTANT")]
    deadline: Option<Timestamp>,
    /// The owner under which it runs; that of the calling workload by default.
    #[arg(long)]
    owner: Option<String>,
    /// The only workload that may use it; any of the owner's by default.
    #[arg(long, value_name = "SPIFFE-ID")]
    workload: Option<String>,
}

#[derive(Debug, Serialize)]
struct Task {
    task: u64,
    owner: String,
    environment: String,
    workload: Option<String>,
    deadline: Option<String>,
    purpose: String,
    opened_by: String,
    opened_at: Option<String>,
    closed_position: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Tasks {
    tasks: Vec<Task>,
    truncated: bool,
}

#[derive(Debug, Serialize)]
struct Closed {
    task: u64,
    position: u64,
    ended: u64,
    repeated: bool,
}

const TASK: Layout =
    Layout::fields(&["task", "owner", "environment", "workload", "deadline", "purpose", "opened_by", "opened_at", "closed_position"]);
const TASKS: Layout = Layout::rows("tasks", &["task", "owner", "environment", "workload", "deadline", "closed_position", "purpose"]);
const CLOSED: Layout = Layout::fields(&["task", "position", "ended", "repeated"]);

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let client = session.connect().await?;
        match self {
            Self::Open(args) => {
                let opened = answer(client.tasks().open(args.request(session.clock.now()))).await?;
                session.print(&Task::from(opened.task.unwrap_or_default()), TASK)
            }
            Self::Close { task, note } => {
                let request = api::TasksCloseRequest { task: task.get(), note: note.unwrap_or_default() };
                let closed = answer(client.tasks().close(request)).await?;
                let closed = Closed { task: task.get(), position: closed.position, ended: closed.ended, repeated: closed.repeated };
                session.print(&closed, CLOSED)
            }
            Self::List { owner } => {
                let found = answer(client.tasks().list(api::TasksListRequest { owner: owner.unwrap_or_default() })).await?;
                let tasks = found.tasks.into_iter().map(Task::from).collect();
                session.print(&Tasks { tasks, truncated: found.truncated }, TASKS)
            }
            Self::Show { task } => {
                let found = answer(client.tasks().get(api::TasksGetRequest { task: task.get() })).await?;
                session.print(&Task::from(found.task.unwrap_or_default()), TASK)
            }
        }
    }
}

impl OpenArgs {
    fn request(self, now: Timestamp) -> api::TasksOpenRequest {
        let deadline = self.deadline.or_else(|| self.within.map(|within| now.plus(within.duration())));
        api::TasksOpenRequest {
            owner: self.owner.unwrap_or_default(),
            environment: self.environment,
            workload: self.workload.unwrap_or_default(),
            deadline: deadline.map(wire::sent_instant),
            purpose: self.purpose,
        }
    }
}

impl From<api::Task> for Task {
    fn from(task: api::Task) -> Self {
        Self {
            task: task.task,
            owner: task.owner,
            environment: task.environment,
            workload: wire::text(task.workload),
            deadline: wire::instant(task.deadline),
            purpose: task.purpose,
            opened_by: task.opened_by,
            opened_at: wire::instant(task.opened_at),
            closed_position: wire::number(task.closed_position),
        }
    }
}
