//! The Merkle tree over all entries (RFC 6962, section 2.1), of which only the frontier is kept:
//! the roots of the full subtrees that make up the tree, largest first.

use ring::digest::{Context, SHA256, digest};

/// A SHA-256 hash.
pub(super) type Hash = [u8; 32];

/// A tree that can grow, without its leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    size: u64,
    /// One per set bit of `size`.
    peaks: Vec<Hash>,
}

impl Tree {
    /// How many entries it has.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Adds the bytes of the next entry.
    pub(super) fn append(&mut self, entry: &[u8]) {
        let mut hash = leaf(entry);
        // Each full subtree of the same size on the left makes one of twice the size.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The hash over all entries.
    pub(super) fn root(&self) -> Hash {
        let smaller_first = self.peaks.iter().rev().copied();
        smaller_first.reduce(|right, left| node(&left, &right)).unwrap_or_else(|| finish(&digest(&SHA256, b"")))
    }

    /// The frontier, to be kept beside the size.
    pub(super) fn frontier(&self) -> Vec<u8> {
        self.peaks.concat()
    }

    /// The tree of `size` entries with this frontier.
    pub(super) fn restore(size: u64, frontier: &[u8]) -> Option<Self> {
        let (peaks, rest) = frontier.as_chunks::<32>();
        let fits = rest.is_empty() && u32::try_from(peaks.len()).ok()? == size.count_ones();
        fits.then(|| Self { size, peaks: peaks.to_vec() })
    }
}

/// The hash of an entry by itself.
pub(super) fn leaf(entry: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(entry);
    finish(&context.finish())
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[1]);
    context.update(left);
    context.update(right);
    finish(&context.finish())
}

fn finish(digest: &ring::digest::Digest) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest.as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 6962, section 2.1, word for word.
    fn naive(entries: &[Vec<u8>]) -> Hash {
        let sha256 = |bytes: &[u8]| finish(&digest(&SHA256, bytes));
        match entries {
            [] => sha256(b""),
            [entry] => sha256(&[&[0], entry.as_slice()].concat()),
            _ => {
                let k = (1..entries.len()).rev().find(|k| k.is_power_of_two()).expect("there are two or more");
                sha256(&[[1].as_slice(), &naive(&entries[..k]), &naive(&entries[k..])].concat())
            }
        }
    }

    proptest! {
        #[test]
        fn the_root_is_that_of_rfc_6962_at_every_size(entries in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..70)) {
            let mut tree = Tree::default();
            for (size, entry) in entries.iter().enumerate() {
                prop_assert_eq!(tree.root(), naive(&entries[..size]));
                prop_assert_eq!(Tree::restore(tree.size(), &tree.frontier()), Some(tree.clone()));
                tree.append(entry);
            }
            prop_assert_eq!(tree.size(), entries.len() as u64);
            prop_assert_eq!(tree.root(), naive(&entries));
        }

        #[test]
        fn a_frontier_of_another_size_is_refused(size in 0..1000u64, other in 0..1000u64) {
            let mut tree = Tree::default();
            (0..size).for_each(|entry| tree.append(&entry.to_be_bytes()));
            let fits = size.count_ones() == other.count_ones();
            prop_assert_eq!(Tree::restore(other, &tree.frontier()).is_some(), fits);
            let mut longer = tree.frontier();
            longer.push(0);
            prop_assert_eq!(Tree::restore(size, &longer), None);
        }
    }

    /// The roots that the reference implementation of RFC 6962 tests itself against.
    #[test]
    fn the_known_roots_come_out() {
        let entries: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::default();
        let hex = |hash: Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(tree.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (entry, root) in entries.iter().zip(roots) {
            tree.append(entry);
            assert_eq!(hex(tree.root()), root);
        }
    }
}
