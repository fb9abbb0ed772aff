//! Who gets in: client certificates of every odd shape, made as the tests run.

use std::fs;
use std::time::Duration;

use curfew::client::{Client, Config, Failure, api};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::harness::Broker;
use crate::holder::pem;

const API: &str = "spiffe://example.org/payments/api";

/// A chain and its key, PEM.
struct Shown {
    chain: String,
    key: String,
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// What a good certificate of an identity from outside says.
fn good(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "an identity");
    params.subject_alt_names = uris.iter().map(|text| uri(text)).collect();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn signed(params: &CertificateParams, by: &Issuer<'_, KeyPair>) -> Shown {
    let key = KeyPair::generate().unwrap();
    Shown { chain: params.signed_by(&key, by).unwrap().pem(), key: key.serialize_pem() }
}

/// The identity CA that `curfew init` made.
fn identity_ca(broker: &Broker) -> Issuer<'static, KeyPair> {
    let folder = broker.dir().join("identity-ca");
    let key = KeyPair::from_pem(&fs::read_to_string(folder.join("ca.key")).unwrap()).unwrap();
    Issuer::from_ca_cert_pem(&fs::read_to_string(folder.join("ca.pem")).unwrap(), key).unwrap()
}

async fn connect(broker: &Broker, shown: &Shown) -> Result<Client, Failure> {
    let (chain, key) = (shown.chain.clone().into_bytes(), shown.key.clone().into_bytes());
    Client::connect(Config::new(&broker.addresses().grpc, fs::read(broker.ca()).unwrap(), chain, key)).await
}

/// Who the broker takes the holder of a certificate for.
async fn who_am_i(broker: &Broker, shown: &Shown) -> Result<api::WhoAmIResponse, Failure> {
    Ok(connect(broker, shown).await?.trust().who_am_i(api::WhoAmIRequest {}).await?.into_inner())
}

#[tokio::test]
async fn only_a_sound_certificate_of_a_trusted_authority_gets_in() {
    let broker = Broker::start();
    let ca = identity_ca(&broker);
    let seen = who_am_i(&broker, &signed(&good(&[API]), &ca)).await.unwrap();
    assert_eq!((seen.spiffe_id.as_str(), seen.role.as_str(), seen.owner.as_str()), (API, "workload", "payments"));

    let changed = |change: fn(&mut CertificateParams)| {
        let mut params = good(&[API]);
        change(&mut params);
        signed(&params, &ca)
    };
    let other_key = KeyPair::generate().unwrap();
    for (what, shown) in [
        ("two names", signed(&good(&[API, "spiffe://example.org/acme/reporting"]), &ca)),
        ("no name", signed(&good(&[]), &ca)),
        ("a name of another trust domain", signed(&good(&["spiffe://other.example/payments/api"]), &ca)),
        ("a trust domain without a path", signed(&good(&["spiffe://example.org"]), &ca)),
        ("a name that is no SPIFFE ID", signed(&good(&["https://example.org/payments/api"]), &ca)),
        ("a name in upper case", signed(&good(&["SPIFFE://EXAMPLE.ORG/payments/api"]), &ca)),
        ("a name with an empty segment", signed(&good(&["spiffe://example.org/payments//api"]), &ca)),
        ("expired", changed(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1))),
        ("not yet valid", changed(|params| params.not_before = rcgen::date_time_ymd(2999, 1, 1))),
        ("an authority", changed(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ("a key that may sign certificates", changed(|params| params.key_usages.push(KeyUsagePurpose::KeyCertSign))),
        ("a key that may sign lists", changed(|params| params.key_usages.push(KeyUsagePurpose::CrlSign))),
        ("a key that may sign nothing", changed(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment])),
        ("for servers only", changed(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])),
        ("of an authority of the same name", signed(&good(&[API]), &authority("curfew identity CA"))),
        ("self-signed", Shown { chain: good(&[API]).self_signed(&other_key).unwrap().pem(), key: other_key.serialize_pem() }),
    ] {
        let seen = who_am_i(&broker, &shown).await;
        assert!(seen.is_err(), "{what}: {seen:?}");
    }
}

