//! The signing keys that the broker makes and wipes by itself: files of `keys_dir`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::config::{Config, Place, keys_dir};
use super::error::ServeError;
use crate::ambient::Entropy;
use crate::keys::{Keeper, KeyError, Material, PrivateKey};
use crate::model::{KeyPurpose, PublicKey, Timestamp};

/// Keeps keys where the configuration says.
#[derive(Debug)]
pub(super) struct KeyFiles {
    config: Config,
    entropy: Entropy,
    /// The file of each key, by purpose and name.
    places: Mutex<BTreeMap<(KeyPurpose, String), PathBuf>>,
}

/// The keys that a configuration names, opened if they are sealed, and what keeps them.
///
/// # Errors
/// If one cannot be read, opened, or used.
pub(super) fn open(config: &Config, entropy: &Entropy) -> Result<(Material, KeyFiles), ServeError> {
    config.finish_wiping().map_err(ServeError::start)?;
    let (material, places) = placed(config, entropy)?;
    let names = material.public_keys().into_iter().map(|key| (key.purpose, key.kid));
    let in_files = names.zip(places).filter_map(|(name, place)| match place {
        Place::File(file) => Some((name, file)),
        Place::Label(_) => None,
    });
    let places = Mutex::new(in_files.collect());
    Ok((material, KeyFiles { config: config.clone(), entropy: entropy.clone(), places }))
}

/// The same keys, and where each is, in the same order.
///
/// # Errors
/// As [`open`].
pub(crate) fn placed(config: &Config, entropy: &Entropy) -> Result<(Material, Vec<Place>), ServeError> {
    let (sources, places) = config.keys(entropy)?.into_iter().unzip();
    Ok((Material::open(config.trust_domain(), sources, entropy).map_err(ServeError::start)?, places))
}

impl Keeper for KeyFiles {
    fn make(&self, purpose: KeyPurpose, now: Timestamp) -> Result<PrivateKey, KeyError> {
        if !self.config.key_labels(purpose).is_empty() {
            return Err(KeyError::Elsewhere { purpose });
        }
        let key = PrivateKey::generate(purpose, self.config.trust_domain(), &self.entropy, now)?;
        let kept = self.config.keep_key(key.to_text(), &self.entropy);
        let file = kept.map_err(|error| KeyError::Kept { purpose, problem: error.to_string() })?;
        let name = (purpose, key.public().kid.clone());
        self.places.lock().unwrap_or_else(PoisonError::into_inner).insert(name, file);
        Ok(key)
    }

    fn discard(&self, key: &PublicKey) -> Result<(), KeyError> {
        let purpose = key.purpose;
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (purpose, key.kid.clone());
        if let Some(file) = places.get(&name) {
            keys_dir::discard(file, purpose).map_err(|error| KeyError::Kept { purpose, problem: error.to_string() })?;
            places.remove(&name);
        }
        Ok(())
    }
}
