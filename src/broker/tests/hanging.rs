//! What holds the signing keys hangs: who wants a signature is told, and everything else goes on.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::formats::jwk::P256;
use crate::keys::{Aside, Remote};

/// A token key whose holder signs nothing until the test drops the gate.
struct Gated {
    called: Sender<()>,
    gate: Arc<Mutex<Receiver<()>>>,
}

impl Remote for Gated {
    fn sign(&mut self, _: &[u8]) -> Result<Vec<u8>, String> {
        let _ = self.called.send(());
        let _dropped = self.gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
        Ok(vec![7; 64])
    }
}

struct Hanging {
    world: World,
    called: Receiver<()>,
    gate: Sender<()>,
}

const THREADS: usize = 2;

/// A broker whose token key hangs.
async fn hanging(patience: Duration) -> Hanging {
    let (called, calls) = channel();
    let (gate, held) = channel();
    let held = Arc::new(Mutex::new(held));
    let remotes = std::iter::repeat_with(|| Gated { called: called.clone(), gate: Arc::clone(&held) }).take(THREADS).collect();
    let point = P256::from_spki(&some_key()).unwrap();
    let aside = Aside::new("token", point.to_spki(), remotes, patience).unwrap();
    let aside = Arc::new(aside);
    let elsewhere = |source: &mut Source| {
        if source.purpose == KeyPurpose::Token {
            source.private = Private::Elsewhere(Arc::clone(&aside) as _);
        }
    };
    let world = World::signing(elsewhere).await;
    Hanging { world, called: calls, gate }
}

/// Some public key.
fn some_key() -> Vec<u8> {
    rcgen::PublicKeyData::subject_public_key_info(&rcgen::KeyPair::generate().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_key_hangs_revoking_and_reading_answer_and_issuing_what_it_does_not_sign_goes_on() {
    let Hanging { world, called, gate } = hanging(Duration::from_secs(600)).await;
    let world = Arc::new(world);
    let recorded = world.head().get() + 300;
    let mut issuing = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let world = Arc::clone(&world);
        issuing.spawn(async move { world.token(&caller("/payments/api")).await });
    }
    let called = tokio::task::spawn_blocking(move || called.iter().take(THREADS).count()).await.unwrap();
    assert_eq!(called, THREADS, "every thread of the key is in a call that hangs");
    // More want a token than may wait for its key: turns are taken, and still there is one for a certificate.
    while world.head().get() < recorded || world.broker.signing_tokens.available_permits() > 0 {
        tokio::task::yield_now().await;
    }

    world.certificate(&caller("/acme/sync"), "production", None).await.unwrap();
    world.broker.export_registry(&administrator()).await.unwrap();
    let revoked = world.revoke_owner("payments").await.unwrap().position.unwrap();
    assert_eq!(revoked, world.head(), "nothing got in between");
    assert!(issuing.try_join_next().is_none(), "and those that want a signature wait still");

    drop(gate);
    for issued in issuing.join_all().await {
        let issuance = issued.unwrap();
        assert!(issuance.position < revoked && world.is_dead(&issuance).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_hangs_is_unavailable_leaves_no_rows_and_comes_back_by_itself() {
    let Hanging { world, called: _called, gate } = hanging(Duration::from_millis(20)).await;
    // One that is given up before a thread had it hangs nothing.
    while world.broker.keyring.trouble().0 == 0 {
        assert!(matches!(world.token(&caller("/payments/api")).await, Err(Error::Unsigned)));
    }
    let before = world.head();
    assert!(matches!(world.token(&caller("/payments/api")).await, Err(Error::Unsigned)));
    assert_eq!(world.head(), before, "what could not be signed is not recorded");
    drop(gate);
    while world.broker.keyring.trouble().0 > 0 {
        tokio::task::yield_now().await;
    }
    world.token(&caller("/payments/api")).await.unwrap();
}
