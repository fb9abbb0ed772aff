//! CRLs and status lists say of everything that was issued what the verifier's own rule says.

use std::collections::BTreeMap;

use x509_parser::prelude::CertificateRevocationList;

use super::*;
use crate::formats::claims::{TokenClaims, TokenKind};
use crate::formats::jws::{self, MAX_TOKEN};
use crate::formats::status_list::{MAX_STATUS_LIST, StatusListToken};
use crate::lists::{self, Lifetimes, Lists, Served};
use crate::model::CredentialId;

const MINUTE: Duration = Duration::from_secs(60);

/// A broker, and the lists that it publishes.
struct Published {
    world: World,
    lists: Arc<Lists>,
}

impl Published {
    /// What is served once so many builds were made.
    async fn builds(&self, count: u64) -> Arc<Served> {
        let reached = async {
            while self.lists.stats().builds < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(MINUTE, reached).await.expect("built");
        self.lists.served().expect("built")
    }

    async fn new() -> Self {
        let world = World::new().await;
        let lists = Arc::new(Lists::new(lists::Parts {
            ledger: Arc::clone(world.broker.ledger()),
            keyring: Arc::clone(&world.broker.keyring),
            urls: Urls { issuer: "https://broker.example.org".to_owned(), crl: "http://crl.example.org".to_owned() },
            lifetimes: Lifetimes { interval: 2 * MINUTE, crl: 10 * MINUTE, status: 10 * MINUTE, ttl: MINUTE },
            native: Box::new(|| None),
            out: Box::new(|_, _| ()),
            clock: world.broker.clock().clone(),
        }));
        Self { world, lists }
    }

    async fn build(&self) -> Arc<Served> {
        self.lists.build().await.expect("built");
        assert_eq!(self.lists.check(), Ok(()));
        self.lists.served().expect("built")
    }

    fn issuer(&self) -> Position {
        self.world.broker.signing_key(KeyPurpose::Issuer).expect("one issues")
    }

    /// A token, and where it says that its status stands.
    async fn token(&self, caller: &Caller, task: Option<Position>) -> (Issuance, TokenClaims) {
        let (text, issuance) = self.world.broker.issue_token(caller, World::ask("production", task)).await.expect("issued");
        let jws = jws::parse(&text, MAX_TOKEN).expect("a token");
        (issuance, TokenClaims::decode(TokenKind::AccessToken, &jws.payload).expect("claims"))
    }

    /// The reasons in the CRL, by serial number.
    fn revoked(&self, served: &Served) -> BTreeMap<CredentialId, u8> {
        let der = &served.crl(self.issuer()).expect("served").body.bytes;
        let (_, list) = CertificateRevocationList::from_der(der).expect("a CRL");
        let issuer = self.world.broker.keyring.issuer(self.issuer()).expect("held");
        let (_, issuer) = x509_parser::parse_x509_certificate(&issuer.certificate).expect("a certificate");
        list.verify_signature(issuer.public_key()).expect("signed by the issuer");
        let entry = |one: &x509_parser::revocation_list::RevokedCertificate<'_>| {
            (CredentialId::from_serial(one.raw_serial()).expect("ours"), one.reason_code().expect("always").1.0)
        };
        list.iter_revoked_certificates().map(entry).collect()
    }

    /// What the status list says of a token: none if there is no such list.
    fn status(served: &Served, claims: &TokenClaims) -> Option<u8> {
        let reference = claims.status.as_ref().expect("each token has one");
        let list = reference.uri.strip_prefix("https://broker.example.org/v1/status/").expect("ours").parse().expect("a number");
        let text = &served.status(list)?.body.bytes;
        let jws = jws::parse(std::str::from_utf8(text).expect("text"), MAX_STATUS_LIST).expect("a JWS");
        let token = StatusListToken::decode(&jws.payload).expect("a list");
        assert_eq!(token.uri, reference.uri);
        token.list.status(reference.index)
    }

    fn number(&self, served: &Served) -> u64 {
        let der = &served.crl(self.issuer()).expect("served").body.bytes;
        let (_, list) = CertificateRevocationList::from_der(der).expect("a CRL");
        list.crl_number().expect("always").try_into().expect("64 bits")
    }
}

#[tokio::test]
async fn what_is_dead_is_named_with_its_reason_and_what_lives_is_not() {
    let published = Published::new().await;
    let world = &published.world;
    let broker = &world.broker;
    let (api, settlement, vendor) = (caller("/payments/api"), caller("/payments/batch"), caller("/acme/sync"));
    let (first, first_claims) = published.token(&api, None).await;
    let (_, second_claims) = published.token(&api, None).await;
    let (_, vendor_claims) = published.token(&vendor, None).await;
    let (certificate, holder) = world.certificate(&settlement, "production", None).await.expect("issued");
    let (renewed, _) = world.certificate(&holder, "production", None).await.expect("issued");
    let (other, _) = world.certificate(&settlement, "production", None).await.expect("issued");
    let (of_vendor, _) = world.certificate(&vendor, "production", None).await.expect("issued");
    let served = published.build().await;
    assert_eq!(published.revoked(&served), BTreeMap::new());
    for claims in [&first_claims, &second_claims, &vendor_claims] {
        assert_eq!(Published::status(&served, claims), Some(0));
    }

    broker.revoke_credential(&administrator(), first.id, Reason::Superseded, None, Limits::default()).await.expect("revoked");
    // A renewed certificate ends with the first of its chain, and so does that.
    broker.revoke_credential(&administrator(), renewed.id, Reason::KeyCompromise, None, Limits::default()).await.expect("revoked");
    let served = published.build().await;
    assert_eq!(published.revoked(&served), [(certificate.id, 1), (renewed.id, 1)].into());
    let statuses = |served: &Served| [&first_claims, &second_claims, &vendor_claims].map(|claims| Published::status(served, claims));
    assert_eq!(statuses(&served), [Some(1), Some(0), Some(0)]);

    world.revoke_owner("payments").await.expect("revoked");
    let served = published.build().await;
    let revoked = published.revoked(&served);
    assert_eq!(revoked.keys().copied().collect::<Vec<_>>(), [certificate.id, renewed.id, other.id], "{}", of_vendor.id);
    assert_eq!(statuses(&served), [Some(1), Some(1), Some(0)]);
}

