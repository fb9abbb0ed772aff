//! The sample that `demo` and `dev` show: a folder as `init` makes it, and a broker in a process of
//! its own that serves it on any free ports.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

use super::init::{self, Made};
use super::session::Session;
use super::{identity, registry};
use crate::app::config::files::{self, Scratch};
use crate::client::{Client, Config, api};
use crate::keys::identity::Identity;

/// How long a broker may take until it says where it listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker that runs a sample. It ends, and its folder goes, when this is dropped.
pub(super) struct Sample {
    broker: Broker,
    pub(super) made: Made,
    pub(super) listens: Listens,
    // Last, so that the folder goes after the broker.
    _scratch: Scratch,
}

/// Where the broker says that it listens.
#[derive(Debug, Deserialize)]
pub(super) struct Listens {
    pub(super) grpc: String,
    pub(super) public: String,
    pub(super) admin: String,
}

struct Broker {
    process: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Sample {
    /// Makes the folder, starts the broker, and waits until it serves. The configuration is the sample, or a change of it.
    pub(super) async fn start(session: &Session, config: &str) -> anyhow::Result<Self> {
        let scratch = Scratch::create(&session.entropy)?;
        let dir = scratch.path().join("sample");
        let config = on_any_ports(config);
        let plan = init::Plan { dir: &dir, domain: &init::DOMAIN.parse()?, config: &config, secret: None };
        let made = plan.make(session.clock.now(), &session.entropy)?;
        let mut broker = Broker::spawn(&made)?;
        let listens = broker.listens().await.with_context(|| last_words(&log_file(&made)))?;
        Ok(Self { broker, made, listens, _scratch: scratch })
    }

    /// Where what is public is served.
    pub(super) fn url(&self) -> String {
        format!("https://{}", self.listens.public)
    }

    /// What clients trust the broker by, PEM.
    pub(super) fn ca(&self) -> anyhow::Result<Vec<u8>> {
        Ok(files::read_bytes(&self.made.ca())?)
    }

    /// The administrator's identity.
    pub(super) fn administrator(&self) -> anyhow::Result<Identity> {
        let (certificate, key) = self.made.administrator();
        Ok(Identity { certificate: files::read_text(&certificate)?, key: files::read_secret(&key)? })
    }

    /// A new identity of the workload at `path` in the sample's trust domain.
    pub(super) fn identity(&self, session: &Session, path: &str) -> anyhow::Result<Identity> {
        let domain: crate::model::TrustDomain = init::DOMAIN.parse()?;
        identity::for_a_year(&self.made.identity_ca, &domain.id(path)?, session.clock.now(), &session.entropy)
    }

    /// How the holder of an identity reaches the broker.
    pub(super) fn reached_by(&self, identity: &Identity) -> anyhow::Result<Config> {
        let (certificate, key) = (identity.certificate.clone().into_bytes(), identity.key.as_bytes().to_vec());
        Ok(Config::new(&self.listens.grpc, self.ca()?, certificate, key))
    }

    /// Connects with an identity.
    pub(super) async fn connect(&self, identity: &Identity) -> anyhow::Result<Client> {
        Ok(Client::connect(self.reached_by(identity)?).await?)
    }

    /// Records the sample registry.
    pub(super) async fn register(&self, administrator: &Client) -> anyhow::Result<api::RegistryApplyResponse> {
        let path = self.made.dir.join("registry").join("registry.yaml");
        let text = files::read_text(&path)?;
        Self::apply(administrator, path, text).await
    }

    /// Records a registry.
    pub(super) async fn apply(administrator: &Client, path: PathBuf, text: String) -> anyhow::Result<api::RegistryApplyResponse> {
        registry::apply(administrator, registry::read(&[(path, text)])?, 0).await
    }

    /// Returns when the broker has ended.
    pub(super) async fn ended(&mut self) {
        if let Some(stdout) = self.broker.stdout.take() {
            let rest = move || stdout.lines().map_while(Result::ok).for_each(drop);
            // Only a panic could be lost here, and a broker that cannot be read has ended.
            let _ = tokio::task::spawn_blocking(rest).await;
        }
    }

    /// The end of the broker's log, for people who ask what went wrong.
    pub(super) fn last_words(&self) -> String {
        last_words(&log_file(&self.made))
    }
}

/// Comes when somebody asks the program to end, by Ctrl-C or a signal, or closes its terminal, from
/// this call on: the broker and its folder are to go then.
///
/// # Errors
/// If signals cannot be waited for.
pub(super) fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

impl Broker {
    fn spawn(made: &Made) -> anyhow::Result<Self> {
        let log = files::open_new(&log_file(made))?;
        let mut command = Command::new(files::program()?);
        command.arg("serve").arg("--config").arg(made.config()).args(["--format", "json"]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().context("cannot start a broker")?;
        let stdout = process.stdout.take().map(BufReader::new);
        Ok(Self { process, stdout })
    }

    /// The first line that it writes.
    async fn listens(&mut self) -> anyhow::Result<Listens> {
        let mut stdout = self.stdout.take().context("the broker's output was read before")?;
        let first = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).map(|_| (line, stdout))
        });
        let (line, stdout) = tokio::time::timeout(PATIENCE, first).await.context("the broker does not say where it listens")???;
        self.stdout = Some(stdout);
        serde_json::from_str(&line).context("the broker did not start")
    }
}

/// The sample configuration for those who look on: lists end after seconds, and so do the waits for them. On one machine
/// no clock is wrong, and no list has far to go.
pub(super) fn short_waits() -> String {
    let fields = [
        ("max_staleness = \"30s\"", "max_staleness = \"5s\""),
        ("heartbeat = \"2s\"", "heartbeat = \"1s\""),
        ("clock_skew = \"30s\"", "clock_skew = \"0s\""),
    ];
    fields.iter().fold(init::CONFIG.to_owned(), |config, (from, to)| config.replace(from, to))
}

/// The same configuration, for a broker beside which others may run.
fn on_any_ports(config: &str) -> String {
    ["7443", "7480", "7490"]
        .iter()
        .fold(config.to_owned(), |config, port| config.replace(&format!("\"127.0.0.1:{port}\""), "\"127.0.0.1:0\""))
}

fn log_file(made: &Made) -> PathBuf {
    made.dir.join("broker.log")
}

fn last_words(log: &Path) -> String {
    let text = files::read_text(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(8);
    format!("the broker's log ends with:\n{}\n", lines.get(from..).unwrap_or_default().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_takes_whatever_ports_are_free() {
        let config = on_any_ports(init::CONFIG);
        let listen = config.split_once("[listen]").and_then(|(_, rest)| rest.split_once("\n[")).expect("a table and another").0;
        let fields = listen.lines().filter(|line| line.contains(" = ") && !line.starts_with('#'));
        assert_eq!(fields.map(|line| line.ends_with("= \"127.0.0.1:0\"")).collect::<Vec<_>>(), [true; 3], "{listen}");
    }
}
