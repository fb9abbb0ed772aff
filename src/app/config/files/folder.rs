//! All the files of a folder, as they stood there at one moment.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{FileError, read_text};
use crate::model::PolicyName;

/// Path of each file in `folder` whose name ends in one of `extensions`, by name.
///
/// # Errors
/// If the folder cannot be read.
pub fn list_folder(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, FileError> {
    let wanted = |path: &Path| path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted));
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(FileError::io("list", folder))? {
        paths.push(entry.map_err(FileError::io("list", folder))?.path());
    }
    paths.retain(|path| wanted(path));
    paths.sort();
    Ok(paths)
}

/// How often a folder is read again that became another one meanwhile.
const READINGS: usize = 8;

/// Path and text of each file in `folder` whose name ends in one of `extensions`, by name; all as they stood there at
/// one moment, so that of a folder that a symbolic link is switched to nothing is seen of the one before.
///
/// # Errors
/// If the folder or one of the files cannot be read, or it goes on changing.
pub fn read_folder(folder: &Path, extensions: &[&str]) -> Result<Vec<(PathBuf, String)>, FileError> {
    let read = || list_folder(folder, extensions)?.into_iter().map(|path| read_text(&path).map(|text| (path, text))).collect();
    let mut before = marks(folder, extensions).ok();
    for _ in 0..READINGS {
        let found = read();
        let after = marks(folder, extensions).ok();
        if before == after {
            return found;
        }
        before = after;
    }
    Err(FileError::Unsettled { path: folder.to_owned() })
}

/// What tells a file from any other that could stand in its place: which one it is, and when it was last changed.
#[derive(PartialEq, Eq)]
struct Mark {
    path: PathBuf,
    device: u64,
    number: u64,
    changed: (i64, i64),
}

fn marks(folder: &Path, extensions: &[&str]) -> Result<Vec<Mark>, FileError> {
    let mark = |path: PathBuf| {
        let found = fs::metadata(&path).map_err(FileError::io("open", &path))?;
        Ok(Mark { path, device: found.dev(), number: found.ino(), changed: (found.ctime(), found.ctime_nsec()) })
    };
    list_folder(folder, extensions)?.into_iter().map(mark).collect()
}

/// The policy text in a folder: name and text of each `.cedar` file, by name.
///
/// # Errors
/// If the folder or a file cannot be read, or a file has a name that no policy can have.
pub fn read_policies(folder: &Path) -> Result<Vec<(PolicyName, String)>, FileError> {
    let named = |(path, text): (PathBuf, String)| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().parse::<PolicyName>();
        name.map(|name| (name, text)).map_err(|error| FileError::io("use", &path)(io::Error::other(error)))
    };
    read_folder(folder, &["cedar"])?.into_iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use crate::app::config::files::{create_file, create_folder};

    #[test]
    fn a_folder_is_read_by_name_and_by_extension() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["20-b.yaml", "10-a.yml", "notes.txt"] {
            create_file(&folder.path().join(name), name).expect("new");
        }
        let names: Vec<String> = read_folder(folder.path(), &["yaml", "yml"]).expect("there").into_iter().map(|(_, text)| text).collect();
        assert_eq!(names, ["10-a.yml", "20-b.yaml"]);
    }

    /// A folder that a link leads to, by itself or file by file, and two that it may lead to.
    fn switched(root: &Path, by_file: bool) -> PathBuf {
        let (shown, link) = (root.join("shown"), root.join("..data"));
        for (folder, word) in [("one", "before"), ("two", "after")] {
            create_folder(&root.join(folder)).expect("new");
            ["a.yaml", "b.yaml", "c.yaml"].iter().for_each(|name| create_file(&root.join(folder).join(name), word).expect("new"));
        }
        symlink("one", &link).expect("new");
        if by_file {
            create_folder(&shown).expect("new");
            ["a.yaml", "b.yaml", "c.yaml"].iter().for_each(|name| symlink(link.join(name), shown.join(name)).expect("new"));
        } else {
            symlink("..data", &shown).expect("new");
        }
        shown
    }

    #[test]
    fn a_folder_that_is_switched_while_it_is_read_is_seen_whole() {
        for by_file in [false, true] {
            let root = tempfile::tempdir().expect("a folder");
            let shown = switched(root.path(), by_file);
            // Whoever reads waits at the pipe, in the middle, until it is written.
            let pipe = root.path().join("one/b.yaml");
            fs::remove_file(&pipe).expect("there");
            assert!(Command::new("mkfifo").arg(&pipe).status().expect("on the PATH").success());
            let reader = std::thread::spawn(move || read_folder(&shown, &["yaml"]));
            let mut held = OpenOptions::new().write(true).open(&pipe).expect("somebody reads");
            symlink("two", root.path().join("..next")).expect("new");
            fs::rename(root.path().join("..next"), root.path().join("..data")).expect("switched");
            held.write_all(b"before").expect("somebody reads");
            drop(held);
            let texts: Vec<String> = reader.join().expect("read").expect("whole").into_iter().map(|(_, text)| text).collect();
            assert_eq!(texts, ["after"; 3], "file by file: {by_file}");
        }
    }
}
