//! The one place that touches files: text in, text out, and secrets that nobody else may read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::ambient::Entropy;

mod folder;

pub use folder::{list_folder, read_folder, read_policies};

/// No file that a person or a program writes for Curfew is longer; more is a mistake.
const LONGEST: u64 = 64 << 20;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot {verb} {}: {reason}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// A secret lies open.
    #[error("{} holds a secret and others may read it (mode {mode:04o}); run: chmod 600 {}", path.display(), path.display())]
    Open {
        /// Where.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A folder that is another one before all of it is read.
    #[error("{} changes while it is read; put its files in place by switching a symbolic link, or by renaming them", path.display())]
    Unsettled {
        /// Where.
        path: PathBuf,
    },
    /// It is longer than anything that belongs here.
    #[error("{} is longer than 64 MiB", path.display())]
    TooLong {
        /// Where.
        path: PathBuf,
    },
    /// A folder that has to be new or empty is neither.
    #[error("{} exists and is not empty; nothing was written", path.display())]
    NotEmpty {
        /// Where.
        path: PathBuf,
    },
}

impl FileError {
    fn io<'a>(verb: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |reason| Self::Io { verb, path: path.to_owned(), reason }
    }
}

fn read(path: &Path, source: impl Read) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    read_into(&mut bytes, path, source)?;
    Ok(bytes)
}

fn read_into(bytes: &mut Vec<u8>, path: &Path, source: impl Read) -> Result<(), FileError> {
    source.take(LONGEST + 1).read_to_end(bytes).map_err(FileError::io("read", path))?;
    if bytes.len() as u64 > LONGEST {
        return Err(FileError::TooLong { path: path.to_owned() });
    }
    Ok(())
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, FileError> {
    String::from_utf8(bytes).map_err(|error| FileError::io("read", path)(io::Error::new(io::ErrorKind::InvalidData, error.utf8_error())))
}

/// The bytes of a file; `-` is standard input.
///
/// # Errors
/// If it cannot be read, or is longer than 64 MiB.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, FileError> {
    if path == Path::new("-") {
        return read(path, io::stdin().lock());
    }
    read(path, File::open(path).map_err(FileError::io("open", path))?)
}

/// The bytes of a file; `None` if there are more than `most`.
///
/// # Errors
/// If it is no file, or cannot be read.
pub(super) fn read_at_most(path: &Path, most: u64) -> Result<Option<Vec<u8>>, FileError> {
    // Before it is opened: to open a pipe waits until somebody writes.
    if !fs::metadata(path).map_err(FileError::io("open", path))?.is_file() {
        return Err(FileError::io("read", path)(io::Error::other("it is no file")));
    }
    let (mut bytes, file) = (Vec::new(), File::open(path).map_err(FileError::io("open", path))?);
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(FileError::io("read", path))?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// The text of a file; `-` is standard input.
///
/// # Errors
/// As [`read_bytes`], and if it is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    text(path, read_bytes(path)?)
}

/// The text of a file that only its owner may read.
///
/// # Errors
/// As [`read_text`], and if group or others have any permission on it.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let file = File::open(path).map_err(FileError::io("open", path))?;
    // Asked of the open file, so that it is this file whose mode is judged.
    let metadata = file.metadata().map_err(FileError::io("open", path))?;
    if lies_open(metadata.mode(), metadata.uid(), metadata.gid()) {
        return Err(FileError::Open { path: path.to_owned(), mode: metadata.mode() & 0o777 });
    }
    // Room for all of it, so that no copy of a secret is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len().min(LONGEST)).unwrap_or(0) + 64));
    read_into(&mut bytes, path, file)?;
    Ok(Zeroizing::new(text(path, std::mem::take(&mut *bytes))?))
}

/// Whether anybody but the owner of a file may read or change it. The group of root is root: systemd
/// shows what an access list grants to the user of a service as permissions of that group.
const fn lies_open(mode: u32, owner: u32, group: u32) -> bool {
    mode & if owner == 0 && group == 0 { 0o037 } else { 0o077 } != 0
}

