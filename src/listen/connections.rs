//! The connections that are open, so that those of a peer who is no longer welcome can be closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use tokio_util::sync::CancellationToken;

/// The open connections of one listener. Clones share them.
#[derive(Debug)]
pub(crate) struct Connections<P>(Arc<Table<P>>);

#[derive(Debug)]
struct Table<P> {
    /// By the order in which they were opened.
    open: DashMap<u64, Entered<P>>,
    /// How many each name has open.
    named: DashMap<String, usize>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Entered<P> {
    peer: P,
    named: bool,
    close: CancellationToken,
}

/// One open connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Open<P> {
    table: Arc<Table<P>>,
    id: u64,
    name: Option<String>,
    close: CancellationToken,
}

impl<P> Connections<P> {
    /// Enters a connection, unless `most` of this name are open.
    pub(super) fn open(&self, peer: P, name: Option<&str>, most: usize) -> Option<Open<P>> {
        if let Some(name) = name {
            let mut open = self.0.named.entry(name.to_owned()).or_default();
            if *open >= most {
                return None;
            }
            *open += 1;
        }
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let close = CancellationToken::new();
        self.0.open.insert(id, Entered { peer, named: name.is_some(), close: close.clone() });
        Some(Open { table: Arc::clone(&self.0), id, name: name.map(str::to_owned), close })
    }

    /// Asks the connections of such peers to end, and says how many there are.
    ///
    /// A connection that is made later is not affected: whatever decides here decides on every
    /// call as well.
    pub(crate) fn close_where(&self, mut unwelcome: impl FnMut(&P) -> bool) -> usize {
        let closed = self.0.open.iter().filter(|open| unwelcome(&open.value().peer));
        closed.map(|open| open.value().close.cancel()).count()
    }

    /// Asks the oldest connection of a peer without a name to end.
    pub(super) fn oldest_stranger_leaves(&self) {
        let strangers = self.0.open.iter().filter(|open| !open.value().named && !open.value().close.is_cancelled());
        if let Some(oldest) = strangers.min_by_key(|open| *open.key()) {
            oldest.close.cancel();
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.0.open.len()
    }
}

impl<P> Open<P> {
    /// Returns when the peer is no longer welcome.
    pub(super) async fn unwelcome(&self) {
        self.close.cancelled().await;
    }
}

impl<P> Drop for Open<P> {
    fn drop(&mut self) {
        self.table.open.remove(&self.id);
        if let Some(name) = &self.name {
            self.table.named.remove_if_mut(name, |_, open| {
                *open = open.saturating_sub(1);
                *open == 0
            });
        }
    }
}

impl<P> Clone for Connections<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P> Default for Connections<P> {
    fn default() -> Self {
        Self(Arc::new(Table { open: DashMap::new(), named: DashMap::new(), next: AtomicU64::new(0) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn exactly_the_connections_of_such_peers_are_asked_to_end() {
        let connections = Connections::default();
        let open = |peer| connections.open(peer, None, 0).expect("no name, no limit");
        let (one, other) = (open("one"), open("other"));
        assert_eq!(connections.close_where(|peer| *peer == "one"), 1);
        one.unwelcome().await;
        assert!(!other.close.is_cancelled());
        drop(one);
        assert_eq!((connections.len(), connections.close_where(|_| true)), (1, 1));
    }

    #[test]
    fn one_name_cannot_take_what_is_left_for_others() {
        let connections = Connections::default();
        let first = connections.open("one", Some("one"), 2).expect("the first");
        let _second = connections.open("one", Some("one"), 2).expect("the second");
        assert!(connections.open("one", Some("one"), 2).is_none());
        let other = connections.open("other", Some("other"), 2);
        assert!(other.is_some());
        drop(first);
        let _third = connections.open("one", Some("one"), 2).expect("one was closed");
        assert!(connections.open("one", Some("one"), 2).is_none());
        drop(other);
        assert_eq!(connections.0.named.len(), 1);
    }
}
