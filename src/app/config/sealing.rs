//! Where the secrets come from that keys are sealed under: a file, or the terminal; never an argument.

use std::convert::Infallible;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::Zeroizing;

use super::ConfigError;
use super::files::{self, FileError};
use crate::ambient::Entropy;
use crate::keys::seal::SealingSecret;

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The first line of a file that its owner alone may read.
    File(PathBuf),
    /// Whoever sits at the terminal, without being shown.
    Ask,
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "ask" { Self::Ask } else { Self::File(text.into()) })
    }
}

/// Reads a secret from its file.
pub(super) fn read(path: &Path) -> Result<SealingSecret, ConfigError> {
    let text = files::read_secret(path)?;
    SealingSecret::first_line(&text).map_err(|error| refused(path, error))
}

impl Source {
    /// A secret that something was sealed under.
    pub(crate) fn existing(&self, whose: &str) -> Result<SealingSecret, ConfigError> {
        match self {
            Self::File(path) => read(path),
            Self::Ask => ask(&format!("Passphrase of {whose}: ")),
        }
    }

    /// A secret to seal under. A file that is missing is made, with 256 random bits.
    pub(crate) fn fresh(&self, entropy: &Entropy) -> Result<SealingSecret, ConfigError> {
        match self {
            Self::File(path) if !files::exists(path) => {
                let (secret, text) = SealingSecret::generate(entropy).map_err(|error| refused(path, error))?;
                files::create_secret(path, text.as_bytes())?;
                Ok(secret)
            }
            Self::File(path) => read(path)?.long_enough().map_err(|error| refused(path, error)),
            Self::Ask => {
                let terminal = Path::new("terminal");
                let once = ask("New passphrase: ")?.long_enough().map_err(|error| refused(terminal, error))?;
                if ask("The same again: ")? != once {
                    return Err(refused(terminal, "the two passphrases are not the same; nothing was changed"));
                }
                Ok(once)
            }
        }
    }
}

fn refused(path: &Path, problem: impl std::fmt::Display) -> ConfigError {
    ConfigError::Key { path: path.to_owned(), problem: problem.to_string() }
}

fn ask(prompt: &str) -> Result<SealingSecret, ConfigError> {
    let terminal = Path::new("terminal");
    let unanswered = |reason| FileError::Io { verb: "ask for a passphrase at the", path: terminal.to_owned(), reason };
    if !io::stdin().is_terminal() {
        return Err(unanswered(io::Error::other("there is none; name a file that holds it")).into());
    }
    let line = Zeroizing::new(rpassword::prompt_password(prompt).map_err(unanswered)?);
    SealingSecret::first_line(&line).map_err(|error| refused(terminal, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_a_file_or_from_whoever_is_asked() {
        assert_eq!("ask".parse(), Ok(Source::Ask));
        assert_eq!("./ask".parse(), Ok(Source::File("./ask".into())));
    }

    #[test]
    fn a_file_that_is_missing_is_made_and_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("seal");
        let source = Source::File(path.clone());
        assert!(source.existing("keys").is_err(), "nothing is made to open something with");
        let made = source.fresh(&Entropy::system()).expect("made");
        let text = files::read_secret(&path).expect("for its owner alone");
        assert!(source.fresh(&Entropy::system()).expect("there") == made && source.existing("keys").expect("there") == made);
        assert_eq!(files::read_secret(&path).expect("there"), text);
    }

    #[test]
    fn a_secret_that_lies_open_or_is_short_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let (path, short) = (folder.path().join("seal"), folder.path().join("short"));
        files::create_file(&path, "correct horse battery\n").expect("new");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("ours");
        for outcome in [Source::File(path.clone()).existing("keys"), Source::File(path).fresh(&Entropy::system())] {
            let error = outcome.expect_err("others may read it").to_string();
            assert!(error.contains("chmod 600") && !error.contains("horse"), "{error}");
        }
        files::create_secret(&short, "short\n").expect("new");
        let error = Source::File(short).fresh(&Entropy::system()).expect_err("short").to_string();
        assert!(error.contains("at least 12 characters"), "{error}");
    }
}
