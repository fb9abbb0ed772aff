//! The list as a stream: each follower is brought from the last list that it was handed to the newest.
//!
//! Nothing is kept for a follower but where it is: it asks for the next list when the last one is on its
//! way, so one that is slow skips what came between, and costs no more memory than one that is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::unfold;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::{Answers, Parts, Subscription, api};
use crate::broker::{Error, Handed, Limit, Watching};
use crate::grpc::fields;
use crate::grpc::peer::Peer;
use crate::model::{Instance, Position};
use crate::publish::Publication;

/// When one that was too slow may come again.
const COME_AGAIN: Duration = Duration::from_secs(1);

impl Parts {
    /// What came after `since`, or the whole list.
    pub(super) async fn published(&self, since: Option<Position>) -> Result<Arc<Publication>, Error> {
        let published = self.publisher.since(since).await.map_err(|error| Error::Internal(error.into()))?;
        published.ok_or_else(|| Error::Unavailable("no list is published yet".to_owned()))
    }
}

impl Subscription for api::WatchRequest {
    type Item = api::WatchResponse;

    async fn begin(self, parts: Arc<Parts>, peer: Peer) -> Result<Answers<Self::Item>, Error> {
        let instance = fields::required("instance", &self.instance)?;
        let room = parts.broker.follow(peer.caller()).await?;
        // It says that no list is published before the stream begins, not in it.
        parts.published(None).await?;
        let published = parts.publisher.follow();
        let handed = Arc::new(AtomicU64::new(0));
        let watched = hang_up_on_slow(Arc::clone(&parts), Arc::clone(&handed), peer.clone());
        let follower = Follower {
            last: Position::new(self.since).non_zero(),
            begun: false,
            parts,
            peer,
            instance,
            published,
            handed,
            _watched: AbortOnDropHandle::new(tokio::spawn(watched)),
            _room: room,
        };
        Ok(Box::pin(unfold(Some(follower), |follower| async {
            let mut follower = follower?;
            match follower.next().await {
                Ok(Some(list)) => Some((Ok(list), Some(follower))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        })))
    }
}

/// One stream.
struct Follower {
    parts: Arc<Parts>,
    peer: Peer,
    instance: Instance,
    published: watch::Receiver<Option<Arc<Publication>>>,
    /// What the follower has, or is being sent.
    last: Option<Position>,
    begun: bool,
    /// How many lists it was handed.
    handed: Arc<AtomicU64>,
    _watched: AbortOnDropHandle<()>,
    _room: Watching,
}

/// Ends the connection of a follower that was handed no more lists (`handed` counts them) since one was published `patience` ago.
/// Nobody asks a stream whose peer never reads, so it cannot end by itself, and what is kept for it goes with the connection alone.
async fn hang_up_on_slow(parts: Arc<Parts>, handed: Arc<AtomicU64>, peer: Peer) {
    let (clock, patience) = (parts.broker.clock(), parts.publisher.max_staleness());
    let mut published = parts.publisher.follow();
    loop {
        published.mark_unchanged();
        let before = handed.load(Ordering::Relaxed);
        clock.sleep(patience).await;
        let waits = published.has_changed().unwrap_or(false);
        if waits && handed.load(Ordering::Relaxed) == before {
            // It may be out since a moment only.
            clock.sleep(patience).await;
            if handed.load(Ordering::Relaxed) == before {
                return peer.hang_up();
            }
        }
    }
}

impl Follower {
    /// The next list; nothing when the broker stops.
    async fn next(&mut self) -> Result<Option<api::WatchResponse>, Status> {
        if self.begun && !self.newer().await? {
            return Ok(None);
        }
        self.published.mark_unchanged();
        self.begun = true;
        let handed = async {
            self.peer.believed(self.parts.broker.clock().now())?;
            self.parts.broker.admit(self.peer.caller())?;
            let list = self.parts.published(self.last).await?;
            // The one place where a list goes to a follower; it is remembered who has which.
            let handed = Handed { position: list.position, issued_at: list.issued_at };
            self.parts.broker.hand(self.peer.caller(), Some(&self.instance), handed)?;
            Ok::<_, Error>(list)
        };
        match handed.await {
            Ok(list) => {
                self.last = Some(list.position);
                self.handed.fetch_add(1, Ordering::Relaxed);
                Ok(Some(api::WatchResponse { list: list.jws.clone() }))
            }
            Err(error) => Err(self.parts.refuse(self.peer.caller(), &error)),
        }
    }

    /// Waits for a list that is newer than the last one; `false` if there will be none.
    ///
    /// The connection asks for more as soon as it has room. So whoever is asked again only when a newer list
    /// has waited for as long as a list lasts, has a follower that takes nothing.
    async fn newer(&mut self) -> Result<bool, Status> {
        loop {
            tokio::select! {
                biased;
                () = self.parts.stopping.cancelled() => return Ok(false),
                () = self.parts.broker.clock().sleep(self.parts.publisher.max_staleness()) => {}
                changed = self.published.changed() => return Ok(changed.is_ok()),
            }
            if self.published.has_changed().unwrap_or(false) {
                return Err(self.parts.refuse(self.peer.caller(), &Limit::SlowFollower.after(COME_AGAIN)));
            }
        }
    }
}
