//! Signing keys: made ahead, changed at one entry, revoked with a successor, whatever fails meanwhile.

use std::sync::atomic::Ordering;

use super::*;
use crate::broker::KeyState;
use crate::broker::keys::Rotated;
use crate::model::{Event, Note};

const HOUR: Duration = Duration::from_secs(3600);

fn note() -> Option<Note> {
    Some("it was stolen".parse().unwrap())
}

impl World {
    fn after(&self, hours: u32) {
        self.hand.set(START.plus(HOUR * hours));
    }

    /// The keys of a purpose with their states, the oldest first.
    async fn keys(&self, purpose: KeyPurpose) -> Vec<(Position, KeyState)> {
        let stories = self.broker.list_keys(&administrator()).await.unwrap();
        stories.into_iter().filter(|story| story.key.record.purpose == purpose).map(|story| (story.key.number, story.state)).collect()
    }

    /// The key that a credential was recorded for.
    async fn key_of(&self, issuance: Issuance) -> Position {
        let stored = self.broker.ledger().find(issuance.position).await.unwrap().expect("recorded");
        let Event::CredentialIssued(issued) = stored.entry.unwrap().event else { panic!("an issuance") };
        issued.key
    }

    fn wiped(&self) -> usize {
        self.keeper.wiped.lock().unwrap().len()
    }
}

#[tokio::test]
async fn the_next_key_is_made_ahead_signs_in_its_time_and_the_old_one_is_wiped() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let first = world.key_of(world.token(&api).await.unwrap()).await;
    assert_eq!(world.broker.tend_keys().await.unwrap(), Some(START.plus(HOUR * 90)));
    world.after(90);
    assert_eq!(world.broker.tend_keys().await.unwrap(), Some(START.plus(HOUR * 100)));
    let [(_, KeyState::Signing), (next, KeyState::Announced)] = *world.keys(KeyPurpose::Token).await else { panic!("one waits") };
    assert_eq!(world.key_of(world.token(&api).await.unwrap()).await, first, "it is published, and does not sign");
    world.after(100);
    assert_eq!(world.key_of(world.token(&api).await.unwrap()).await, first, "nothing happens by the clock alone");
    world.broker.tend_keys().await.unwrap();
    assert_eq!(world.key_of(world.token(&api).await.unwrap()).await, next);
    assert_eq!(world.keys(KeyPurpose::Token).await, [(first, KeyState::Retired), (next, KeyState::Signing)]);
    // The issuer signs its revocations for as long as a certificate of it may live.
    assert_eq!((world.wiped(), world.broker.keyring.issuers().len()), (3, 2));
    world.after(126);
    world.broker.tend_keys().await.unwrap();
    assert_eq!((world.wiped(), world.broker.keyring.issuers().len()), (4, 1));
    assert_eq!(world.keys(KeyPurpose::Token).await, [(first, KeyState::Ended), (next, KeyState::Signing)]);
    assert_eq!(world.keys(KeyPurpose::Checkpoint).await[0].1, KeyState::Retired, "a history is checked for ever");
}

#[tokio::test]
async fn an_issuance_that_was_decided_for_a_key_that_is_retired_is_decided_again() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let workers = (0..8).map(|_| {
        let (broker, api) = (Arc::clone(&world.broker), api.clone());
        tokio::spawn(async move {
            let mut issued = Vec::new();
            for _ in 0..50 {
                match broker.issue_token(&api, World::ask("production", None)).await {
                    Ok((_, issuance)) => issued.push(issuance),
                    Err(Error::Conflict) => {}
                    Err(other) => panic!("{other}"),
                }
                tokio::task::yield_now().await;
            }
            issued
        })
    });
    let workers: Vec<_> = workers.collect();
    for _ in 0..20 {
        world.broker.rotate_key(&administrator(), KeyPurpose::Token, true).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut keys = std::collections::BTreeSet::new();
    for worker in workers {
        for issuance in worker.await.unwrap() {
            let key = world.key_of(issuance).await;
            keys.insert(key);
            let facts = world.broker.ledger().facts();
            let known = facts.signing_keys().get(key).expect("known");
            assert!(key < issuance.position && known.retired.is_none_or(|retired| retired.at > issuance.position), "{known:?}");
        }
    }
    assert!(keys.len() > 1, "keys changed meanwhile: {keys:?}");
}

#[tokio::test]
async fn a_forced_change_waits_for_verifiers_or_says_that_it_does_not() {
    let world = World::new().await;
    let first = world.broker.signing_key(KeyPurpose::List).unwrap();
    let ahead = world.broker.rotate_key(&administrator(), KeyPurpose::List, false).await.unwrap();
    assert_eq!((ahead.signs_from, ahead.retired), (START.plus(HOUR * 10), None));
    assert_eq!(world.broker.rotate_key(&administrator(), KeyPurpose::List, false).await.unwrap(), ahead, "the same waits");
    assert_eq!(world.broker.signing_key(KeyPurpose::List), Some(first));
    let now = world.broker.rotate_key(&administrator(), KeyPurpose::List, true).await.unwrap();
    assert_eq!(now, Rotated { next: ahead.next, signs_from: START, retired: Some(first) });
    assert_eq!(world.broker.signing_key(KeyPurpose::List), Some(ahead.next));
    let denied_to = world.broker.rotate_key(&caller("/payments/api"), KeyPurpose::List, true).await;
    assert_eq!(denied(denied_to), DenialCode::PolicyDenied);
}

