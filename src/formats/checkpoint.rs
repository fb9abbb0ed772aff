//! The signed checkpoint of the ledger: a C2SP tlog-checkpoint in a C2SP signed note, Ed25519.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use super::jwk::Ed25519;
use super::list::from_hex;
use crate::model::{Epoch, Position, TrustDomain};

/// A checkpoint is refused beyond this many bytes.
pub const MAX_CHECKPOINT: usize = 8 * 1024;

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The ledger's name, and the name of the key that signs for it.
    pub origin: String,
    /// How many entries; the last position.
    pub size: Position,
    /// The Merkle tree root over them.
    pub root: [u8; 32],
    /// Which history.
    pub epoch: Epoch,
}

/// Why a text is not a checkpoint signed by a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is not a checkpoint in a signed note.
    #[error("not a checkpoint of a Curfew ledger in a signed note")]
    Form,
    /// It names another ledger.
    #[error("a checkpoint of another ledger")]
    Origin,
    /// There is no signature of the key.
    #[error("not signed by the ledger's checkpoint key")]
    Unsigned,
    /// The signature of the key is wrong.
    #[error("the signature is wrong")]
    Signature,
}

/// The name of a trust domain's ledger, and of the key that signs its checkpoints.
pub fn origin(trust_domain: &TrustDomain) -> String {
    format!("{trust_domain}/curfew")
}

/// The key id of C2SP signed notes: the first four bytes of SHA-256(name || 0x0A || 0x01 || key).
pub fn key_id(name: &str, key: &Ed25519) -> [u8; 4] {
    let mut hash = digest::Context::new(&digest::SHA256);
    [name.as_bytes(), b"\n\x01", &key.0].into_iter().for_each(|part| hash.update(part));
    hash.finish().as_ref().first_chunk().copied().unwrap_or_default()
}

/// How a checkpoint key is named among the keys: `<name>+<key id in hex>`, the first two parts of
/// a C2SP verifier key.
pub fn kid(name: &str, key: &Ed25519) -> String {
    format!("{name}+{:08x}", u32::from_be_bytes(key_id(name, key)))
}

