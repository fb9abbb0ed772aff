//! A copy of a ledger, of one moment, also of one that is in use; it gets its name only when it is
//! verified and on the disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::sqlite::{rows, store};
use super::verify::{self, Offline, Report};
use super::{OpenError, Problem};
use crate::model::Position;

/// Pages that are copied in one go, some megabytes.
const PAGES: i32 = 1024;

/// A copy that was made.
#[derive(Debug)]
pub(crate) struct Copied {
    /// What its verification found: no problem.
    pub report: Report,
    /// Its size.
    pub bytes: u64,
}

/// Why there is no copy. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// Something has the name of the copy, or the name that it has while it is made.
    #[error("{} exists: nothing is overwritten; choose another name, or remove it", .0.display())]
    Exists(PathBuf),
    /// The ledger, or the copy, cannot be read.
    #[error(transparent)]
    Ledger(#[from] OpenError),
    /// The copy cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The ledger is not sound, so its copy is not a backup.
    #[error("the copy is not sound, and was removed: {found} problems, the first: {first}; look with `curfew ledger verify`")]
    NotSound {
        /// How many problems.
        found: u64,
        /// The first of them.
        first: Problem,
    },
}

/// Copies the ledger at `from`, in use or not, to a new file at `to`. `progress` is told each
/// position that is verified.
///
/// # Errors
/// If something is there already, the ledger is not sound, or a file cannot be read or written.
pub(crate) fn backup(from: &Path, to: &Path, progress: impl FnMut(Position)) -> Result<Copied, BackupError> {
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let part = Part::create(to)?;
    copy(from, &part.0)?;
    let report = Offline::open(&part.0)?.verify(progress);
    if let Some(first) = report.problems.first() {
        return Err(BackupError::NotSound { found: report.found, first: first.clone() });
    }
    let bytes = part.name(to)?;
    Ok(Copied { report, bytes })
}

/// All pages, as of one moment: what is committed meanwhile is not in, and is not held up.
fn copy(from: &Path, to: &Path) -> Result<(), OpenError> {
    let from = from.canonicalize().map_err(|error| OpenError::Store(format!("{}: {error}", from.display())))?;
    let (_lock, source) = match verify::share_lock(&from) {
        Ok(lock) => (lock, verify::connect(&from)?),
        // A broker writes to it: SQLite's log lets others read beside it.
        Err(OpenError::InUse(_)) => (None, store::connect(&from, OpenFlags::SQLITE_OPEN_READ_ONLY)?),
        Err(error) => return Err(error),
    };
    // Reading begins the view that the whole copy is of; without it, each commit would begin the
    // copy again.
    source.execute_batch("BEGIN")?;
    rows::head(&source)?.ok_or_else(|| OpenError::Damaged("it has no head".to_owned()))?;
    let mut copied = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // It is synced as a whole, before it gets its name.
    copied.pragma_update(None, "synchronous", "OFF")?;
    let backup = Backup::new(&source, &mut copied)?;
    loop {
        let step = backup.step(PAGES)?;
        if step == StepResult::Done {
            break;
        }
        if step != StepResult::More {
            return Err(OpenError::Store("it is locked by another program".to_owned()));
        }
    }
    drop(backup);
    copied.close().map_err(|(_, error)| error.into())
}

/// A copy that has no name yet. It goes if it gets none.
struct Part(PathBuf);

impl Part {
    /// An empty file beside `to`, for this user alone.
    fn create(to: &Path) -> Result<Self, BackupError> {
        let mut name = to.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => Ok(Self(path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(BackupError::Exists(path)),
            Err(error) => Err(BackupError::Write { path, error }),
        }
    }

    /// Puts it on the disk, then gives it its name, unless something else has taken that. Answers its
    /// size.
    fn name(self, to: &Path) -> Result<u64, BackupError> {
        let give = || {
            let file = File::open(&self.0)?;
            file.sync_all()?;
            // A link, since renaming would replace what is there.
            fs::hard_link(&self.0, to)?;
            fs::remove_file(&self.0)?;
            let folder = to.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()?;
            Ok(file.metadata()?.len())
        };
        give().map_err(|error: io::Error| {
            let taken = error.kind() == io::ErrorKind::AlreadyExists;
            if taken { BackupError::Exists(to.to_owned()) } else { BackupError::Write { path: to.to_owned(), error } }
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Gone already if it got its name.
        let _ = fs::remove_file(&self.0);
    }
}
