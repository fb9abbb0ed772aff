//! A disk that fills up: a small tmpfs in a mount namespace of its own, so that nothing else sees it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use curfew::client::api;

use crate::harness::{AUDIENCE, Broker, REGISTRY};

const ISSUE: [&str; 8] = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--field", "credential_id"];

/// A namespace in which `folder` is a small disk, for as long as this lives.
struct SmallDisk {
    holder: Child,
    folder: PathBuf,
}

impl SmallDisk {
    fn mount(folder: &Path, mebibytes: u32) -> Self {
        fs::create_dir_all(folder).unwrap();
        let script = format!("mount -t tmpfs -o size={mebibytes}m,mode=0700 curfew '{}' && echo mounted && exec cat", folder.display());
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().expect("this test needs `unshare` (Debian package util-linux)");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "mounted\n", "this test needs root, or CAP_SYS_ADMIN, to mount a tmpfs in a mount namespace of its own");
        Self { holder, folder: folder.to_owned() }
    }

    /// The folder, as it is seen from outside.
    fn seen(&self) -> PathBuf {
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(self.folder.strip_prefix("/").unwrap())
    }

    fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.seen()).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Fills it until at most `left` bytes are free.
    fn fill(&self, left: u64) {
        let mut filler = File::options().create(true).append(true).open(self.seen().join("filler")).unwrap();
        while self.free() > left && filler.write_all(&[1; 4096]).is_ok() {}
        assert!(self.free() <= left);
    }

    fn clear(&self) {
        fs::remove_file(self.seen().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

#[test]
fn on_a_disk_that_fills_up_issuing_stops_first_and_nothing_is_lost() {
    let mut broker = Broker::prepare();
    let config = fs::read_to_string(broker.config()).unwrap();
    let less = config.replace("min_free_disk = \"256MiB\"", "min_free_disk = \"4MiB\"");
    assert_ne!(less, config);
    fs::write(broker.config(), less).unwrap();
    let disk = SmallDisk::mount(&broker.dir().join("data"), 24);
    broker.serve_through(&["nsenter", "--target", &disk.holder.id().to_string(), "--mount"]);
    broker.serve();
    broker.apply(REGISTRY);
    let (workload, administrator) = (broker.identity("payments/api"), broker.administrator());
    let known: Vec<String> = (0..3).map(|_| broker.curfew(&workload, ISSUE).done()).collect();

    // Nearly full: nothing is issued, and revoking commits.
    disk.fill(2 << 20);
    let refused = broker.curfew(&workload, ISSUE);
    assert!(refused.code != 0 && refused.stderr.contains("issuing has stopped, revoking has not"), "{refused:?}");
    broker.curfew(&administrator, ["owner", "revoke", "acme", "--reason", "cessation-of-operation", "--wait", "published"]).done();

    // Full to the last byte: a change says that it did not commit, as soon as the log needs more room.
    disk.fill(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(broker.client(&administrator));
    let suspend = |owner: &str| {
        let ask = api::RevokeByOwnerRequest {
            owner: owner.to_owned(),
            reason: api::RevocationReason::CessationOfOperation.into(),
            suspend: true,
            ..Default::default()
        };
        runtime.block_on(client.owners().revoke_by_owner(ask))
    };
    let reinstate = |owner: &str| {
        let ask = api::OwnersReinstateRequest { owner: owner.to_owned(), note: "again".to_owned() };
        runtime.block_on(client.owners().reinstate(ask)).map(drop)
    };
    let mut committed = 0;
    let failed = loop {
        assert!(committed < 10_000, "the disk is full, and everything commits");
        match suspend("platform").map(drop).and_then(|()| reinstate("platform")) {
            Ok(()) => committed += 1,
            Err(status) => break status,
        }
    };
    assert!(failed.message().contains("full"), "{failed}");
    // What needs no entry goes on; what an administrator reads is one.
    broker.curfew(&workload, ["whoami"]).done();
    broker.curfew(&administrator, ["cred", "show", known[0].trim()]).exits(6);

    // With room again everything goes on.
    disk.clear();
    suspend("platform").unwrap();
    broker.curfew(&broker.identity("platform/ci"), ISSUE).exits(2);
    broker.curfew(&broker.identity("acme/reporting"), ISSUE).exits(2);
    let later = broker.curfew(&workload, ISSUE).done();
    for id in known.iter().chain([&later]) {
        broker.curfew(&administrator, ["cred", "show", id.trim()]).done();
    }
    assert!(broker.stop().success(), "{}", broker.log());
    let copy = broker.scratch().join("ledger.db");
    fs::copy(disk.seen().join("ledger.db"), &copy).unwrap();
    broker.curfew(&administrator, ["ledger".as_ref(), "verify".as_ref(), copy.as_os_str()]).done();
}
