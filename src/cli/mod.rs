//! The program `curfew`: one file per command.

mod backup;
mod bench;
mod call;
mod cert;
mod completions;
mod config;
mod cred;
mod demo;
mod dev;
mod downstream;
mod environment;
mod exception;
mod exit;
mod fetch;
mod finding;
mod identity;
mod init;
mod keys;
mod ledger;
mod output;
mod owner;
mod policy;
mod reconcile;
mod registry;
mod revocations;
mod revoking;
mod sample;
mod serve;
mod session;
mod source;
mod task;
mod token;
mod verify;
mod waiting;
mod whoami;
mod wire;
mod workload;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use session::{Global, Session};

/// A secrets broker in which giving access and taking it away are one linked event.
///
/// Exit codes: 0 done; 1 usage or local error; 2 refused by the broker, nothing changed; 3 revoked,
/// not yet as far as was waited for within the time given; 4 revoked, and something is known to have failed; 5 not valid
/// (verify); 6 outcome unknown, repeat.
#[derive(Debug, Parser)]
#[command(name = "curfew", version, max_term_width = 110)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell the main job in ten steps, over real sockets, against a real broker in a temporary folder.
    Demo,
    /// Leave the sample of the demo running, and print commands to paste.
    Dev,
    /// Measure what is promised, against a broker of its own in a temporary folder.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Make a folder with everything that a broker needs. Never overwrites.
    Init(init::Args),
    /// Identities from outside, for people without a PKI.
    #[command(subcommand)]
    Identity(identity::Command),
    /// Run a broker until it is told to stop (SIGTERM or SIGINT).
    Serve(serve::Args),
    /// Copy the ledger of a broker that runs, or not, to a new file, and verify the copy.
    Backup(backup::Args),
    /// Look at a broker's configuration file.
    #[command(subcommand)]
    Config(config::Command),
    /// The signing keys: what there is, changing and revoking one, and sealing those that are files.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Show who the caller is to the broker, and what policy allows.
    Whoami,
    /// Get a token.
    #[command(subcommand)]
    Token(token::Command),
    /// Get a certificate.
    #[command(subcommand)]
    Cert(cert::Command),
    /// Look at or revoke one credential.
    #[command(subcommand)]
    Cred(cred::Command),
    /// Owners, and the end of everything of an owner.
    #[command(subcommand)]
    Owner(owner::Command),
    /// Workloads.
    #[command(subcommand)]
    Workload(workload::Command),
    /// Environments.
    #[command(subcommand)]
    Environment(environment::Command),
    /// Services that accept credentials.
    #[command(subcommand)]
    Downstream(downstream::Command),
    /// Bounded pieces of work: what is issued under one dies when it ends.
    #[command(subcommand)]
    Task(task::Command),
    /// What no policy permits, allowed for a time because somebody else approved it.
    #[command(subcommand)]
    Exception(exception::Command),
    /// Compare what is registered with what was seen, and act on what does not fit together.
    Reconcile(reconcile::Args),
    /// What reconciliation found.
    #[command(subcommand)]
    Finding(finding::Command),
    /// The signed list of what is revoked.
    #[command(subcommand)]
    Revocations(revocations::Command),
    /// Who and what there is.
    #[command(subcommand)]
    Registry(registry::Command),
    /// Where records come from besides administrators.
    #[command(subcommand)]
    Source(source::Command),
    /// The policy text.
    #[command(subcommand)]
    Policy(policy::Command),
    /// The record of everything that happened.
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Check a credential offline, as a service would. Exits with 5 if it is not valid.
    #[command(subcommand)]
    Verify(verify::Command),
    /// Print the completions of a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one for each command.
    Man(completions::Man),
}

/// Parses the arguments, runs the command, and says how it ended.
pub fn main() -> ExitCode {
    crate::app::process::keep_memory_small();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed pipe cannot be told anything.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::LOCAL } else { exit::DONE });
        }
    };
    match crate::app::process::keep_memory_private().map_err(Into::into).and_then(|()| run(arguments)) {
        Ok(()) => ExitCode::from(exit::DONE),
        Err(error) => {
            let code = exit::code(&error);
            if code != exit::DONE {
                let _ = writeln!(std::io::stderr(), "curfew: {}", exit::explain(&error));
            }
            ExitCode::from(code)
        }
    }
}

fn run(Arguments { global, command }: Arguments) -> anyhow::Result<()> {
    // A broker has a runtime of its own, of the size that its configuration says.
    if let Command::Serve(args) = command {
        return args.run(global.format);
    }
    let session = Session::new(global);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(dispatch(&session, command))
}

async fn dispatch(session: &Session, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(_) => Ok(()),
        Command::Demo => demo::run(session).await,
        Command::Dev => dev::run(session).await,
        Command::Bench(command) => command.run(session).await,
        Command::Init(args) => args.run(session),
        Command::Identity(command) => command.run(session),
        Command::Backup(args) => args.run(session),
        Command::Config(command) => command.run(session),
        Command::Keys(command) => command.run(session).await,
        Command::Whoami => whoami::run(session).await,
        Command::Token(command) => command.run(session).await,
        Command::Cert(command) => command.run(session).await,
        Command::Cred(command) => command.run(session).await,
        Command::Owner(command) => command.run(session).await,
        Command::Workload(command) => command.run(session).await,
        Command::Environment(command) => command.run(session).await,
        Command::Downstream(command) => command.run(session).await,
        Command::Task(command) => command.run(session).await,
        Command::Exception(command) => command.run(session).await,
        Command::Reconcile(args) => args.run(session).await,
        Command::Finding(command) => command.run(session).await,
        Command::Revocations(command) => command.run(session).await,
        Command::Registry(command) => command.run(session).await,
        Command::Source(command) => command.run(session).await,
        Command::Policy(command) => command.run(session).await,
        Command::Ledger(command) => command.run(session).await,
        Command::Verify(command) => command.run(session).await,
        Command::Completions { shell } => completions::completions(shell),
        Command::Man(args) => args.run(session),
    }
}

#[cfg(test)]
mod tests;
