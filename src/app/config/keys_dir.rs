//! The folder of the signing keys: which file holds what. Keys have mode 0600, sealed or not.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::ConfigError;
use super::files::{self, FileError};
use crate::ambient::Entropy;
use crate::keys::PemFiles;
use crate::keys::seal::{self, SealingSecret};
use crate::model::KeyPurpose;

/// The name of the file of the issuer's certificate.
pub(super) const ISSUER_CERTIFICATE: &str = "issuer.pem";

/// The file of a key.
pub(super) fn key_file(folder: &Path, purpose: KeyPurpose) -> PathBuf {
    folder.join(match purpose {
        KeyPurpose::Token => "token.key",
        KeyPurpose::Issuer => "issuer.key",
        KeyPurpose::List => "list.key",
        KeyPurpose::Checkpoint => "checkpoint.key",
    })
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

/// Gives what is there of the five files other names, `suffix` behind each; says which.
pub(super) fn set_aside(folder: &Path, suffix: &str) -> Result<Vec<PathBuf>, FileError> {
    let keys = KeyPurpose::ALL.iter().map(|purpose| key_file(folder, *purpose));
    let asides = keys.chain([folder.join(ISSUER_CERTIFICATE)]).map(|file| files::set_aside(&file, suffix));
    Ok(asides.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Writes the five files into a folder that has none of them, and returns when they are lasting.
pub(crate) fn create(folder: &Path, keys: &PemFiles) -> Result<(), FileError> {
    files::create_folder(folder)?;
    for purpose in KeyPurpose::ALL {
        let key = match purpose {
            KeyPurpose::Token => &keys.token_key,
            KeyPurpose::Issuer => &keys.issuer_key,
            KeyPurpose::List => &keys.list_key,
            KeyPurpose::Checkpoint => &keys.checkpoint_key,
        };
        files::create_secret(&key_file(folder, *purpose), key.as_bytes())?;
    }
    let certificate = folder.join(ISSUER_CERTIFICATE);
    files::create_file(&certificate, keys.issuer_certificate.as_bytes())?;
    files::sync_folder_of(&certificate)
}