fn create(path: &Path, contents: &[u8], mode: u32) -> Result<(), FileError> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(FileError::io("create", path))?;
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(FileError::io("write", path))
}

/// Writes a file that was not there before.
///
/// # Errors
/// If it exists, or cannot be written.
pub fn create_file(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), FileError> {
    create(path, contents.as_ref(), 0o644)
}

/// Writes a file that was not there before, for its owner alone (mode 0600).
///
/// # Errors
/// If it exists, or cannot be written.
pub fn create_secret(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), FileError> {
    create(path, contents.as_ref(), 0o600)
}

/// Puts secrets in the place of what their files hold; a file for which there is none stays. All are
/// written beside them before the first takes its place, so that a full disk changes nothing.
///
/// # Errors
/// If one cannot be written, or cannot take its place.
pub fn replace_secrets(secrets: &[(PathBuf, Option<Zeroizing<String>>)]) -> Result<(), FileError> {
    let beside = |path: &Path| beside(path, ".new");
    let written = secrets.iter().try_for_each(|(path, contents)| {
        // What a run left behind that was stopped half way is a copy of what was replaced or not, and
        // may lie open beside a file that is sealed.
        drop(fs::remove_file(beside(path)));
        contents.as_ref().map_or(Ok(()), |contents| create_secret(&beside(path), contents.as_bytes()))
    });
    let placed = written.and_then(|()| {
        secrets.iter().filter(|(_, contents)| contents.is_some()).try_for_each(|(path, _)| {
            fs::rename(beside(path), path).map_err(FileError::io("replace", path))?;
            sync_folder_of(path)
        })
    });
    if placed.is_err() {
        // Whatever is left is a copy; the first error is the one to tell.
        secrets.iter().for_each(|(path, _)| drop(fs::remove_file(beside(path))));
    }
    placed
}

/// Puts `contents` in the place of a file, for its owner alone (mode 0600). Whenever the machine
/// stops, the file is whole: the one from before or this one; after the return it is this one.
///
/// # Errors
/// If it cannot be written; the file from before stays.
pub fn replace(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), FileError> {
    let next = beside(path, ".next");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        file.write_all(contents.as_ref())?;
        file.sync_all()?;
        fs::rename(&next, path)
    };
    write().map_err(FileError::io("write", path))?;
    sync_folder_of(path)
}

/// What a file is called while it is wiped.
const WIPING: &str = "wiping";

/// Overwrites a file that is there with zeros, and removes it. Where the file system or the disk keep older
/// blocks, that is beyond this.
///
/// It has another name by then, so that a run that is stopped half way leaves nothing that is read as a key;
/// [`finish_wiping`] goes on.
///
/// # Errors
/// If it cannot be renamed, overwritten or removed. Repeating it goes on.
pub(super) fn wipe(path: &Path) -> Result<(), FileError> {
    let aside = beside(path, &format!(".{WIPING}"));
    if exists(path) {
        fs::rename(path, &aside).map_err(FileError::io("rename", path))?;
        sync_folder_of(path)?;
    }
    if exists(&aside) { erase(&aside) } else { Ok(()) }
}

/// Wipes what runs that were stopped left half wiped in a folder.
///
/// # Errors
/// If the folder cannot be read, or a file not be overwritten or removed.
pub(super) fn finish_wiping(folder: &Path) -> Result<(), FileError> {
    list_folder(folder, &[WIPING])?.iter().try_for_each(|path| erase(path))
}

fn erase(path: &Path) -> Result<(), FileError> {
    let erase = || {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let length = usize::try_from(file.metadata()?.len().min(LONGEST)).unwrap_or_default();
        file.write_all(&vec![0; length])?;
        file.sync_all()?;
        fs::remove_file(path)
    };
    erase().map_err(FileError::io("wipe", path))?;
    sync_folder_of(path)
}