#[tokio::test]
async fn an_entry_leaves_the_crl_one_lifetime_after_its_certificate_has_expired() {
    let published = Published::new().await;
    let (certificate, _) = published.world.certificate(&caller("/payments/batch"), "production", None).await.expect("issued");
    published.world.revoke_owner("payments").await.expect("revoked");
    let named = async || published.revoked(&*published.build().await).contains_key(&certificate.id);
    assert!(named().await);
    published.world.hand.set(certificate.expires_at.plus(Duration::from_secs(599)));
    assert!(named().await, "it is in a list that was made after its end");
    published.world.hand.set(certificate.expires_at.plus(Duration::from_secs(600)));
    assert!(!named().await);
}

#[tokio::test]
async fn numbers_of_crls_only_grow_though_the_clock_is_set_back() {
    let published = Published::new().await;
    let mut last = published.number(&*published.build().await);
    assert_eq!(last, START.millis(), "the time of its making, in milliseconds");
    for step in [0, 1000, 0, 2, 0] {
        published.world.hand.set(START.plus(Duration::from_secs(step)));
        let next = published.number(&*published.build().await);
        assert!(next > last, "{next} after {last}");
        last = next;
    }
}

#[tokio::test]
async fn a_list_that_lacks_what_is_dead_is_found_told_and_replaced() {
    let published = Published::new().await;
    let (_, claims) = published.token(&caller("/payments/api"), None).await;
    let (certificate, _) = published.world.certificate(&caller("/payments/batch"), "production", None).await.expect("issued");
    let before = published.build().await;
    published.world.revoke_owner("payments").await.expect("revoked");
    published.build().await;
    assert_eq!(published.lists.stats().differences, 0);

    published.lists.serve_instead(&before);
    published.lists.build().await.expect("built");
    assert_eq!(published.lists.stats().differences, 2, "the CRL, and the status list");
    assert_eq!(published.lists.check(), Err("what is published contradicts the ledger: the log says how"));
    let served = published.lists.served().expect("built");
    assert!(published.revoked(&served).contains_key(&certificate.id), "what is true has taken its place");
    assert_eq!(Published::status(&served, &claims), Some(1));
    published.build().await;
    assert_eq!(published.lists.stats().differences, 2);
}

#[tokio::test]
async fn the_last_good_lists_stay_when_none_can_be_built() {
    let published = Published::new().await;
    published.world.certificate(&caller("/payments/batch"), "production", None).await.expect("issued");
    let before = published.build().await;
    published.world.broker.ledger().close().await;
    assert!(published.lists.build().await.is_err());
    assert!(Arc::ptr_eq(&before, &published.lists.served().expect("still")));
    assert_eq!((published.lists.stats().builds, published.lists.stats().failures), (1, 1));
}

#[tokio::test]
async fn a_cut_is_published_at_once_and_the_next_ones_together() {
    let published = Published::new().await;
    let (api, vendor) = (caller("/payments/api"), caller("/acme/sync"));
    let (_, claims) = published.token(&api, None).await;
    let (_, of_vendor) = published.token(&vendor, None).await;
    published.build().await;
    let keeping = tokio::spawn(Arc::clone(&published.lists).keep());
    published.world.revoke_owner("payments").await.expect("revoked");
    let served = published.builds(2).await;
    assert_eq!((Published::status(&served, &claims), Published::status(&served, &of_vendor)), (Some(1), Some(0)));
    // Not at once, for a build was just now; and with whatever is cut until then.
    published.world.revoke_owner("acme").await.expect("revoked");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(published.lists.stats().builds, 2);
    published.world.hand.advance(MINUTE);
    assert_eq!(Published::status(&*published.builds(3).await, &of_vendor), Some(1));
    // And without any cut, by the timer: not before its time.
    published.world.hand.advance(MINUTE);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(published.lists.stats().builds, 3);
    published.world.hand.advance(2 * MINUTE);
    published.builds(4).await;
    keeping.abort();
}

#[tokio::test]
async fn when_the_clock_is_set_the_lists_are_made_anew_though_none_is_due() {
    let published = Published::new().await;
    published.build().await;
    let keeping = tokio::spawn(Arc::clone(&published.lists).keep());
    let hour = 60 * MINUTE;
    for (count, now) in [(2, START.plus(hour)), (3, START.plus(Duration::from_secs(1)))] {
        // Whether the keeper looked before or after the hand moved, the hand has moved by more than it waits for.
        tokio::task::yield_now().await;
        published.world.hand.set(now);
        published.builds(count).await;
        assert_eq!((published.lists.stats().age, published.lists.check()), (Some(Duration::ZERO), Ok(())), "at {now}");
    }
    keeping.abort();
}
