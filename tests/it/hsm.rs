//! Signing keys that never leave a PKCS#11 module: SoftHSM, with key pairs that OpenSC made on it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::{AUDIENCE, Broker, REGISTRY, Ran, eventually, program, run};
use crate::outside::judge_broker;
use crate::process::get;

const PIN: &str = "314159";

/// A broker whose keys for tokens, certificates and lists are on a token of SoftHSM.
struct World {
    broker: Broker,
    softhsm: String,
}

impl World {
    fn prepare() -> Self {
        Self::on(&module())
    }

    /// The same, through another module in front of it.
    fn on(loaded: &Path) -> Self {
        let broker = Broker::prepare();
        let tokens = broker.scratch().join("tokens");
        fs::create_dir(&tokens).unwrap();
        let configuration = broker.scratch().join("softhsm2.conf");
        fs::write(&configuration, format!("directories.tokendir = {}\n", tokens.display())).unwrap();
        let world = Self { softhsm: format!("SOFTHSM2_CONF={}", configuration.display()), broker };
        world.tool("softhsm2-util", &["--init-token", "--free", "--label", "curfew", "--pin", PIN, "--so-pin", "271828"]);
        for (id, label) in [("01", "curfew-token"), ("02", "curfew-issuer"), ("03", "curfew-list")] {
            let made = ["--keypairgen", "--key-type", "EC:prime256v1", "--id", id, "--label", label];
            let module = module();
            let login = ["--module", module.to_str().unwrap(), "--login", "--pin", PIN, "--token-label", "curfew"];
            world.tool("pkcs11-tool", &[login.as_slice(), &made].concat());
        }
        world.pin(PIN);
        for gone in ["token.key", "issuer.key", "list.key", "issuer.pem"] {
            fs::remove_file(world.broker.dir().join("keys").join(gone)).unwrap();
        }
        let config = fs::read_to_string(world.broker.config()).unwrap();
        let hsm = format!(
            "[pkcs11]\nmodule = \"{}\"\ntoken = \"curfew\"\npin_file = \"../pin\"\n\
             token_key = \"curfew-token\"\nissuer_key = \"curfew-issuer\"\nlist_key = \"curfew-list\"\n",
            loaded.display()
        );
        fs::write(world.broker.config(), format!("{config}\n{hsm}")).unwrap();
        world
    }

    fn tool(&self, name: &str, arguments: &[&str]) -> String {
        run(Command::new("env").arg(&self.softhsm).arg(name).args(arguments)).done()
    }

