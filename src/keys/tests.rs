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
use crate::model::{Entry, Epoch, Event, Facts, Position, PublicKey, Timestamp, TrustDomain};

fn domain() -> TrustDomain {
    "example.org".parse().expect("a trust domain")
}

fn open(domain: &TrustDomain, files: &PemFiles) -> Result<Material, KeyError> {
    let pem = |text: &Zeroizing<String>| Private::Pem(text.clone());
    let sources = Sources {
        token: pem(&files.token_key),
        issuer: pem(&files.issuer_key),
        issuer_certificate: files.issuer_certificate.to_string(),
        list: pem(&files.list_key),
        checkpoint: files.checkpoint_key.clone(),
    };
    Material::open(domain, sources, &Entropy::system())
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
    let again = open(&domain(), &material.to_pem()).expect("was written");
    assert_eq!(again.public_keys(), material.public_keys());
    let kinds: Vec<KeyPurpose> = material.public_keys().iter().map(|key| key.purpose).collect();
    assert_eq!(kinds, KeyPurpose::ALL);
}

#[test]
fn a_key_that_is_held_elsewhere_signs_and_leaves_no_file() {
    let material = material();
    let files = material.to_pem();
    let elsewhere = MemoryP256::open("token key", &pem::private_key("token key", &files.token_key).expect("PEM"), &Entropy::system());
    let sources = Sources {
        token: Private::Elsewhere(std::sync::Arc::new(elsewhere.expect("a key"))),
        issuer: Private::Pem(files.issuer_key),
        issuer_certificate: files.issuer_certificate.to_string(),
        list: Private::Pem(files.list_key),
        checkpoint: files.checkpoint_key,
    };
    let held = Material::open(&domain(), sources, &Entropy::system()).expect("complete");
    assert_eq!(held.public_keys(), material.public_keys());
    assert_eq!(held.to_pem().token_key.as_str(), "");
}

#[test]
fn a_keyring_has_the_numbers_of_the_activations() {
    let material = material();
    let keys = material.public_keys();
    let keyring = material.into_keyring(&facts(keys.clone())).expect("all activated");
    let numbers = [&keyring.token, &keyring.issuer.key, &keyring.list, &keyring.checkpoint].map(|key| (key.number.get(), key.kid.clone()));
    assert_eq!(numbers.to_vec(), (2..6).zip(keys.into_iter().map(|key| key.kid)).collect::<Vec<_>>());
}

#[test]
fn keys_of_another_ledger_do_not_sign() {
    let others = material().public_keys();
    let error = material().into_keyring(&facts(others)).expect_err("never activated");
    assert!(matches!(error, KeyError::NotActivated { purpose: KeyPurpose::Issuer, .. }), "{error}");
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
    let keyring = material.into_keyring(&facts(keys)).expect("all activated");
    let key = Ed25519::from_spki(keyring.checkpoint.public_key()).expect("Ed25519");
    let origin = checkpoint::origin(&domain());
    let checkpoint = Checkpoint { origin: origin.clone(), size: Position::new(9), root: [7; 32], epoch: Epoch([1; 16]) };
    let note = checkpoint.encode(&key, |message| keyring.checkpoint.sign(message)).expect("signs");
    assert_eq!(Checkpoint::decode(&note, &origin, &key), Ok(checkpoint));
    assert_eq!(keyring.checkpoint.kid, checkpoint::kid(&origin, &key));
}

#[test]
fn an_issuer_certificate_of_another_key_or_domain_is_refused() {
    let (one, other) = (material().to_pem(), material().to_pem());
    let mixed = PemFiles { issuer_certificate: other.issuer_certificate, ..one };
    let error = open(&domain(), &mixed).expect_err("another key");
    assert_eq!(error.to_string(), "the issuer certificate cannot be used: it is of another key than the issuer key");
    let elsewhere = "example.net".parse().expect("a trust domain");
    let error = open(&elsewhere, &material().to_pem()).expect_err("another domain");
    assert!(error.to_string().contains("spiffe://example.net"), "{error}");
}

#[test]
fn nothing_that_is_printed_holds_a_private_key() {
    let material = material();
    let pem = material.to_pem();
    let keys = [&pem.token_key, &pem.issuer_key, &pem.list_key, &pem.checkpoint_key];
    let broken = PemFiles { list_key: Zeroizing::new(pem.list_key.replace("PRIVATE KEY", "EC PRIVATE KEY")), ..material.to_pem() };
    let error = open(&domain(), &broken).expect_err("another label");
    let facts = facts(material.public_keys());
    let before = format!("{pem:?} {material:?} {error} {error:?}");
    let printed = format!("{before} {:?}", material.into_keyring(&facts));
    for key in keys {
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
    let certificate = pem::certificate("issuer", &material().to_pem().issuer_certificate).expect("PEM");
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