#[tokio::test]
async fn a_revoked_issuer_ends_all_that_it_issued_and_another_issues_at_once() {
    let world = World::new().await;
    let (first, holder) = world.certificate(&caller("/payments/api"), "production", None).await.unwrap();
    let stolen = world.key_of(first).await;
    let revoked = world.broker.revoke_key(&administrator(), stolen, Reason::KeyCompromise, note()).await.unwrap();
    assert!(!revoked.repeated && revoked.signing.is_some_and(|key| key > stolen));
    assert_eq!(denied(world.token(&holder).await), DenialCode::CertificateRevoked);
    let (next, _) = world.certificate(&caller("/payments/api"), "production", None).await.unwrap();
    assert_eq!(Some(world.key_of(next).await), revoked.signing);
    let again = world.broker.revoke_key(&administrator(), stolen, Reason::KeyCompromise, note()).await.unwrap();
    assert_eq!((again.position, again.repeated), (revoked.position, true));
    world.broker.tend_keys().await.unwrap();
    assert_eq!(world.wiped(), 1);
    assert!(matches!(world.broker.revoke_key(&administrator(), stolen, Reason::KeyCompromise, None).await, Err(Error::Invalid(_))));
    let nothing = world.broker.revoke_key(&administrator(), world.head().next(), Reason::KeyCompromise, note()).await;
    assert!(matches!(nothing, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_key_is_revoked_though_none_can_be_made_in_its_place() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let stolen = world.key_of(world.token(&api).await.unwrap()).await;
    world.keeper.full.store(true, Ordering::SeqCst);
    let revoked = world.broker.revoke_key(&administrator(), stolen, Reason::KeyCompromise, note()).await.unwrap();
    assert_eq!(revoked.signing, None);
    assert!(matches!(world.token(&api).await, Err(Error::Unavailable(_))), "nothing is signed with a stolen key");
    assert!(matches!(world.broker.tend_keys().await, Err(Error::Unavailable(_))));
    world.keeper.full.store(false, Ordering::SeqCst);
    world.broker.tend_keys().await.unwrap();
    let next = world.key_of(world.token(&api).await.unwrap()).await;
    assert_eq!(world.keys(KeyPurpose::Token).await, [(stolen, KeyState::Revoked), (next, KeyState::Signing)]);
}

#[tokio::test]
async fn a_key_that_was_made_and_not_recorded_is_taken_by_the_next_attempt() {
    let world = World::new().await;
    world.broker.ledger().close().await;
    for _ in 0..3 {
        assert!(world.broker.spares.lock().await.len() <= 1);
        let mut spares = world.broker.spares.lock().await;
        assert!(world.broker.make_key(None, KeyPurpose::Token, None, &mut spares).await.is_err());
    }
    assert_eq!(world.keeper.made.lock().unwrap().len(), 1, "a disk that refuses entries is not filled with keys");
}

#[tokio::test]
async fn files_that_take_the_place_of_others_take_over() {
    let (clock, _hand) = Clock::manual(START);
    let domain: TrustDomain = "example.org".parse().unwrap();
    let ledger: Arc<dyn Ledger> = SqliteLedger::open(&Place::Memory, Options::new(domain.clone(), Epoch([7; 16])), clock.clone()).unwrap();
    let engine = Engine::compile(default_policies()).expect("the default pack is valid");
    Broker::put_in_force(&*ledger, &engine).await.unwrap();
    let material = || Material::generate(&domain, &Entropy::system(), START).unwrap();
    let old = material();
    let old_texts = old.to_texts();
    Broker::activate_keys(&*ledger, old).await.unwrap();
    let keyring = Arc::new(Broker::activate_keys(&*ledger, material()).await.unwrap());
    let broker = Broker::new(Parts {
        ledger: Arc::clone(&ledger),
        engine,
        keyring,
        keeping: Keeping { keeper: Unkept::new(&domain), rotation: hundred_hours() },
        urls: Urls { issuer: "https://broker.example.org".to_owned(), crl: "https://broker.example.org".to_owned() },
        followers: Arc::new(Followers::new(Windows::of_lists(Duration::from_secs(30)), START)),
        sources: Vec::new(),
        administrators: [administrator().spiffe_id].into(),
        quotas: QUOTAS,
        reconciling: Reconciling::default(),
        clock,
        entropy: Entropy::system(),
    });
    broker.tend_keys().await.unwrap();
    for purpose in KeyPurpose::ALL {
        let signing = broker.signing_key(*purpose).unwrap();
        assert!(broker.keyring.find(signing).is_some(), "what signs is held");
    }
    // The old files, put back, are those of keys that are over.
    let sources = old_texts.into_iter().map(|text| Source {
        purpose: text.purpose,
        private: Private::Pem(text.private),
        certificate: text.certificate,
    });
    let old = Material::open(&domain, sources.collect(), &Entropy::system()).unwrap();
    let error = Broker::activate_keys(&*ledger, old).await.expect_err("retired").to_string();
    assert!(error.contains("was retired at entry") && error.contains("keys_dir"), "{error}");
}