impl Checkpoint {
    /// The note: origin, size, root, epoch, a blank line, and the signature of `key`.
    ///
    /// # Errors
    /// If `sign` does not sign.
    pub fn encode<E>(&self, key: &Ed25519, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<String, E> {
        let body = self.body();
        let signature = [key_id(&self.origin, key).as_slice(), &sign(body.as_bytes())?].concat();
        Ok(format!("{body}\n\u{2014} {} {}\n", self.origin, STANDARD.encode(signature)))
    }

    fn body(&self) -> String {
        format!("{}\n{}\n{}\nepoch {}\n", self.origin, self.size, STANDARD.encode(self.root), self.epoch)
    }

    /// Reads a checkpoint of the ledger `origin` and checks the signature of `key`. Signatures of
    /// others, such as witnesses, are not looked at.
    ///
    /// # Errors
    /// If it is not one, or not signed by `key`.
    pub fn decode(text: &str, origin: &str, key: &Ed25519) -> Result<Self, CheckpointError> {
        use CheckpointError::{Form, Origin, Signature, Unsigned};
        if text.len() > MAX_CHECKPOINT {
            return Err(Form);
        }
        let (lines, signatures) = text.split_once("\n\n").ok_or(Form)?;
        let mut lines = lines.split('\n');
        let (Some(name), Some(size), Some(root), Some(epoch), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(Form);
        };
        if name != origin {
            return Err(Origin);
        }
        let checkpoint = Self {
            origin: origin.to_owned(),
            size: size.parse().map_err(|_not_a_number| Form)?,
            root: STANDARD.decode(root).ok().and_then(|root| root.try_into().ok()).ok_or(Form)?,
            epoch: epoch.strip_prefix("epoch ").and_then(from_hex).map(Epoch).ok_or(Form)?,
        };
        let prefix = format!("\u{2014} {origin} ");
        let mut ours = signatures.strip_suffix('\n').ok_or(Form)?.split('\n').filter_map(|line| line.strip_prefix(&prefix));
        let signature =
            ours.find_map(|line| Some(STANDARD.decode(line).ok()?.strip_prefix(&key_id(origin, key))?.to_vec())).ok_or(Unsigned)?;
        if key.verifies(checkpoint.body().as_bytes(), &signature) { Ok(checkpoint) } else { Err(Signature) }
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    fn signed() -> (Checkpoint, Ed25519, String) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed");
        let key = Ed25519(pair.public_key().as_ref().try_into().expect("32 bytes"));
        let checkpoint = Checkpoint {
            origin: origin(&"example.org".parse().expect("a trust domain")),
            size: Position::new(1234),
            root: [5; 32],
            epoch: Epoch([6; 16]),
        };
        let note = checkpoint.encode(&key, |message| Ok::<_, ()>(pair.sign(message).as_ref().to_vec())).expect("signs");
        (checkpoint, key, note)
    }

    #[test]
    fn a_checkpoint_reads_back_also_beside_the_signature_of_a_witness() {
        let (checkpoint, key, note) = signed();
        assert_eq!(Checkpoint::decode(&note, "example.org/curfew", &key), Ok(checkpoint.clone()));
        let witnessed = format!("{note}\u{2014} witness.example AAAAAAAA\n");
        assert_eq!(Checkpoint::decode(&witnessed, "example.org/curfew", &key), Ok(checkpoint));
    }

    #[test]
    fn a_checkpoint_has_so_many_bytes_and_no_more() {
        let (checkpoint, key, note) = signed();
        let filled = |length: usize| format!("{note}{:A<1$}\n", "\u{2014} witness.example ", length - note.len() - 3);
        let long = filled(MAX_CHECKPOINT);
        assert_eq!(long.len(), 8192);
        assert_eq!(Checkpoint::decode(&long, "example.org/curfew", &key), Ok(checkpoint));
        for length in [8193, 9000] {
            assert_eq!(Checkpoint::decode(&filled(length), "example.org/curfew", &key), Err(CheckpointError::Form));
        }
    }

    #[test]
    fn the_text_is_that_of_the_specification() {
        let (_, key, note) = signed();
        let lines: Vec<&str> = note.lines().collect();
        let body =
            ["example.org/curfew", "1234", "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=", "epoch 06060606060606060606060606060606", ""];
        assert_eq!(lines[..5], body);
        let signature = lines[5].strip_prefix("\u{2014} example.org/curfew ").expect("the key's line");
        let signature = STANDARD.decode(signature).expect("base64");
        assert!(signature.starts_with(&key_id("example.org/curfew", &key)));
        let hex: String = signature[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(kid("example.org/curfew", &key), format!("example.org/curfew+{hex}"));
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn another_ledger_key_or_text_is_refused() {
        let (_, key, note) = signed();
        let decode = |text: &str| Checkpoint::decode(text, "example.org/curfew", &key);
        assert_eq!(Checkpoint::decode(&note, "example.net/curfew", &key), Err(CheckpointError::Origin));
        assert_eq!(Checkpoint::decode(&note, "example.org/curfew", &Ed25519([1; 32])), Err(CheckpointError::Unsigned));
        for (from, to) in [("\n1234\n", "\n1235\n"), ("BQUF", "AQUF"), ("epoch 06", "epoch 07")] {
            assert_eq!(decode(&note.replacen(from, to, 1)), Err(CheckpointError::Signature), "{to}");
        }
        for (from, to) in [("\n1234\n", "\n01234\n"), ("\n1234\n", "\n0\n"), ("epoch ", "Epoch "), ("\n\n", "\nmore\n\n"), ("\n\n", "\n")] {
            assert_eq!(decode(&note.replacen(from, to, 1)), Err(CheckpointError::Form), "{to:?}");
        }
        assert_eq!(decode(""), Err(CheckpointError::Form));
        assert_eq!(decode(note.trim_end()), Err(CheckpointError::Form));
    }
}
