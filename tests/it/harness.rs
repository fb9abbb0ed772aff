//! A real broker in a process of its own, in a temporary folder, on loopback; and the program
//! `curfew` as its users run it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use curfew::client::{Client, Config};
use serde_json::Value;
use tempfile::TempDir;

/// Owners, workloads and downstreams of the tests.
pub(crate) const REGISTRY: &str = include_str!("registry.yaml");

/// The audience that `ledger-api` answers to.
pub(crate) const AUDIENCE: &str = "https://ledger.example.org";

/// How long a broker may take to say where it listens, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker. It is killed, and its folder goes, when this is dropped.
pub(crate) struct Broker {
    process: Option<Child>,
    addresses: Addresses,
    folder: TempDir,
    /// A command that runs the process, if it is not to be run as it is.
    through: Vec<String>,
}

/// Where a broker says that it listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) grpc: String,
    pub(crate) public: String,
    pub(crate) admin: String,
    /// Only if the configuration has it listen there.
    pub(crate) lists: Option<String>,
}

/// A client certificate and its key, as files.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// What one run of the program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Broker {
    /// A new broker that knows the registry of the tests.
    pub(crate) fn start() -> Self {
        let broker = Self::start_empty();
        broker.apply(REGISTRY);
        broker
    }

    /// A new broker that knows nobody but its administrator.
    pub(crate) fn start_empty() -> Self {
        let mut broker = Self::prepare();
        broker.serve();
        broker
    }

    /// A folder as `curfew init` makes it, for any free ports; nothing runs yet.
    pub(crate) fn prepare() -> Self {
        Self::prepare_with(tempfile::tempdir().unwrap(), &[])
    }

    /// The same, with private keys that are sealed under a key-encryption key.
    pub(crate) fn prepare_sealed() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("seal");
        Self::prepare_with(folder, &["--seal-with".as_ref(), secret.as_os_str()])
    }

    fn prepare_with(folder: TempDir, options: &[&OsStr]) -> Self {
        let broker = Self { process: None, addresses: Addresses::default(), folder, through: Vec::new() };
        let dir = broker.dir();
        run(Command::new(PROGRAM).arg("init").arg(&dir).args(options)).done();
        let config = fs::read_to_string(broker.config()).unwrap();
        let any_port = ["7443", "7480", "7490"].iter().fold(config, |config, port| {
            assert!(config.contains(&format!("127.0.0.1:{port}\"")), "no port {port} in the configuration");
            config.replace(&format!("127.0.0.1:{port}\""), "127.0.0.1:0\"")
        });
        // Tests and benchmarks ask as fast as they can.
        let limits =
            ["workload_rate = 1000", "owner_rate = 5000", "administrator_rate = 100", "source_rate = 200", "workload_live = 100000"];
        let at_full_speed = limits.iter().fold(any_port, |config, limit| {
            assert!(config.contains(&format!("\n{limit}\n")), "no {limit} in the configuration");
            config.replace(limit, &format!("{limit}000"))
        });
        fs::write(broker.config(), at_full_speed).unwrap();
        broker
    }

    /// Starts the process and waits until it says where it listens.
    pub(crate) fn serve(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        self.serve_with_log(log);
    }

    /// The same, with standard error going where the test says.
    pub(crate) fn serve_with_log(&mut self, log: impl Into<Stdio>) {
        assert!(self.process.is_none(), "it is being served");
        let mut command = program_through(&self.through);
        command.args(["serve", "--format", "json", "--config"]).arg(self.config());
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        self.process = Some(process);
        let (told, line) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            // A broker that ends closes its output: an empty line says so.
            let _ = stdout.read_line(&mut line);
            let _ = told.send((line, stdout));
        });
        let (line, _stdout) = line.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no address after {PATIENCE:?}\n{}", self.log()));
        self.addresses = Addresses::read(&line).unwrap_or_else(|| panic!("`{line}` tells no addresses\n{}", self.log()));
    }

    /// Runs the process by another command from now on, such as `nsenter`.
    pub(crate) fn serve_through(&mut self, command: &[&str]) {
        self.through = command.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Tries to start the process, which must end by itself; answers what it says.
    #[track_caller]
    pub(crate) fn refuses_to_start(&self) -> String {
        let patience = PATIENCE.as_secs().to_string();
        let mut command = program_through(&["timeout".to_owned(), patience]);
        run(command.args(["serve", "--config"]).arg(self.config())).exits(1).stderr
    }

    /// SIGKILL: the process gets no chance to finish anything.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// How the process ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let ended = self.process.as_mut().expect("it is being served").try_wait().unwrap();
        if ended.is_some() {
            self.process = None;
        }
        ended
    }

    /// SIGTERM: the process drains, closes, and says how it ended.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let terminated = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.process_id())]).status().unwrap();
        let mut process = self.process.take().expect("it is being served");
        assert!(terminated.success());
        let (ended, status) = mpsc::channel();
        std::thread::spawn(move || ended.send(process.wait().unwrap()));
        status.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it runs {PATIENCE:?} after SIGTERM\n{}", self.log()))
    }

    /// Kills the process and starts another on the same folder, on other ports.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.serve();
    }

    /// Another broker with the same keys, and the same ledger as this one has now. Nothing runs yet.
    pub(crate) fn twin(&self) -> Self {
        assert!(self.process.is_none(), "what is being served cannot be copied");
        let folder = tempfile::tempdir().unwrap();
        let twin = Self { process: None, addresses: Addresses::default(), folder, through: self.through.clone() };
        run(Command::new("cp").arg("-a").arg(self.dir()).arg(twin.dir())).done();
        twin
    }

    /// The folder that `curfew init` made.
    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("broker")
    }

    /// A folder for what the test makes itself.
    pub(crate) fn scratch(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir().join("curfew.toml")
    }

    /// What clients trust the broker by; the certificate of its issuer.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir().join("ca.pem")
    }

    /// Where it listens now.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What is public is served below this.
    pub(crate) fn public_url(&self) -> String {
        format!("https://{}", self.addresses.public)
    }

    /// What it wrote to standard error so far, all runs together.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The same, once it holds these words: what is said is written a moment later. What a process said that has
    /// ended in order is all there.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) -> String {
        eventually(PATIENCE, || Some(self.log()).filter(|log| words.iter().all(|word| log.contains(word))))
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("broker.log")
    }

    /// The administrator that `curfew init` named.
    pub(crate) fn administrator(&self) -> Identity {
        Identity::at(&self.dir().join("admin"))
    }

    /// The identity from outside of `path`, such as `payments/api`; made when it is first asked for.
    pub(crate) fn identity(&self, path: &str) -> Identity {
        let prefix = self.folder.path().join(path.replace('/', "-"));
        let identity = Identity::at(&prefix);
        if identity.key.exists() {
            return identity;
        }
        let id = format!("spiffe://example.org/{path}");
        run(program().args(["identity", "new", &id, "--dir"]).arg(self.dir()).arg("--out").arg(&prefix)).done();
        identity
    }

    /// The program as `caller` runs it against this broker.
    pub(crate) fn curfew<I: AsRef<OsStr>>(&self, caller: &Identity, arguments: impl IntoIterator<Item = I>) -> Ran {
        run(&mut self.command(caller, arguments))
    }

    /// The same, to be run.
    pub(crate) fn command<I: AsRef<OsStr>>(&self, caller: &Identity, arguments: impl IntoIterator<Item = I>) -> Command {
        let mut command = program();
        command.args(arguments).current_dir(self.folder.path());
        command.env("CURFEW_ADDR", &self.addresses.grpc).env("CURFEW_URL", self.public_url()).env("CURFEW_CACERT", self.ca());
        command.env("CURFEW_CLIENT_CERT", &caller.certificate).env("CURFEW_CLIENT_KEY", &caller.key);
        command
    }

    /// Makes the records equal to a registry; ends whatever it does not name.
    pub(crate) fn apply(&self, registry: &str) {
        let file = self.folder.path().join("registry.yaml");
        fs::write(&file, registry).unwrap();
        let file = file.to_str().unwrap();
        self.curfew(&self.administrator(), ["registry", "apply", file, "--allow-end", "1000"]).done();
    }

    /// The typed client, as `caller`.
    pub(crate) async fn client(&self, caller: &Identity) -> Client {
        Client::connect(self.client_config(caller)).await.unwrap()
    }

    /// How `caller` reaches this broker.
    pub(crate) fn client_config(&self, caller: &Identity) -> Config {
        let read = |path: &Path| fs::read(path).unwrap();
        Config::new(&self.addresses.grpc, read(&self.ca()), read(&caller.certificate), read(&caller.key))
    }

    /// The process that serves.
    pub(crate) fn process_id(&self) -> u32 {
        self.process.as_ref().expect("it is not being served").id()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            print(&format!("the broker's log:\n{}", self.log()));
        }
    }
}

