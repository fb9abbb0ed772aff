//! Keeps a credential at hand: fetches it, renews it long before it ends, and drops it once it is cut.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::backoff::{backoff, part};
use super::follower::Connect;
use super::{Client, Config, Failure, Follower, Outcome};
use crate::ambient::{Ambient, Entropy};
use crate::formats::binding::Binding;
use crate::model::Timestamp;

mod certificate;
mod token;

pub use certificate::HeldCertificate;
pub use token::HeldToken;

/// A credential is not renewed sooner than this after it was issued, however short its life is or seems to be by the
/// clock of this machine.
const SOONEST: Duration = Duration::from_secs(1);

/// What a source can hold: [`HeldToken`] or [`HeldCertificate`].
pub trait Credential: sealed::Sealed + Send + Sync + Sized + 'static {
    /// The call by which it is asked for.
    type Request: Send + Sync + 'static;

    /// Asks for one.
    fn fetch(request: &Self::Request, client: &Client, entropy: &Entropy) -> impl Future<Output = Result<Self, Failure>> + Send;

    /// The first instant at which it is no longer good.
    fn expires_at(&self) -> Timestamp;

    /// What it stands on: it is dead once any of that is cut.
    fn binding(&self) -> &Binding;
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for super::HeldToken {}
    impl Sealed for super::HeldCertificate {}
}

/// Credentials of one kind, one after the other, until this is dropped.
#[derive(Debug)]
pub struct CredentialSource<C: Credential> {
    shared: Arc<Shared<C>>,
    task: JoinHandle<()>,
}

/// What there is.
enum Held<C> {
    /// Nothing yet, or nothing any more.
    Nothing,
    Credential(Arc<C>),
    /// Nothing, and this is why.
    Refused(Failure),
}

struct Shared<C: Credential> {
    connect: Connect,
    request: C::Request,
    follower: Option<Arc<Follower>>,
    ambient: Ambient,
    held: watch::Sender<Held<C>>,
}

impl<C: Credential> CredentialSource<C> {
    /// Begins to fetch what `request` asks for. With a follower, a credential that is cut is dropped as soon as that is
    /// known; without one, when the broker refuses to renew it.
    pub fn start(
        connect: impl Fn() -> Result<Config, Failure> + Send + Sync + 'static,
        request: C::Request,
        follower: Option<Arc<Follower>>,
        ambient: Ambient,
    ) -> Self {
        let held = watch::Sender::new(Held::Nothing);
        let shared = Arc::new(Shared { connect: Arc::new(connect), request, follower, ambient, held });
        Self { task: tokio::spawn(Arc::clone(&shared).run()), shared }
    }

    /// The credential that is at hand, if there is one, without waiting.
    pub fn held(&self) -> Option<Arc<C>> {
        self.shared.living()
    }

    /// A credential that has not expired, and of which it is not known that it was cut. Waits for the first one, and
    /// while the broker cannot be reached and the last one has ended.
    ///
    /// # Errors
    /// If the broker refuses. It is asked again all the same, so that the next call may be answered otherwise.
    pub async fn credential(&self) -> Result<Arc<C>, Failure> {
        let mut held = self.shared.held.subscribe();
        loop {
            if let Held::Refused(failure) = &*held.borrow_and_update() {
                return Err(failure.clone());
            }
            if let Some(credential) = self.held() {
                return Ok(credential);
            }
            // The sender is in `shared`, so it is not gone.
            let _changed = held.changed().await;
        }
    }
}

impl<C: Credential> Drop for CredentialSource<C> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<C: Credential> Shared<C> {
    async fn run(self: Arc<Self>) {
        let mut failed = 0;
        loop {
            let fetched = self.fetch().await;
            // Before anybody sees it, so that whoever moves the clock then moves it for this as well.
            let now = self.ambient.clock.now();
            match fetched {
                Ok(credential) => {
                    let renewed = now.plus(renewal(credential.expires_at().since(now), self.ambient.chance()));
                    let credential = Arc::new(credential);
                    self.held.send_replace(Held::Credential(Arc::clone(&credential)));
                    tokio::select! {
                        // By the wall clock, which goes on while the machine sleeps; at once if it was set back.
                        () = self.ambient.clock.sleep_within(now, renewed) => failed = 0,
                        () = self.cut(&credential) => {
                            self.held.send_replace(Held::Nothing);
                            // Whatever cuts one after the other is not fed without end.
                            if failed > 0 {
                                self.ambient.clock.sleep(backoff(failed, self.ambient.chance())).await;
                            }
                            failed += 1;
                        }
                    }
                }
                Err(failure) => {
                    failed += 1;
                    tracing::warn!(why = failure.message, "no credential was issued");
                    let wait = backoff(failed, self.ambient.chance()).max(failure.retry_after.unwrap_or_default());
                    self.refused(failure);
                    self.ambient.clock.sleep_within(now, now.plus(wait)).await;
                }
            }
        }
    }

    async fn fetch(&self) -> Result<C, Failure> {
        let client = Client::connect((self.connect)()?).await?;
        C::fetch(&self.request, &client, &self.ambient.entropy).await
    }

    /// What is held, if it is good still as far as is known here.
    fn living(&self) -> Option<Arc<C>> {
        let held = match &*self.held.borrow() {
            Held::Credential(credential) => Arc::clone(credential),
            Held::Nothing | Held::Refused(_) => return None,
        };
        let is_over = held.expires_at() <= self.ambient.clock.now();
        (!is_over && !self.follower.as_ref().is_some_and(|follower| is_cut(&*held, follower))).then_some(held)
    }

    /// What is held stays while it lives and the broker only cannot be reached, or is busy. It goes if the broker says
    /// that nothing is issued to this caller any more: then it is dead as well, or soon will be.
    fn refused(&self, failure: Failure) {
        let transient = failure.outcome != Outcome::Refused || failure.retry_after.is_some();
        if !transient {
            self.held.send_replace(Held::Refused(failure));
        } else if self.living().is_none() {
            self.held.send_replace(Held::Nothing);
        }
    }

    /// Returns when a credential is known to be cut.
    async fn cut(&self, credential: &C) {
        let Some(follower) = &self.follower else { return std::future::pending().await };
        let mut lists = follower.lists();
        while !is_cut(credential, follower) {
            // The sender is in the follower, which is held here.
            let _changed = lists.changed().await;
        }
    }
}

fn is_cut<C: Credential>(credential: &C, follower: &Follower) -> bool {
    follower.verifier().cut_of(credential.binding()).is_some()
}

/// How long after it was issued a credential is renewed: between a half and three quarters of its life, so that there is
/// time to try again, and not all at once.
fn renewal(life: Duration, random: u64) -> Duration {
    (life / 2 + part(life / 4, random)).max(SOONEST)
}

impl<C: Credential> std::fmt::Debug for Shared<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let held = match &*self.held.borrow() {
            Held::Nothing => "nothing",
            Held::Credential(_) => "a credential",
            Held::Refused(_) => "a refusal",
        };
        f.debug_struct("CredentialSource").field("held", &held).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_renewed_long_before_it_ends_and_not_by_all_at_once() {
        let life = Duration::from_secs(300);
        assert_eq!(renewal(life, 0), Duration::from_secs(150));
        let last = renewal(life, u64::MAX);
        assert!(last <= Duration::from_secs(225) && last > Duration::from_secs(224), "{last:?}");
    }

    #[test]
    fn what_seems_to_be_over_when_it_comes_is_not_asked_for_without_end() {
        assert_eq!(renewal(Duration::ZERO, u64::MAX), SOONEST);
    }
}
