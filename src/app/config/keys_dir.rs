//! The folder of the signing keys: which file holds what. Keys have mode 0600, sealed or not.
//!
//! A key that was made with the folder has the name of its purpose; those that follow have their own
//! behind it. Which of them signs stands in the ledger, so that no file is ever renamed.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::ConfigError;
use super::files::{self, FileError};
use crate::ambient::Entropy;
use crate::keys::KeyText;
use crate::keys::seal::{self, SealingSecret};
use crate::model::KeyPurpose;

/// The certificate of an issuer stands beside its key.
pub(super) const CERTIFICATE: &str = "pem";

/// The file of the key that was made with the folder.
pub(super) fn first(folder: &Path, purpose: KeyPurpose) -> PathBuf {
    folder.join(format!("{purpose}.key"))
}

/// The file of a key that was made later.
fn later(folder: &Path, purpose: KeyPurpose, kid: &str) -> PathBuf {
    let name: String = kid.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' }).collect();
    folder.join(format!("{purpose}-{name}.key"))
}

/// The files of the keys of a purpose; the first one's, where there is none at all.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn files_of(folder: &Path, purpose: KeyPurpose) -> Result<Vec<PathBuf>, FileError> {
    let (first, prefix) = (first(folder, purpose), format!("{purpose}-"));
    if !files::is_folder(folder) {
        return Ok(vec![first]);
    }
    let named = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
    let mut found = files::list_folder(folder, &["key"])?;
    found.retain(|path| *path == first || named(path));
    Ok(if found.is_empty() { vec![first] } else { found })
}

/// Reads a private key, as PEM that is not sealed.
///
/// # Errors
/// If it cannot be read, others may read it, or it is sealed and should not be, or the other way
/// round: who seals keys must hear of one that is not.
pub(super) fn private_key(path: &Path, secret: Option<&SealingSecret>, entropy: &Entropy) -> Result<Zeroizing<String>, ConfigError> {
    let text = files::read_secret(path)?;
    let refused = |problem: String| ConfigError::Key { path: path.to_owned(), problem };
    match (secret, seal::is_sealed(&text)) {
        (None, false) => Ok(text),
        (Some(secret), true) => seal::unseal("key", &text, secret, entropy).map_err(|error| refused(error.to_string())),
        (None, true) => Err(refused("it is sealed; name the file that holds its secret as `unseal_with`".to_owned())),
        (Some(_), false) => Err(refused("it is not sealed, and `unseal_with` says that it is; run: curfew keys seal".to_owned())),
    }
}

/// Gives what is there of the keys other names, `suffix` behind each; says which.
pub(super) fn set_aside(folder: &Path, suffix: &str) -> Result<Vec<PathBuf>, FileError> {
    let mut asides = Vec::new();
    for purpose in KeyPurpose::ALL {
        for file in files_of(folder, *purpose)? {
            asides.extend(files::set_aside(&file, suffix)?);
            if *purpose == KeyPurpose::Issuer {
                asides.extend(files::set_aside(&file.with_extension(CERTIFICATE), suffix)?);
            }
        }
    }
    Ok(asides)
}

/// Writes keys into a folder that has none of them, one of each purpose, and returns when they are lasting.
pub(crate) fn create(folder: &Path, keys: &[KeyText]) -> Result<(), FileError> {
    files::create_folder(folder)?;
    for key in keys {
        let file = first(folder, key.purpose);
        files::create_secret(&file, key.private.as_bytes())?;
        if let Some(certificate) = &key.certificate {
            files::create_file(&file.with_extension(CERTIFICATE), certificate.as_bytes())?;
        }
        files::sync_folder_of(&file)?;
    }
    Ok(())
}

/// Writes one more key, says where, and returns when it is lasting. The certificate goes first: without it
/// its key keeps a broker from starting.
pub(super) fn add(folder: &Path, key: &KeyText) -> Result<PathBuf, FileError> {
    let file = later(folder, key.purpose, &key.kid);
    if let Some(certificate) = &key.certificate {
        files::replace(&file.with_extension(CERTIFICATE), certificate.as_bytes())?;
    }
    files::replace(&file, key.private.as_bytes())?;
    Ok(file)
}

/// Wipes a key, and the certificate beside it.
pub(crate) fn discard(file: &Path, purpose: KeyPurpose) -> Result<(), FileError> {
    files::wipe(file)?;
    if purpose == KeyPurpose::Issuer { files::wipe(&file.with_extension(CERTIFICATE)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(purpose: KeyPurpose, kid: &str) -> KeyText {
        let certificate = (purpose == KeyPurpose::Issuer).then(|| "certificate".to_owned());
        KeyText { purpose, kid: kid.to_owned(), private: Zeroizing::new(format!("the key {kid}")), certificate }
    }

    #[test]
    fn a_key_that_was_being_wiped_when_the_run_ended_is_no_key_and_is_wiped() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        create(folder, &[key(KeyPurpose::Token, "a")]).expect("new");
        let added = add(folder, &key(KeyPurpose::Token, "b")).expect("added");
        let half = files::set_aside(&added, ".wiping").expect("free").expect("there");
        assert_eq!(files_of(folder, KeyPurpose::Token).expect("there"), [folder.join("token.key")]);
        files::finish_wiping(folder).expect("wiped");
        assert!(!files::exists(&half));
        assert_eq!(files_of(folder, KeyPurpose::Token).expect("there"), [folder.join("token.key")], "and no other");
    }

    #[test]
    fn keys_of_a_purpose_are_found_beside_each_other_and_wiped_one_by_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        assert_eq!(files_of(folder, KeyPurpose::Issuer).expect("there"), [folder.join("issuer.key")], "what is missing has a name");
        create(folder, &[key(KeyPurpose::Token, "a"), key(KeyPurpose::Issuer, "b")]).expect("new");
        let added = add(folder, &key(KeyPurpose::Issuer, "c/d+e")).expect("added");
        assert_eq!(added, folder.join("issuer-c-d-e.key"));
        assert_eq!(files_of(folder, KeyPurpose::Issuer).expect("there"), [added.clone(), folder.join("issuer.key")]);
        assert_eq!(files_of(folder, KeyPurpose::Token).expect("there"), [folder.join("token.key")]);
        assert_eq!(private_key(&added, None, &Entropy::system()).expect("for its owner alone").as_str(), "the key c/d+e");
        discard(&added, KeyPurpose::Issuer).expect("there");
        discard(&added, KeyPurpose::Issuer).expect("gone already");
        assert_eq!(files_of(folder, KeyPurpose::Issuer).expect("there"), [folder.join("issuer.key")]);
        assert!(!files::exists(&added.with_extension(CERTIFICATE)));
        assert_eq!(set_aside(folder, ".old").expect("free").len(), 3);
    }
}
