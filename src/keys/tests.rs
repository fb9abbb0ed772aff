//! Keys as files, in a keyring and in the keys document; what authorities and identities look like.

use x509_parser::extensions::GeneralName;
use zeroize::Zeroizing;

use super::identity::IdentityCa;
use super::signer::{MemoryP256, Signer as _};
use super::*;
use crate::ambient::Entropy;
use crate::formats::checkpoint::{self, Checkpoint};
use crate::formats::jwk::Ed25519;
use crate::formats::keyset::Keys;
use crate::formats::svid::Svid;
use crate::model::{Entry, Epoch, Event, Facts, Position, Timestamp, TrustDomain};

fn domain() -> TrustDomain {
    "example.org".parse().expect("a trust domain")
}

fn source(text: KeyText) -> Source {
    Source { purpose: text.purpose, private: Private::Pem(text.private), certificate: text.certificate }
}

fn open(domain: &TrustDomain, files: Vec<KeyText>) -> Result<Material, KeyError> {
    Material::open(domain, files.into_iter().map(source).collect(), &Entropy::system())
}

fn text_of(material: &Material, purpose: KeyPurpose) -> KeyText {
    material.to_texts().into_iter().find(|text| text.purpose == purpose).expect("one of each")
}

fn material() -> Material {
    Material::generate(&domain(), &Entropy::system(), Timestamp::from_seconds(1_790_000_000)).expect("random bytes")
}

/// A ledger in which these keys were activated from position 2 on.
fn facts(keys: Vec<PublicKey>) -> Facts {
    let mut facts = Facts::default();
    let opened = Event::LedgerOpened { epoch: Epoch([1; 16]), trust_domain: domain() };
    for (event, position) in std::iter::once(opened).chain(keys.into_iter().map(Event::KeyActivated)).zip(1..) {
        facts.apply(&Entry { position: Position::new(position), time: Timestamp::EPOCH, actor: None, request_id: None, event });
    }
    facts
}

#[test]
fn what_was_written_reads_back_as_the_same_keys() {
    let material = material();
    let again = open(&domain(), material.to_texts()).expect("was written");
    assert_eq!(again.public_keys(), material.public_keys());
    let kinds: Vec<KeyPurpose> = material.public_keys().iter().map(|key| key.purpose).collect();
    assert_eq!(kinds, KeyPurpose::ALL);
}

#[test]
fn a_key_that_is_held_elsewhere_signs_and_leaves_no_file() {
    let material = material();
    let text = text_of(&material, KeyPurpose::Token);
    let signer = MemoryP256::open("token key", &pem::private_key("token key", &text.private).expect("PEM"), &Entropy::system());
    let private = Private::Elsewhere(std::sync::Arc::new(signer.expect("a key")));
    let held = PrivateKey::open(Source { purpose: KeyPurpose::Token, private, certificate: None }, &domain(), &Entropy::system());
    let held = held.expect("complete");
    assert!(material.public_keys().contains(held.public()));
    assert_eq!(held.to_text().private.as_str(), "");
}

#[test]
fn a_keyring_has_the_numbers_of_the_activations() {
    let material = material();
    let keys = material.public_keys();
    let facts = facts(keys.clone());
    let keyring = material.into_keyring(&facts).expect("all activated");
    for (key, number) in keys.into_iter().zip(2..) {
        let signing = keyring.signing(key.purpose, &facts).expect("one signs");
        assert_eq!((signing.number, &signing.kid, signing.purpose), (Position::new(number), &key.kid, key.purpose));
        assert_eq!(keyring.issuer(signing.number).is_some(), key.purpose == KeyPurpose::Issuer);
    }
}

#[test]
fn a_key_is_held_and_let_go_of_while_another_signs() {
    let (material, next) = (material(), material());
    let keys: Vec<PublicKey> = material.public_keys().into_iter().chain(next.public_keys().into_iter().take(1)).collect();
    let mut facts = facts(keys);
    let keyring = material.into_keyring(&facts).expect("all activated");
    let (first, second) = (Position::new(2), Position::new(6));
    keyring
        .add(PrivateKey::open(source(text_of(&next, KeyPurpose::Token)), &domain(), &Entropy::system()).expect("a key"), second)
        .expect("held");
    assert_eq!(keyring.signing(KeyPurpose::Token, &facts).map(|key| key.number), Ok(first));
    let event = Event::KeyRetired { number: first, ends: None };
    facts.apply(&Entry { position: Position::new(7), time: Timestamp::EPOCH, actor: None, request_id: None, event });
    let signing = keyring.signing(KeyPurpose::Token, &facts).expect("the next");
    assert_eq!(signing.number, second);
    keyring.remove(second);
    assert_eq!(keyring.signing(KeyPurpose::Token, &facts).err(), Some(KeyError::Missing { purpose: KeyPurpose::Token }));
    signing.sign(b"what was begun").expect("is finished");
}

#[test]
fn keys_of_another_ledger_do_not_sign() {
    let others = material().public_keys();
    let error = material().into_keyring(&facts(others)).expect_err("never activated");
    assert!(matches!(error, KeyError::NotActivated { purpose: KeyPurpose::Token, .. }), "{error}");
}

#[test]
fn every_public_key_passes_through_the_keys_document() {
    let keys = material().public_keys().into_iter().zip(2..).map(|(key, number)| (Position::new(number), key)).collect();
    let keys = Keys { trust_domain: domain(), issuer: "https://broker.example".to_owned(), keys };
    assert_eq!(Keys::from_json(&keys.to_json().expect("usable keys")), Ok(keys));
}