    fn pin(&self, pin: &str) {
        let file = self.broker.scratch().join("pin");
        fs::write(&file, format!("{pin}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The program, on the broker's configuration.
    fn curfew<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Ran {
        let mut command = Command::new("env");
        command.arg(&self.softhsm).arg(program().get_program()).args(arguments).arg("--config").arg(self.broker.config());
        run(command.args(["--format", "json"]))
    }
}

/// Where Debian puts it.
fn module() -> PathBuf {
    "/usr/lib/softhsm/libsofthsm2.so".into()
}

/// A broker that signs with the module, and knows the registry of the tests.
fn serving() -> World {
    let world = World::prepare();
    let softhsm = world.softhsm.clone();
    world.serving(&["env", &softhsm])
}

impl World {
    fn serving(self, through: &[&str]) -> Self {
        let mut world = self;
        let certified = world.curfew(&["keys", "certify"]).json();
        let certificate = PathBuf::from(certified["certificate_file"].as_str().unwrap());
        fs::copy(certificate, world.broker.ca()).unwrap();
        world.broker.serve_through(through);
        world.broker.serve();
        world.broker.apply(REGISTRY);
        world
    }

    fn token(&self, workload: &str) -> Ran {
        let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];
        self.broker.curfew(&self.broker.identity(workload), ask)
    }

    /// The value of a metric.
    fn metric(&self, name: &str) -> f64 {
        let (_, all) = get(&self.broker, "/metrics");
        all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }
}

#[test]
fn tokens_and_certificates_are_signed_by_a_module() {
    let mut world = serving();
    let listed = world.curfew(&["keys", "files"]).json();
    let labels: Vec<_> = listed["keys"].as_array().unwrap().iter().map(|key| key["label"].as_str()).collect();
    assert_eq!(labels, [Some("curfew-token"), Some("curfew-issuer"), Some("curfew-list"), None]);
    judge_broker(&world.broker, &["tokens.py", "certificates.py"]);
    let left: Vec<_> = fs::read_dir(world.broker.dir().join("keys")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "the issuer's certificate, the checkpoint key and the high-water mark: {left:?}");
    assert!(world.broker.stop().success(), "{}", world.broker.log());
}

#[test]
fn lists_are_signed_by_a_module() {
    judge_broker(&serving().broker, &["story.py"]);
}

#[test]
fn a_module_that_cannot_sign_is_said_at_the_start() {
    let world = World::prepare();
    world.curfew(&["keys", "certify"]).done();
    let again = world.curfew(&["keys", "certify"]).exits(1).stderr;
    assert!(again.contains("issuer.pem") && again.contains("exists"), "{again}");
    world.curfew(&["config", "check"]).done();
    let config = fs::read_to_string(world.broker.config()).unwrap();
    for (from, to, expected) in [
        ("curfew-list", "curfew-lost", "0 objects of class CKO_PRIVATE_KEY with the label `curfew-lost`"),
        ("token = \"curfew\"", "token = \"other\"", "one token with the label `other`"),
        ("libsofthsm2.so", "libnone.so", "libnone.so"),
    ] {
        fs::write(world.broker.config(), config.replace(from, to)).unwrap();
        let error = world.curfew(&["config", "check"]).exits(1).stderr;
        assert!(error.contains(expected), "{error}");
    }
    fs::write(world.broker.config(), &config).unwrap();
    world.pin("141421");
    let error = world.curfew(&["config", "check"]).exits(1).stderr;
    assert!(error.contains("PIN") && !error.contains("141421") && !error.contains(PIN), "{error}");
}

/// How long something that happens by itself may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_module_that_forgets_or_hangs_holds_up_nothing_but_signatures_and_comes_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("module.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside/module.c");
    run(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl")).done();
    let world = World::on(&library);
    let config = fs::read_to_string(world.broker.config()).unwrap();
    // With one session for each key, one signature that hangs is all that hang.
    fs::write(world.broker.config(), format!("{config}sign_time = \"500ms\"\nsessions = 1\n")).unwrap();
    let (softhsm, faults) = (world.softhsm.clone(), format!("MODULE_FAULTS={}", folder.path().display()));
    let mut world = world.serving(&["env", &softhsm, &faults]);
    world.token("payments/api").done();

    let forget = folder.path().join("forget");
    fs::write(&forget, "").unwrap();
    eventually(PATIENCE, || {
        world.token("payments/api").done();
        (!forget.exists() && world.broker.log().contains("is lost; opening another")).then_some(())
    });
    world.token("payments/api").done();

    let hang = folder.path().join("hang");
    run(Command::new("mkfifo").arg(&hang)).done();
    let told = world.token("payments/api").exits(6).stderr;
    assert!(told.contains("SIGNER_UNAVAILABLE"), "{told}");
    eventually(PATIENCE, || (world.metric("curfew_keys_silent") >= 2.0).then_some(()));
    assert!(world.metric("curfew_signing_errors_total") >= 2.0);
    world.broker.says(&["no signatures are made", "it did not answer within 500ms"]);
    let administrator = world.broker.administrator();
    let end = ["owner", "revoke", "payments", "--reason", "superseded", "--wait", "committed", "--format", "json"];
    let revoked = world.broker.curfew(&administrator, end).json()["position"].as_f64().unwrap();
    world.broker.curfew(&administrator, ["owner", "show", "payments"]).done();
    assert!(world.metric("curfew_list_position") < revoked, "no list could be signed");

    let release = fs::File::options().write(true).open(&hang).unwrap();
    fs::remove_file(&hang).unwrap();
    drop(release);
    eventually(PATIENCE, || (world.metric("curfew_list_position") >= revoked && world.metric("curfew_keys_silent") == 0.0).then_some(()));
    world.token("acme/reporting").done();
    world.broker.says(&["signatures are made again"]);
    assert!(world.broker.stop().success(), "{}", world.broker.log());
}
