//! A real PostgreSQL in a temporary folder: on loopback with TLS, and on a socket.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::authority::Vouched;
use crate::harness::{eventually, run};

const PATIENCE: Duration = Duration::from_secs(60);

/// The user that reads, and its password.
pub(crate) const READER: (&str, &str) = ("reader", "a long secret of the tests");

/// A database. It is stopped, and its folder goes, when this is dropped.
pub(crate) struct Postgres {
    server: Option<Child>,
    programs: PathBuf,
    folder: TempDir,
    pub(crate) port: u16,
}

impl Postgres {
    /// A new one without tables.
    pub(crate) fn start() -> Self {
        // What it keeps belongs to whom it runs as, who passes through here.
        let folder = tempfile::tempdir().unwrap();
        run(Command::new("chmod").arg("755").arg(folder.path())).done();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut postgres = Self { server: None, programs: programs(), folder, port };
        let home = postgres.home();
        fs::create_dir(&home).unwrap();
        let vouched = Vouched::new();
        fs::write(postgres.authority(), vouched.authority).unwrap();
        fs::write(home.join("server.pem"), vouched.certificate).unwrap();
        fs::write(home.join("server.key"), vouched.key).unwrap();
        run(Command::new("chmod").arg("600").arg(home.join("server.key"))).done();
        if is_root() {
            run(Command::new("chown").args(["-R", "postgres:postgres"]).arg(&home)).done();
        }
        let data = postgres.data();
        run(as_nobody(&postgres.programs.join("initdb")).args(["--auth=trust", "--username=postgres", "--no-sync", "--pgdata"]).arg(&data))
            .done();
        let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl all all 127.0.0.1/32 reject\n";
        fs::write(data.join("pg_hba.conf"), rules).unwrap();
        postgres.serve();
        postgres.sql(&format!("CREATE ROLE {} LOGIN PASSWORD '{}'", READER.0, READER.1));
        postgres
    }

    /// Starts the server.
    pub(crate) fn serve(&mut self) {
        let home = self.home();
        let mut command = as_nobody(&self.programs.join("postgres"));
        command.arg("-D").arg(self.data()).args([
            "-c",
            "fsync=off",
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            &format!("port={}", self.port),
        ]);
        command.args(["-c", &format!("unix_socket_directories={}", home.display()), "-c", "ssl=on"]);
        command.args(["-c", &format!("ssl_cert_file={}", home.join("server.pem").display())]);
        command.args(["-c", &format!("ssl_key_file={}", home.join("server.key").display())]);
        self.server = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        eventually(PATIENCE, || (self.psql("postgres", "SELECT 1").code == 0).then_some(()));
    }

    /// Kills the server.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            // SIGQUIT: at once, and its children too, which a SIGKILL would leave behind.
            run(Command::new("kill").args(["-QUIT", &server.id().to_string()])).done();
            server.wait().unwrap();
        }
    }

    /// Runs a statement as its administrator.
    pub(crate) fn sql(&self, statement: &str) -> String {
        self.sql_in("postgres", statement)
    }

    /// The same, in another database than the first.
    pub(crate) fn sql_in(&self, database: &str, statement: &str) -> String {
        self.psql(database, statement).done()
    }

    fn psql(&self, database: &str, statement: &str) -> crate::harness::Ran {
        let port = self.port.to_string();
        let mut command = Command::new(self.programs.join("psql"));
        command.arg("-h").arg(self.home()).args(["-p", &port, "-U", "postgres", "-d", database, "-X", "-q", "-A", "-t"]);
        run(command.args(["-v", "ON_ERROR_STOP=1", "-c", statement]))
    }

    /// The certificate of whoever vouches for it.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// Where its socket and all that it keeps are.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn data(&self) -> PathBuf {
        self.home().join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where Debian puts the newest.
fn programs() -> PathBuf {
    let all = fs::read_dir("/usr/lib/postgresql").expect("tests/run installs it");
    let newest = all.map(|entry| entry.unwrap().path().join("bin")).filter(|path| path.join("initdb").exists()).max();
    newest.expect("a server is installed")
}

fn is_root() -> bool {
    run(Command::new("id").arg("-u")).done().trim() == "0"
}

/// PostgreSQL does not run as root.
fn as_nobody(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    // Whatever ends the test ends it too.
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=QUIT"]).arg(program);
    command.current_dir("/");
    command
}