#[test]
fn the_checkpoint_key_signs_checkpoints_of_its_ledger() {
    let material = material();
    let keys = material.public_keys();
    let facts = facts(keys);
    let keyring = material.into_keyring(&facts).expect("all activated");
    let signing = keyring.signing(KeyPurpose::Checkpoint, &facts).expect("one signs");
    let key = Ed25519::from_spki(signing.public_key()).expect("Ed25519");
    let origin = checkpoint::origin(&domain());
    let checkpoint = Checkpoint { origin: origin.clone(), size: Position::new(9), root: [7; 32], epoch: Epoch([1; 16]) };
    let note = checkpoint.encode(&key, |message| signing.sign(message)).expect("signs");
    assert_eq!(Checkpoint::decode(&note, &origin, &key), Ok(checkpoint));
    assert_eq!(signing.kid, checkpoint::kid(&origin, &key));
}

#[test]
fn an_issuer_certificate_of_another_key_or_domain_is_refused() {
    let (one, other) = (text_of(&material(), KeyPurpose::Issuer), text_of(&material(), KeyPurpose::Issuer));
    let mixed = KeyText { certificate: other.certificate, ..one };
    let error = open(&domain(), vec![mixed]).expect_err("another key");
    assert_eq!(error.to_string(), "the issuer certificate cannot be used: it is of another key than the issuer key");
    let elsewhere = "example.net".parse().expect("a trust domain");
    let error = open(&elsewhere, material().to_texts()).expect_err("another domain");
    assert!(error.to_string().contains("spiffe://example.net"), "{error}");
    let bare = KeyText { certificate: None, ..text_of(&material(), KeyPurpose::Issuer) };
    assert!(open(&domain(), vec![bare]).is_err(), "no certificate");
}

#[test]
fn nothing_that_is_printed_holds_a_private_key() {
    let material = material();
    let texts = material.to_texts();
    let list = text_of(&material, KeyPurpose::List);
    let broken = KeyText { private: Zeroizing::new(list.private.replace("PRIVATE KEY", "EC PRIVATE KEY")), ..list };
    let error = open(&domain(), vec![broken]).expect_err("another label");
    let facts = facts(material.public_keys());
    let before = format!("{texts:?} {material:?} {error} {error:?}");
    let printed = format!("{before} {:?}", material.into_keyring(&facts));
    for key in texts.iter().map(|text| &text.private) {
        let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
        let longest = body.get(40..60).expect("longer than that");
        assert!(!printed.contains(longest) && !printed.contains(key.as_str()));
    }
}

#[test]
fn an_identity_is_one_name_signed_by_the_identity_ca() {
    let entropy = Entropy::system();
    let now = Timestamp::from_seconds(1_790_000_000);
    let made = IdentityCa::generate(&domain(), &entropy, now).expect("random bytes");
    let key_of = |ca: &IdentityCa| ca.key_pem(None, &entropy).expect("not sealed");
    let ca = IdentityCa::from_pem(&made.certificate_pem(), &key_of(&made), &entropy).expect("was written");
    let id = "spiffe://example.org/payments/worker".parse().expect("an id");
    let ends = now.plus(std::time::Duration::from_secs(3600));
    let identity = ca.issue(&id, now, ends, &entropy).expect("random bytes");
    let leaf = pem::certificate("leaf", &identity.certificate).expect("PEM");
    let svid = Svid::from_der(&leaf).expect("an X509-SVID");
    assert_eq!((svid.spiffe_id, svid.expires_at, svid.own), (id, ends, None));
    let (bundle, (_, leaf)) =
        (pem::certificate("CA", &ca.certificate_pem()).expect("PEM"), x509_parser::parse_x509_certificate(&leaf).expect("DER"));
    let (_, bundle) = x509_parser::parse_x509_certificate(&bundle).expect("DER");
    leaf.verify_signature(Some(bundle.public_key())).expect("signed by the CA");
    let key = MemoryP256::open("key", &pem::private_key("key", &identity.key).expect("PEM"), &entropy).expect("P-256");
    assert_eq!(key.public_key(), leaf.public_key().raw, "the key is the certificate's");
    let other = IdentityCa::generate(&domain(), &entropy, now).expect("random bytes");
    assert!(IdentityCa::from_pem(&made.certificate_pem(), &key_of(&other), &entropy).is_err(), "the key of another CA");
}

/// RFC 5280, sections 4.2.1.1 to 4.2.1.9; X509-SVID, section 3.1.
#[test]
fn an_authority_signs_leaves_only_and_names_its_domain() {
    let certificate = material().public_keys().into_iter().find(|key| key.purpose == KeyPurpose::Issuer).expect("an issuer").material;
    let (_, certificate) = x509_parser::parse_x509_certificate(&certificate).expect("DER");
    certificate.verify_signature(None).expect("self-signed");
    let constraints = certificate.basic_constraints().expect("once").expect("there");
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = certificate.key_usage().expect("once").expect("there");
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign() && !usage.value.digital_signature());
    let names = certificate.subject_alternative_name().expect("once").expect("there").value;
    assert_eq!(names.general_names, [GeneralName::URI("spiffe://example.org")]);
    assert!(certificate.subject().to_string().starts_with("CN=Curfew issuer "));
    assert!(certificate.serial.bits() > 120, "not guessable, and positive");
}
