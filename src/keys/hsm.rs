//! Keys that a PKCS#11 module holds: a hardware module, a smart card, SoftHSM. The private half never
//! leaves it; only hashes go in.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use ring::digest;

use super::KeyError;
use super::signer::{SignError, Signer};
use crate::formats::jwk::P256;

const HSM: &str = "PKCS#11 module";

/// A module, with one of its tokens logged into.
pub(crate) struct Hsm {
    module: Pkcs11,
    slot: Slot,
    /// Logged in for as long as it is open.
    session: Session,
}

impl fmt::Debug for Hsm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hsm").field("slot", &self.slot.id()).finish_non_exhaustive()
    }
}

impl Hsm {
    /// Loads a module and logs into the token of this label.
    ///
    /// # Errors
    /// If there is no such module or token, or the PIN is another one.
    pub(crate) fn open(module: &Path, label: &str, pin: &str) -> Result<Self, KeyError> {
        let refused = |error: Error| KeyError::unusable(HSM, error);
        let module = Pkcs11::new(module).map_err(refused)?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(refused(error)),
        }
        let named = |slot: &Slot| module.get_token_info(*slot).is_ok_and(|info| info.label() == label);
        let slots = module.get_slots_with_token().map_err(refused)?;
        let mut slots = slots.into_iter().filter(named);
        let (Some(slot), None) = (slots.next(), slots.next()) else {
            return Err(KeyError::unusable(HSM, format_args!("it has to have one token with the label `{label}`")));
        };
        let session = module.open_ro_session(slot).map_err(refused)?;
        session.login(UserType::User, Some(&AuthPin::from(pin))).map_err(refused)?;
        Ok(Self { module, slot, session })
    }

    /// The P-256 key pair of this label.
    ///
    /// # Errors
    /// If there is none or more than one, or it cannot sign.
    pub(crate) fn p256(&self, what: &'static str, label: &str) -> Result<Arc<dyn Signer>, KeyError> {
        let refused = |error: Error| KeyError::unusable(what, error);
        let private = self.only(what, ObjectClass::PRIVATE_KEY, label)?;
        let public = self.only(what, ObjectClass::PUBLIC_KEY, label)?;
        let attributes = self.session.get_attributes(public, &[AttributeType::EcPoint]).map_err(refused)?;
        let point = |attribute: &Attribute| if let Attribute::EcPoint(point) = attribute { p256(point) } else { None };
        let public_key = attributes.iter().find_map(point);
        let public_key = public_key.ok_or_else(|| KeyError::unusable(what, "it has to be a P-256 key with an uncompressed point"))?;
        // Sessions of one application share its login; one for each key, so that keys sign at once.
        let session = Mutex::new(self.module.open_ro_session(self.slot).map_err(refused)?);
        let key = HsmKey { what, session, private, public_key: public_key.to_spki() };
        let tried = key.sign(HSM.as_bytes()).map_err(|error| KeyError::unusable(what, error))?;
        if !public_key.verifies(HSM.as_bytes(), &tried) {
            return Err(KeyError::unusable(what, format_args!("the public and the private key of the label `{label}` are not a pair")));
        }
        Ok(Arc::new(key))
    }

    fn only(&self, what: &'static str, class: ObjectClass, label: &str) -> Result<ObjectHandle, KeyError> {
        let wanted = [Attribute::Class(class), Attribute::KeyType(KeyType::EC), Attribute::Label(label.as_bytes().to_vec())];
        let found = self.session.find_objects(&wanted).map_err(|error| KeyError::unusable(what, error))?;
        match found.as_slice() {
            [one] => Ok(*one),
            all => {
                let problem = format!("the token has {} objects of class {class} with the label `{label}`; there has to be one", all.len());
                Err(KeyError::unusable(what, problem))
            }
        }
    }
}

/// The point in an OCTET STRING (PKCS#11, section 6.3.3), or bare, as some modules have it.
fn p256(point: &[u8]) -> Option<P256> {
    let point = point.strip_prefix(&[0x04, 65]).filter(|point| point.len() == 65).unwrap_or(point);
    let (x, y) = point.strip_prefix(&[0x04]).filter(|rest| rest.len() == 64)?.split_at_checked(32)?;
    P256::from_coordinates(x, y)
}

/// A key pair of a module.
struct HsmKey {
    what: &'static str,
    session: Mutex<Session>,
    private: ObjectHandle,
    public_key: Vec<u8>,
}

impl fmt::Debug for HsmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HsmKey").field("what", &self.what).finish_non_exhaustive()
    }
}

impl Signer for HsmKey {
    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let hash = digest::digest(&digest::SHA256, message);
        // A call that panicked left nothing half done: each begins and ends its own operation.
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        match session.sign(&Mechanism::Ecdsa, self.private, hash.as_ref()) {
            Ok(signature) if signature.len() == 64 => Ok(signature),
            Ok(_) => Err(SignError),
            Err(error) => {
                tracing::error!(key = self.what, %error, "the PKCS#11 module did not sign");
                Err(SignError)
            }
        }
    }
}