/// Gives a file that is there another name, `suffix` behind its own; nothing is ever overwritten.
///
/// # Errors
/// If the name is taken, or the file cannot be renamed.
pub fn set_aside(path: &Path, suffix: &str) -> Result<Option<PathBuf>, FileError> {
    if !exists(path) {
        return Ok(None);
    }
    let aside = beside(path, suffix);
    if exists(&aside) {
        return Err(FileError::io("write", &aside)(io::ErrorKind::AlreadyExists.into()));
    }
    fs::rename(path, &aside).map_err(FileError::io("rename", path))?;
    sync_folder_of(path)?;
    Ok(Some(aside))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Puts the folder of a file on the disk: until then a new name in it is not lasting.
///
/// # Errors
/// If the folder cannot be synced.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(FileError::io("sync", folder))
}

/// A new file that a program may go on writing to, such as a log.
///
/// # Errors
/// If it exists, or cannot be made.
pub fn open_new(path: &Path) -> Result<File, FileError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(FileError::io("create", path))
}

/// Whether there is anything at `path`.
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// How many bytes this process may still write where `path` is, if the operating system says.
pub fn free_space(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Whether `path` is a folder.
pub fn is_folder(path: &Path) -> bool {
    path.is_dir()
}

/// Makes a folder, for its owner alone (mode 0700), with those above it; an existing one stays as it is.
///
/// # Errors
/// If it cannot be made.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(FileError::io("create", path))
}

/// Refuses a folder that exists and is not empty.
///
/// # Errors
/// If there is something in it, or it cannot be looked into.
pub fn require_empty(path: &Path) -> Result<(), FileError> {
    if !exists(path) {
        return Ok(());
    }
    match fs::read_dir(path).map_err(FileError::io("list", path))?.next() {
        None => Ok(()),
        Some(_) => Err(FileError::NotEmpty { path: path.to_owned() }),
    }
}

