//! The folder of the signing keys: which file holds what. Keys have mode 0600.

use std::path::Path;

use super::files::{self, FileError};
use crate::keys::PemFiles;

const TOKEN_KEY: &str = "token.key";
const ISSUER_KEY: &str = "issuer.key";
const ISSUER_CERTIFICATE: &str = "issuer.pem";
const LIST_KEY: &str = "list.key";
const CHECKPOINT_KEY: &str = "checkpoint.key";

/// Reads the five files.
pub(super) fn read(folder: &Path) -> Result<PemFiles, FileError> {
    let secret = |name| files::read_secret(&folder.join(name));
    Ok(PemFiles {
        token_key: secret(TOKEN_KEY)?,
        issuer_key: secret(ISSUER_KEY)?,
        issuer_certificate: files::read_text(&folder.join(ISSUER_CERTIFICATE))?.into(),
        list_key: secret(LIST_KEY)?,
        checkpoint_key: secret(CHECKPOINT_KEY)?,
    })
}

/// Writes the five files into a folder that has none of them.
pub(crate) fn create(folder: &Path, keys: &PemFiles) -> Result<(), FileError> {
    files::create_folder(folder)?;
    for (name, key) in
        [(TOKEN_KEY, &keys.token_key), (ISSUER_KEY, &keys.issuer_key), (LIST_KEY, &keys.list_key), (CHECKPOINT_KEY, &keys.checkpoint_key)]
    {
        files::create_secret(&folder.join(name), key.as_bytes())?;
    }
    files::create_file(&folder.join(ISSUER_CERTIFICATE), keys.issuer_certificate.as_bytes())
}
