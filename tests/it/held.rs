//! Credentials that a source of the client holds: fetched, renewed before they end, dropped when they are cut.

use std::sync::Arc;
use std::time::Duration;

use curfew::client::{Client, Config, Credential as _, CredentialSource, Follower, HeldCertificate, HeldToken, api};
use futures_util::FutureExt as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, ServerConnection, SignatureScheme,
};

use crate::follower::{SOON, World, covers};
use crate::harness::{AUDIENCE, eventually};

impl World {
    fn certificates(&self, follower: &Arc<Follower>) -> CredentialSource<HeldCertificate> {
        let config = self.workload.config.clone();
        let request = api::IssueCertificateRequest { environment: "production".to_owned(), ..Default::default() };
        CredentialSource::start(move || Ok(config.clone()), request, Some(Arc::clone(follower)), self.broker.ambient())
    }

    /// Lets time pass, little by little, until something is seen: whoever lost its connection waits before it comes back.
    fn until<T>(&self, mut seen: impl FnMut() -> Option<T>) -> T {
        eventually(SOON, || {
            self.broker.advance(Duration::from_millis(100));
            seen()
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_holds_a_token_renews_it_before_it_ends_and_drops_what_is_cut() {
    let world = World::new().await;
    let follower = Arc::new(world.follow(world.verifier()).await.unwrap());
    let config = world.workload.config.clone();
    let request = api::IssueTokenRequest { environment: "production".to_owned(), audience: AUDIENCE.to_owned(), ..Default::default() };
    let ambient = world.broker.ambient();
    let source = CredentialSource::<HeldToken>::start(move || Ok(config.clone()), request, Some(Arc::clone(&follower)), ambient);
    let first = source.credential().await.unwrap();
    assert_eq!(source.credential().await.unwrap().token, first.token, "it is not fetched for each use");
    // Five minutes is its life; it is renewed between a half and three quarters of that.
    world.broker.advance(Duration::from_secs(140));
    assert_eq!(source.credential().await.unwrap().token, first.token);
    world.broker.advance(Duration::from_secs(90));
    let renewed = eventually(SOON, || source.held().filter(|held| held.token != first.token));
    assert!(renewed.claims.expires_at > first.claims.expires_at);

    world.revoke().await;
    world.until(|| source.held().is_none().then_some(()));
    let refused = source.credential().await.expect_err("nothing is issued to it any more");
    assert_eq!(refused.reason.as_deref(), Some("OWNER_NOT_ACTIVE"));
    let shown = format!("{renewed:?}");
    assert!(!shown.contains(&renewed.token), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_holds_a_certificate_with_a_key_of_its_own_and_renews_it_before_it_ends() {
    let world = World::new().await;
    let follower = Arc::new(world.follow(world.verifier()).await.unwrap());
    let source = world.certificates(&follower);
    let first = source.credential().await.unwrap();
    assert_eq!(source.credential().await.unwrap().id(), first.id(), "it is not fetched for each use");
    assert_eq!(first.spiffe_id().as_str(), "spiffe://example.org/payments/api");
    assert_eq!(follower.certificate(&first.chain()[0]).expect("good").id(), first.id());
    // An hour is its life.
    world.broker.advance(Duration::from_secs(29 * 60));
    assert_eq!(source.held().expect("alive").id(), first.id());
    world.broker.advance(Duration::from_secs(17 * 60));
    let renewed = eventually(SOON, || source.held().filter(|held| held.id() != first.id()));
    assert!(renewed.expires_at() > first.expires_at());
    assert_ne!(renewed.key().pkcs8(), first.key().pkcs8(), "each has a key of its own");

    let (certificate, key) = (renewed.chain_pem().into_bytes(), renewed.key().to_pem().as_bytes().to_vec());
    let client = Client::connect(Config { certificate, key, ..world.workload.config.clone() }).await.unwrap();
    let caller = client.trust().who_am_i(api::WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!(caller.spiffe_id, renewed.spiffe_id().as_str(), "it can be used as it is");
    let shown = format!("{renewed:?} {:?} {source:?}", renewed.key());
    assert!(shown.contains("FreshKey(..)") && !shown.contains("pkcs8") && !shown.contains("PRIVATE"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_cut_is_dropped_at_once_and_followed_by_another_if_there_may_be_one() {
    let world = World::new().await;
    let follower = Arc::new(world.follow(world.verifier()).await.unwrap());
    let source = world.certificates(&follower);
    let first = source.credential().await.unwrap();
    let administrator = Client::connect(world.broker.administrator().unwrap().config).await.unwrap();
    let subject = Some(api::revoke_request::Subject::CredentialId(first.id().to_string()));
    let ask = api::RevokeRequest { subject, reason: api::RevocationReason::KeyCompromise.into(), ..Default::default() };
    let cut = administrator.revocations().revoke(ask).await.unwrap().into_inner().position;
    covers(&follower, cut).await;
    assert!(source.held().is_none_or(|held| held.id() != first.id()), "not even for a moment longer");
    let second = world.until(|| source.held());
    assert!(second.id() != first.id() && follower.certificate(&second.chain()[0]).is_ok());

    covers(&follower, world.revoke().await).await;
    assert!(source.held().is_none());
    world.until(|| source.held().is_none().then_some(()));
    let refused = eventually(SOON, || {
        world.broker.advance(Duration::from_millis(100));
        // It waits for a time to ask again, which comes only by the next step of the clock.
        source.credential().now_or_never().and_then(Result::err)
    });
    assert_eq!(refused.reason.as_deref(), Some("OWNER_NOT_ACTIVE"));
}

/// Whoever proves that it has the key of its certificate: whose that is, is looked at behind TLS.
#[derive(Debug)]
struct Anybody(CryptoProvider);

impl Anybody {
    fn has_the_key(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.0.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 alone".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.has_the_key(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Anybody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: UnixTime) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 alone".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.has_the_key(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A handshake between two programs that both present what the source has: what the client saw, and what the server saw.
fn handshake(source: &Arc<CredentialSource<HeldCertificate>>) -> Result<[Vec<u8>; 2], Error> {
    let provider = Arc::new(ring::default_provider());
    let anybody = || Arc::new(Anybody(ring::default_provider()));
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&rustls::version::TLS13])?;
    let client = client.dangerous().with_custom_certificate_verifier(anybody()).with_client_cert_resolver(source.clone());
    let server = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
    let server = server.with_client_cert_verifier(anybody()).with_cert_resolver(source.clone());
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from("peer").unwrap())?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        client.write_tls(&mut there).unwrap();
        server.read_tls(&mut there.as_slice()).unwrap();
        server.process_new_packets()?;
        server.write_tls(&mut back).unwrap();
        client.read_tls(&mut back.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok([client.peer_certificates(), server.peer_certificates()].map(|chain| chain.unwrap()[0].to_vec()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_handshake_presents_the_certificate_that_is_at_hand_then_and_none_when_all_are_dead() {
    let world = World::new().await;
    let follower = Arc::new(world.follow(world.verifier()).await.unwrap());
    let source = Arc::new(world.certificates(&follower));
    let first = source.credential().await.unwrap();
    assert_eq!(handshake(&source).expect("both have one"), [first.chain()[0].to_vec(), first.chain()[0].to_vec()]);
    world.broker.advance(Duration::from_secs(46 * 60));
    let renewed = eventually(SOON, || source.held().filter(|held| held.id() != first.id()));
    assert_eq!(handshake(&source).expect("both have one"), [renewed.chain()[0].to_vec(), renewed.chain()[0].to_vec()]);
    world.revoke().await;
    world.until(|| source.held().is_none().then_some(()));
    assert!(handshake(&source).is_err(), "nobody shows what is dead");
}
