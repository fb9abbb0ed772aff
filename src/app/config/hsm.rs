//! Which signing keys a PKCS#11 module holds, those that sign and those that will, and how it is reached.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::ConfigError;
use super::files;
use super::raw::RawPkcs11;
use crate::keys::hsm::{Hsm, Use};
use crate::model::KeyPurpose;

/// A module, one of its tokens, and the labels of keys on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pkcs11 {
    pub(super) module: PathBuf,
    pub(super) token: String,
    pub(super) pin_file: PathBuf,
    pub(super) labels: BTreeMap<KeyPurpose, Vec<String>>,
    terms: Use,
}

impl Pkcs11 {
    pub(super) fn new(raw: &RawPkcs11) -> Self {
        let labels = [
            (KeyPurpose::Token, &raw.token_key, &raw.next_token_key),
            (KeyPurpose::Issuer, &raw.issuer_key, &raw.next_issuer_key),
            (KeyPurpose::List, &raw.list_key, &raw.next_list_key),
        ];
        let labels = labels
            .into_iter()
            .filter_map(|(purpose, signing, next)| Some((purpose, [signing.clone()?].into_iter().chain(next.clone()).collect())));
        Self {
            module: raw.module.clone(),
            token: raw.token.clone(),
            pin_file: raw.pin_file.clone(),
            terms: Use { patience: raw.sign_time.duration(), sessions: raw.sessions },
            labels: labels.collect(),
        }
    }

    /// Loads the module and logs in.
    pub(super) fn open(&self) -> Result<Hsm, ConfigError> {
        let pin = files::read_secret(&self.pin_file)?;
        Hsm::open(&self.module, &self.token, pin.lines().next().unwrap_or_default(), self.terms)
            .map_err(|error| ConfigError::Key { path: self.module.clone(), problem: error.to_string() })
    }
}
