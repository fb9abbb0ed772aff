//! Keys that a PKCS#11 module holds: a hardware module, a smart card, SoftHSM. The private half never
//! leaves it; only hashes go in.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use ring::digest;

use super::KeyError;
use super::aside::{Aside, Remote};
use super::signer::Signer;
use crate::formats::jwk::P256;

const HSM: &str = "PKCS#11 module";

/// How a module is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// How long a signature is waited for.
    pub(crate) patience: Duration,
    /// How many signatures of one key it is asked for at a time; each takes a session.
    pub(crate) sessions: usize,
}

/// A module, with one of its tokens logged into.
pub(crate) struct Hsm {
    access: Arc<Access>,
    terms: Use,
    /// Logged in for as long as it is open.
    session: Session,
}

impl fmt::Debug for Hsm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hsm").field("token", &self.access.token).finish_non_exhaustive()
    }
}

/// Why a module cannot be used.
#[derive(Debug, thiserror::Error)]
enum HsmError {
    #[error(transparent)]
    Module(#[from] Error),
    #[error("it has to have one token with the label `{0}`")]
    Token(String),
    #[error("the token has {found} objects of class {class} with the label `{label}`; there has to be one")]
    Objects { found: usize, class: ObjectClass, label: String },
    #[error("it refused the PIN before, and is not asked again, so that the token is not locked: restart the broker with the right one")]
    Pin,
    #[error("the signature is not 64 bytes long")]
    Signature,
}

impl HsmError {
    fn of(self, what: &'static str) -> KeyError {
        KeyError::unusable(what, self)
    }
}

/// What it takes to get into a token, again if it has to be.
struct Access {
    module: Pkcs11,
    token: String,
    pin: AuthPin,
    /// Whether the PIN is a wrong one. A token locks itself after a few, so no two are tried at a time.
    refused: Mutex<bool>,
}

impl Access {
    fn session(&self) -> Result<Session, HsmError> {
        match self.module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error.into()),
        }
        let named = |slot: &Slot| self.module.get_token_info(*slot).is_ok_and(|info| info.label() == self.token);
        let mut slots = self.module.get_slots_with_token()?.into_iter().filter(named);
        let (Some(slot), None) = (slots.next(), slots.next()) else { return Err(HsmError::Token(self.token.clone())) };
        let session = self.module.open_ro_session(slot)?;
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if *refused {
            return Err(HsmError::Pin);
        }
        match session.login(UserType::User, Some(&self.pin)) {
            // All sessions of a process are logged in with the first.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => {
                *refused = matches!(error, Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinLocked, _));
                Err(error.into())
            }
        }
    }
}

/// The one object of this class and label.
fn only(session: &Session, class: ObjectClass, label: &str) -> Result<ObjectHandle, HsmError> {
    let wanted = [Attribute::Class(class), Attribute::KeyType(KeyType::EC), Attribute::Label(label.as_bytes().to_vec())];
    match session.find_objects(&wanted)?.as_slice() {
        [one] => Ok(*one),
        all => Err(HsmError::Objects { found: all.len(), class, label: label.to_owned() }),
    }
}

impl Hsm {
    /// Loads a module and logs into the token of this label.
    ///
    /// # Errors
    /// If there is no such module or token, or the PIN is another one.
    pub(crate) fn open(module: &Path, token: &str, pin: &str, terms: Use) -> Result<Self, KeyError> {
        let module = Pkcs11::new(module).map_err(|error| HsmError::from(error).of(HSM))?;
        let access = Access { module, token: token.to_owned(), pin: AuthPin::from(pin), refused: Mutex::new(false) };
        let session = access.session().map_err(|error| error.of(HSM))?;
        Ok(Self { access: Arc::new(access), terms, session })
    }

    /// The P-256 key pair of this label.
    ///
    /// # Errors
    /// If there is none or more than one, or it cannot sign.
    pub(crate) fn p256(&self, what: &'static str, label: &str) -> Result<Arc<dyn Signer>, KeyError> {
        only(&self.session, ObjectClass::PRIVATE_KEY, label).map_err(|error| error.of(what))?;
        let public = only(&self.session, ObjectClass::PUBLIC_KEY, label).map_err(|error| error.of(what))?;
        let attributes = self.session.get_attributes(public, &[AttributeType::EcPoint]).map_err(|error| HsmError::from(error).of(what))?;
        let point = |attribute: &Attribute| if let Attribute::EcPoint(point) = attribute { p256(point) } else { None };
        let public_key = attributes.iter().find_map(point);
        let public_key = public_key.ok_or_else(|| KeyError::unusable(what, "it has to be a P-256 key with an uncompressed point"))?;
        let key = || HsmKey { what, access: Arc::clone(&self.access), label: label.to_owned(), open: None };
        let keys = std::iter::repeat_with(key).take(self.terms.sessions).collect();
        let key = Aside::new(what, public_key.to_spki(), keys, self.terms.patience).map_err(|error| KeyError::unusable(what, error))?;
        let tried = key.sign(HSM.as_bytes()).map_err(|error| KeyError::unusable(what, error))?;
        if !public_key.verifies(HSM.as_bytes(), &tried) {
            return Err(KeyError::unusable(what, format_args!("the public and the private key of the label `{label}` are not a pair")));
        }
        Ok(Arc::new(key))
    }
}

/// The point in an OCTET STRING (PKCS#11, section 6.3.3), or bare, as some modules have it.
fn p256(point: &[u8]) -> Option<P256> {
    let point = point.strip_prefix(&[0x04, 65]).filter(|point| point.len() == 65).unwrap_or(point);
    let (x, y) = point.strip_prefix(&[0x04]).filter(|rest| rest.len() == 64)?.split_at_checked(32)?;
    P256::from_coordinates(x, y)
}

/// A key pair of a module, as one thread uses it.
struct HsmKey {
    what: &'static str,
    access: Arc<Access>,
    label: String,
    /// The private key in a session of this thread's own. Without one it is looked for again.
    open: Option<(Session, ObjectHandle)>,
}

impl HsmKey {
    fn reopened(&self) -> Result<(Session, ObjectHandle), HsmError> {
        let session = self.access.session()?;
        let private = only(&session, ObjectClass::PRIVATE_KEY, &self.label)?;
        Ok((session, private))
    }
}

impl Remote for HsmKey {
    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        let hash = digest::digest(&digest::SHA256, message);
        let signed = |(session, private): &(Session, ObjectHandle)| session.sign(&Mechanism::Ecdsa, *private, hash.as_ref());
        // What a module that was restarted, or a token that was taken out, says to old sessions differs from one
        // to the next; so whatever it is, the next try is with a new session.
        let signature = match self.open.as_ref().map(signed) {
            Some(Ok(signature)) => Ok(signature),
            failed => {
                if let Some(Err(error)) = failed {
                    tracing::warn!(key = self.what, %error, "a session of the PKCS#11 module is lost; opening another");
                }
                self.open = None;
                let open = self.reopened().map_err(|error| error.to_string())?;
                signed(&open).inspect(|_| self.open = Some(open))
            }
        };
        signature
            .map_err(HsmError::from)
            .and_then(|signature| if signature.len() == 64 { Ok(signature) } else { Err(HsmError::Signature) })
            .map_err(|error| error.to_string())
    }
}
