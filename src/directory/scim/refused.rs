//! Why a request is not done, in the words of RFC 7644, section 3.12.

/// What is wrong with a request, by the word that SCIM has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The filter cannot be read, or asks too much.
    Filter,
    /// The body is not what the request needs.
    Syntax,
    /// The path names no attribute.
    Path,
    /// The path names a value that is not there.
    NoTarget,
    /// A value is not what its attribute takes.
    Value,
    /// The attribute cannot be changed, or not taken away.
    Mutability,
    /// Another resource has what must be unique.
    Uniqueness,
}

impl Wrong {
    /// Its `scimType`.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Filter => "invalidFilter",
            Self::Syntax => "invalidSyntax",
            Self::Path => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::Value => "invalidValue",
            Self::Mutability => "mutability",
            Self::Uniqueness => "uniqueness",
        }
    }
}

/// A request that is refused, and what to send instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Refused {
    /// In SCIM's words.
    pub wrong: Wrong,
    /// In ours.
    pub detail: String,
}

impl Refused {
    pub(crate) fn new(wrong: Wrong, detail: impl Into<String>) -> Self {
        Self { wrong, detail: detail.into() }
    }
}

/// A text of a client in our answer: not longer than needed, and nothing that a terminal obeys.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).collect::<String>().escape_debug().to_string()
}