/// A folder of its own in the system's temporary one, removed with everything in it when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    /// If there is no randomness for its name, or it cannot be made.
    pub fn create(entropy: &Entropy) -> Result<Self, FileError> {
        let parent = std::env::temp_dir();
        let nonce = entropy.bytes::<8>().map_err(|error| FileError::io("create", &parent)(io::Error::other(error)))?;
        let path = parent.join(format!("curfew-{:016x}", u64::from_be_bytes(nonce)));
        create_folder(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody is left to tell; the operating system clears its temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The path from the root of the file system, for whoever works in another folder.
///
/// # Errors
/// If the working folder is not known.
pub fn absolute(path: &Path) -> Result<PathBuf, FileError> {
    std::path::absolute(path).map_err(FileError::io("find", path))
}

/// The file of the running program.
///
/// # Errors
/// If the operating system does not say.
pub fn program() -> Result<PathBuf, FileError> {
    std::env::current_exe().map_err(FileError::io("find", Path::new("the running program")))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("exists").permissions().mode() & 0o777
    }

    #[test]
    fn a_secret_is_written_for_its_owner_alone_and_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.key");
        create_secret(&path, "hush").expect("new");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(read_secret(&path).expect("ours").as_str(), "hush");
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused_with_what_to_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.key");
        create_secret(&path, "hush").expect("new");
        for open in [0o604, 0o660, 0o644, 0o610, 0o601, 0o602, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open)).expect("ours");
            let error = read_secret(&path).expect_err("open to others").to_string();
            assert!(error.contains("chmod 600") && error.contains(&format!("{open:04o}")) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn only_the_group_of_root_may_read_what_root_owns() {
        for (mode, owner, group, open) in [
            (0o100_600, 0, 0, false),
            (0o100_400, 1000, 1000, false),
            (0o100_440, 0, 0, false),
            (0o100_440, 1000, 0, true),
            (0o100_440, 0, 1000, true),
            (0o100_640, 1000, 1000, true),
            (0o100_460, 0, 0, true),
            (0o100_444, 0, 0, true),
        ] {
            assert_eq!(lies_open(mode, owner, group), open, "{mode:o} of {owner}:{group}");
        }
    }

    #[test]
    fn secrets_are_replaced_together_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let [one, other] = ["one.key", "other.key"].map(|name| folder.path().join(name));
        create_secret(&one, "old").expect("new");
        create_secret(&other, "old").expect("new");
        let new = |path: &Path| (path.to_owned(), Some(Zeroizing::new("new".to_owned())));
        create_file(&folder.path().join("one.key.new"), "left behind").expect("new");
        create_folder(&folder.path().join("other.key.new")).expect("new");
        assert!(replace_secrets(&[new(&one), new(&other)]).is_err());
        assert_eq!((read_secret(&one).expect("there").as_str(), read_secret(&other).expect("there").as_str()), ("old", "old"));
        assert!(!exists(&folder.path().join("one.key.new")), "no copy is left behind");
        fs::remove_dir(folder.path().join("other.key.new")).expect("empty");
        replace_secrets(&[new(&one), new(&other)]).expect("nothing is in the way any more");
        assert_eq!((read_secret(&one).expect("there").as_str(), read_secret(&other).expect("there").as_str()), ("new", "new"));
        assert_eq!(mode(&one), 0o600);
        create_file(&folder.path().join("one.key.new"), "left behind").expect("new");
        replace_secrets(&[(one.clone(), None)]).expect("nothing to write");
        assert!(!exists(&folder.path().join("one.key.new")) && read_secret(&one).expect("there").as_str() == "new");
    }

    #[test]
    fn a_file_in_the_working_folder_has_a_folder_to_sync() {
        sync_folder_of(Path::new("a.key")).expect("the working folder");
    }

    #[test]
    fn nothing_is_ever_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.txt");
        create_file(&path, "first").expect("new");
        assert!(create_file(&path, "second").is_err());
        assert!(create_secret(&path, "second").is_err());
        assert_eq!(read_text(&path).expect("there"), "first");
    }

    #[test]
    fn what_is_replaced_is_whole_and_private_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.json");
        for contents in ["first", "second, and longer", "3"] {
            replace(&path, contents).expect("written");
            assert_eq!((read_text(&path).expect("there").as_str(), mode(&path)), (contents, 0o600));
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        assert!(replace(&folder.path().join("none/a.json"), "x").is_err());
    }

    #[test]
    fn what_is_set_aside_is_kept_under_another_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.key");
        assert_eq!(set_aside(&path, ".old").expect("nothing there"), None);
        create_secret(&path, "first").expect("new");
        let aside = set_aside(&path, ".old").expect("free").expect("there");
        assert_eq!((read_text(&aside).expect("there").as_str(), exists(&path)), ("first", false));
        create_secret(&path, "second").expect("new");
        assert!(set_aside(&path, ".old").is_err(), "the name is taken");
        assert_eq!((read_text(&aside).expect("there").as_str(), read_text(&path).expect("there").as_str()), ("first", "second"));
    }

    #[test]
    fn only_a_missing_or_empty_folder_counts_as_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        require_empty(folder.path()).expect("empty");
        require_empty(&folder.path().join("none")).expect("missing");
        create_file(&folder.path().join(".hidden"), "").expect("new");
        assert!(matches!(require_empty(folder.path()), Err(FileError::NotEmpty { .. })));
        assert!(require_empty(&folder.path().join(".hidden")).is_err(), "a file is no folder");
    }

    #[test]
    fn a_scratch_folder_is_private_and_goes_away() {
        let scratch = Scratch::create(&Entropy::system()).expect("a folder");
        let path = scratch.path().to_owned();
        create_file(&path.join("a"), "a").expect("new");
        assert_eq!(mode(&path), 0o700);
        drop(scratch);
        assert!(!exists(&path));
    }
}