impl Addresses {
    fn read(line: &str) -> Option<Self> {
        let told: Value = serde_json::from_str(line).ok()?;
        let address = |name: &str| Some(told.get(name)?.as_str()?.to_owned());
        Some(Self { grpc: address("grpc")?, public: address("public")?, admin: address("admin")?, lists: address("lists") })
    }
}

impl Identity {
    /// PREFIX.pem and PREFIX.key, as the program writes them.
    pub(crate) fn at(prefix: &Path) -> Self {
        let beside = |extension: &str| PathBuf::from(format!("{}.{extension}", prefix.display()));
        Self { certificate: beside("pem"), key: beside("key") }
    }
}

impl Ran {
    /// What it printed, if it exited with 0.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        self.exits(0).stdout
    }

    /// What it printed with `--format json`, if it exited with 0.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.done()).unwrap()
    }

    /// Itself, if that was its exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        self
    }
}

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_curfew");

/// The program, free of what the environment of the tests would tell it.
pub(crate) fn program() -> Command {
    program_through(&[])
}

/// The same, run by another command.
fn program_through(words: &[String]) -> Command {
    let mut command = match words {
        [] => Command::new(PROGRAM),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(PROGRAM);
            command
        }
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CURFEW_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    // A signal leaves no code.
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// How often something is done: `usually`, or `in_long_mode` as `tests/run --long` sets it.
pub(crate) fn rounds(usually: usize, in_long_mode: usize) -> usize {
    if std::env::var_os("CURFEW_TEST_LONG").is_some() { in_long_mode } else { usually }
}

/// Looks again until `seen` answers something, for at most `patience`.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "another process is waited for, and it has its own clock")]
pub(crate) fn eventually<T>(patience: Duration, mut seen: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = seen() {
            return answer;
        }
        assert!(began.elapsed() < patience, "not seen within {patience:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[expect(clippy::print_stderr, reason = "shown by cargo with the test that failed")]
fn print(text: &str) {
    eprintln!("{text}");
}
