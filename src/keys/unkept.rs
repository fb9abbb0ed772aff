//! A keeper for tests: keys that end with the test, a disk that can be full.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::rotation::{Rotation, Schedule};
use super::{Keeper, KeyError, PrivateKey};
use crate::ambient::Entropy;
use crate::model::{KeyPurpose, PublicKey, Timestamp, TrustDomain};

/// Makes keys and remembers what it wiped.
#[derive(Debug)]
pub(crate) struct Unkept {
    domain: TrustDomain,
    pub(crate) full: AtomicBool,
    pub(crate) made: Mutex<Vec<String>>,
    pub(crate) wiped: Mutex<Vec<String>>,
}

impl Unkept {
    pub(crate) fn new(domain: &TrustDomain) -> Arc<Self> {
        Arc::new(Self { domain: domain.clone(), full: AtomicBool::new(false), made: Mutex::default(), wiped: Mutex::default() })
    }
}

/// Every key signs for a hundred hours, and the next one is published for ten before it does.
pub(crate) fn hundred_hours() -> Rotation {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let schedule = Schedule { every: Some(hours(100)), announce: hours(10) };
    Rotation::new(KeyPurpose::ALL.iter().map(|purpose| (*purpose, schedule)).collect::<BTreeMap<_, _>>(), Duration::from_secs(30))
}

impl Keeper for Unkept {
    fn make(&self, purpose: KeyPurpose, now: Timestamp) -> Result<PrivateKey, KeyError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(KeyError::Kept { purpose, problem: "the disk is full".to_owned() });
        }
        let key = PrivateKey::generate(purpose, &self.domain, &Entropy::system(), now)?;
        self.made.lock().expect("whole").push(key.public().kid.clone());
        Ok(key)
    }

    fn discard(&self, key: &PublicKey) -> Result<(), KeyError> {
        self.wiped.lock().expect("whole").push(key.kid.clone());
        Ok(())
    }
}
