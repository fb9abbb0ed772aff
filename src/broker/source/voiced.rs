//! Which doubts about a source stand in the ledger: each once a day, and not very many, however often the source is read.

use crate::model::{Share, Timestamp};

/// So many of a source are written in that time.
const MOST: usize = 16;

/// What was doubted: SHA-256 of it, or nothing that could be read.
type Digest = Option<[u8; 32]>;

/// The doubts about a source that were written within a day.
#[derive(Clone, Debug, Default)]
pub(in crate::broker) struct Voiced(Vec<(Digest, Timestamp)>);

impl Voiced {
    /// Whether a doubt is to be written now.
    pub(in crate::broker) fn wants(&self, digest: Digest, now: Timestamp) -> bool {
        self.recent(now).count() < MOST && !self.has(digest, now)
    }

    /// Whether a doubt was written within a day.
    pub(super) fn has(&self, digest: Digest, now: Timestamp) -> bool {
        self.recent(now).any(|known| known == digest)
    }

    fn recent(&self, now: Timestamp) -> impl Iterator<Item = Digest> {
        self.0.iter().filter(move |(_, at)| *at > now.minus(Share::DAY)).map(|(digest, _)| *digest)
    }

    /// One was written.
    pub(super) fn add(&mut self, digest: Digest, now: Timestamp) {
        self.0.retain(|(_, at)| *at > now.minus(Share::DAY));
        self.0.push((digest, now));
    }

    /// A person has judged it: if it is doubted once more, that is news.
    pub(super) fn forget(&mut self, digest: Digest) {
        self.0.retain(|(known, _)| *known != digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_written_once_a_day_and_no_more_than_so_many() {
        let mut voiced = Voiced::default();
        let at = |seconds| Timestamp::from_seconds(seconds);
        let mut written = 0;
        // For two days: empty and unreadable in turn, and something else each time.
        for second in (0..172_800).step_by(60) {
            let mut other = [0; 32];
            other[..8].copy_from_slice(&u64::to_be_bytes(second));
            for digest in [None, Some([1; 32]), Some(other)].into_iter().filter(|digest| second > 86_400 || *digest != Some(other)) {
                if voiced.wants(digest, at(1_000_000 + second)) {
                    voiced.add(digest, at(1_000_000 + second));
                    written += 1;
                }
            }
            assert!(second > 86_340 || written == 2, "{written} at {second}");
        }
        assert_eq!((written, voiced.0.len()), (2 + MOST, MOST));
        voiced.forget(None);
        assert!(voiced.wants(None, at(1_172_800)));
    }
}