#[tokio::test]
async fn trust_domains_do_not_mix() {
    let mut broker = Broker::prepare();
    let other = authority("other.example");
    fs::write(broker.dir().join("other.pem"), other.pem()).unwrap();
    let config = fs::read_to_string(broker.config()).unwrap();
    fs::write(broker.config(), config + "\n[[trust]]\ndomain = \"other.example\"\nbundle = \"other.pem\"\n").unwrap();
    broker.serve();

    let own = who_am_i(&broker, &signed(&good(&["spiffe://other.example/api"]), &other)).await.unwrap();
    assert_eq!(own.spiffe_id, "spiffe://other.example/api");
    let foreign = who_am_i(&broker, &signed(&good(&[API]), &other)).await;
    assert!(foreign.is_err(), "an authority of other.example vouched for example.org: {foreign:?}");
    let foreign = who_am_i(&broker, &signed(&good(&["spiffe://other.example/api"]), &identity_ca(&broker))).await;
    assert!(foreign.is_err(), "an authority of example.org vouched for other.example: {foreign:?}");
}

/// Asks for a certificate in production for a fresh key, with a request that may ask for more.
async fn issue(client: &Client, request: CertificateParams) -> Result<(api::IssueCertificateResponse, Shown), Failure> {
    let key = KeyPair::generate().unwrap();
    let csr = request.serialize_request(&key).unwrap().der().to_vec();
    let request = api::IssueCertificateRequest { csr, environment: "production".to_owned(), ..Default::default() };
    let issued = client.credentials().issue_certificate(request).await?.into_inner();
    let der = rustls_pki_types::CertificateDer::from(issued.chain[0].clone());
    let chain = pem(&der);
    Ok((issued, Shown { chain, key: key.serialize_pem() }))
}

#[tokio::test]
async fn of_a_signing_request_only_the_key_is_taken() {
    let broker = Broker::start();
    let client = broker.client(&broker.identity("payments/api")).await;
    let mut greedy = good(&["spiffe://example.org/acme/reporting", "spiffe://example.org/administrator"]);
    greedy.subject_alt_names.push(SanType::DnsName("broker.example.org".try_into().unwrap()));
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let (issued, _) = issue(&client, greedy).await.unwrap();

    let (_, leaf) = X509Certificate::from_der(&issued.chain[0]).unwrap();
    let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert!(matches!(names[..], [GeneralName::URI(API)]), "{names:?}");
    assert!(!leaf.is_ca());
    let usage = leaf.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign());
    assert_eq!(leaf.subject().iter().count(), 0, "{}", leaf.subject());
}

#[tokio::test]
async fn a_certificate_that_was_cut_is_refused_on_the_connection_that_is_open() {
    let broker = Broker::start();
    let client = broker.client(&broker.identity("payments/api")).await;
    let (issued, shown) = issue(&client, CertificateParams::default()).await.unwrap();
    let with_ours = connect(&broker, &shown).await.unwrap();
    let mut trust = with_ours.trust();
    let seen = trust.who_am_i(api::WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!(seen.credential_id, issued.issuance.unwrap().credential_id);

    let administrator = broker.administrator();
    broker.curfew(&administrator, ["cred", "revoke", &seen.credential_id, "--reason", "superseded", "--wait", "published"]).done();
    let answered = trust.who_am_i(api::WhoAmIRequest {}).await.map_err(Failure::from);
    let refused = answered.expect_err("the connection outlived its certificate");
    assert_eq!(refused.reason.as_deref(), Some("CERTIFICATE_REVOKED"), "{refused}");
    let again = who_am_i(&broker, &shown).await;
    assert!(again.is_err(), "a new connection with it: {again:?}");
    crate::harness::eventually(Duration::from_secs(20), || broker.log().contains("closed connections of what was revoked").then_some(()));
    // The identity from outside is another matter.
    issue(&client, CertificateParams::default()).await.unwrap();
}

#[test]
fn a_trust_bundle_is_read_again_when_it_changes_and_a_bad_one_is_not_used() {
    let broker = Broker::start();
    let bundle = broker.dir().join("trust/example.org.pem");
    let good = fs::read_to_string(&bundle).unwrap();
    let replace = |text: &str| {
        let new = broker.scratch().join("new.pem");
        fs::write(&new, text).unwrap();
        fs::rename(new, &bundle).unwrap();
    };
    let caller = broker.identity("payments/api");
    let whoami = || broker.curfew(&caller, ["whoami"]).code == 0;
    let within = Duration::from_secs(20);

    replace("no certificate at all");
    crate::harness::eventually(within, || broker.log().contains("trust bundle of example.org").then_some(()));
    assert!(whoami(), "the last good bundle is kept");
    assert!(!crate::process::get(&broker, "/metrics").1.contains("curfew_trust_bundle_errors_total 0"), "the error is counted");
    replace(&authority("new").pem());
    crate::harness::eventually(within, || (!whoami()).then_some(()));
    replace(&good);
    crate::harness::eventually(within, || whoami().then_some(()));
}
