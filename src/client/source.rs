//! Keeps a token at hand: fetches it, renews it long before it ends, and drops it once it is cut.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::backoff::{backoff, part};
use super::follower::Connect;
use super::{Client, Config, Failure, Follower, Outcome, api};
use crate::ambient::Ambient;
use crate::formats::claims::{TokenClaims, TokenKind};
use crate::formats::jws::{self, MAX_TOKEN};
use crate::model::Timestamp;

/// A token as it was issued.
#[derive(Clone, PartialEq, Eq)]
pub struct HeldToken {
    /// The token itself. A secret.
    pub token: String,
    /// What it says.
    pub claims: TokenClaims,
}

/// Tokens of one kind, one after the other, until this is dropped.
#[derive(Debug)]
pub struct CredentialSource {
    held: watch::Receiver<Held>,
    ambient: Ambient,
    task: JoinHandle<()>,
}

/// What there is.
#[derive(Clone, Debug)]
enum Held {
    /// Nothing yet.
    Nothing,
    Token(Arc<HeldToken>),
    /// Nothing, and this is why.
    Refused(Failure),
}

struct Fetching {
    connect: Connect,
    request: api::IssueTokenRequest,
    follower: Option<Arc<Follower>>,
    ambient: Ambient,
    held: watch::Sender<Held>,
}

impl CredentialSource {
    /// Begins to fetch tokens for `request`. With a follower, a token that is cut is dropped as soon as that is known;
    /// without one, when the broker refuses to renew it.
    pub fn start(
        connect: impl Fn() -> Result<Config, Failure> + Send + Sync + 'static,
        request: api::IssueTokenRequest,
        follower: Option<Arc<Follower>>,
        ambient: Ambient,
    ) -> Self {
        let (sender, held) = watch::channel(Held::Nothing);
        let fetching = Fetching { connect: Arc::new(connect), request, follower, ambient: ambient.clone(), held: sender };
        Self { held, ambient, task: tokio::spawn(fetching.run()) }
    }

    /// The token that is at hand, if there is one, without waiting.
    pub fn held(&self) -> Option<Arc<HeldToken>> {
        match &*self.held.borrow() {
            Held::Token(token) if token.claims.expires_at > self.ambient.clock.now() => Some(Arc::clone(token)),
            Held::Nothing | Held::Refused(_) | Held::Token(_) => None,
        }
    }

    /// A token that has not expired, and of which it is not known that it was cut. Waits for the first one, and while
    /// the broker cannot be reached and the last one has ended.
    ///
    /// # Errors
    /// If the broker refuses. It is asked again all the same, so that the next call may be answered otherwise.
    pub async fn token(&self) -> Result<Arc<HeldToken>, Failure> {
        let mut held = self.held.clone();
        loop {
            if let Held::Refused(failure) = &*held.borrow_and_update() {
                return Err(failure.clone());
            }
            if let Some(token) = self.held() {
                return Ok(token);
            }
            if held.changed().await.is_err() {
                return Err(Failure::unusable("the source of tokens has ended".to_owned()));
            }
        }
    }
}

impl Drop for CredentialSource {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fetching {
    async fn run(self) {
        let mut failed = 0;
        loop {
            let next = match self.fetch().await {
                Ok(token) => {
                    failed = 0;
                    let next = renewal(token.claims.issued_at, token.claims.expires_at, self.ambient.chance());
                    self.held.send_replace(Held::Token(Arc::new(token)));
                    next
                }
                Err(failure) => {
                    failed += 1;
                    tracing::warn!(why = failure.message, "no token was issued");
                    let wait = backoff(failed, self.ambient.chance()).max(failure.retry_after.unwrap_or_default());
                    self.refused(failure);
                    self.ambient.clock.now().plus(wait)
                }
            };
            tokio::select! {
                () = self.ambient.clock.sleep_until(next) => {}
                () = self.cut() => {
                    self.held.send_replace(Held::Nothing);
                }
            }
        }
    }

    async fn fetch(&self) -> Result<HeldToken, Failure> {
        let client = Client::connect((self.connect)()?).await?;
        let token = client.credentials().issue_token(self.request.clone()).await?.into_inner().token;
        let claims = claims(&token).ok_or_else(|| Failure::unusable("the broker's answer is no token".to_owned()))?;
        Ok(HeldToken { token, claims })
    }

    /// What is held stays while it lives and the broker only cannot be reached, or is busy. It goes if the broker says
    /// that nothing is issued to this caller any more: then it is dead as well, or soon will be.
    fn refused(&self, failure: Failure) {
        let lives = match &*self.held.borrow() {
            Held::Token(token) => token.claims.expires_at > self.ambient.clock.now(),
            Held::Nothing | Held::Refused(_) => false,
        };
        let transient = failure.outcome != Outcome::Refused || failure.retry_after.is_some();
        if !transient {
            self.held.send_replace(Held::Refused(failure));
        } else if !lives {
            self.held.send_replace(Held::Nothing);
        }
    }

    /// Returns when the token that is held is known to be cut.
    async fn cut(&self) {
        let held = match &*self.held.borrow() {
            Held::Token(token) => Some(Arc::clone(token)),
            Held::Nothing | Held::Refused(_) => None,
        };
        let (Some(follower), Some(held)) = (&self.follower, held) else { return std::future::pending().await };
        let mut lists = follower.lists();
        while follower.verifier().cut_of(&held.claims.binding).is_none() {
            // The sender is in the follower, which is held here.
            let _changed = lists.changed().await;
        }
    }
}

/// When to renew: between a half and three quarters of the life, so that there is time to try again, and not all at once.
fn renewal(issued_at: Timestamp, expires_at: Timestamp, random: u64) -> Timestamp {
    let life = expires_at.since(issued_at);
    issued_at.plus(life / 2).plus(part(life / 4, random))
}

/// What a token says, which comes from the broker itself over mutual TLS.
fn claims(token: &str) -> Option<TokenClaims> {
    let jws = jws::parse(token, MAX_TOKEN).ok()?;
    TokenClaims::decode(TokenKind::from_typ(&jws.typ)?, &jws.payload).ok()
}

impl std::fmt::Debug for HeldToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldToken").field("claims", &self.claims).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_long_before_it_ends_and_not_by_all_at_once() {
        let (from, to) = (Timestamp::from_seconds(1000), Timestamp::from_seconds(1300));
        assert_eq!(renewal(from, to, 0), Timestamp::from_seconds(1150));
        let last = renewal(from, to, u64::MAX);
        assert!(last <= Timestamp::from_seconds(1225) && last > Timestamp::from_seconds(1224), "{last}");
    }
}
