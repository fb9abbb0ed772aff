//! Random bytes from the operating system.

use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};

/// Where random bytes come from.
#[derive(Clone, Debug)]
pub struct Entropy(Arc<SystemRandom>);

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoEntropy;

impl Entropy {
    /// The operating system's generator.
    #[expect(clippy::disallowed_methods, reason = "the one place that reaches for randomness")]
    pub fn system() -> Self {
        Self(Arc::new(SystemRandom::new()))
    }

    /// `N` fresh random bytes.
    ///
    /// # Errors
    /// If the operating system gives none; nothing may be issued then.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes).map(|()| bytes).map_err(|ring::error::Unspecified| NoEntropy)
    }

    /// The generator itself, for libraries that want it.
    pub fn generator(&self) -> &dyn SecureRandom {
        &*self.0
    }
}
