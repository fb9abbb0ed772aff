//! Names and texts that people choose, parsed at the door: refused with what to write instead,
//! never trimmed, never folded to another case.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not a name of the kind wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} is not {wanted}")]
pub struct NameError {
    wanted: &'static str,
    found: String,
}

impl NameError {
    fn new(wanted: &'static str, found: &str) -> Self {
        let shown: String = found.chars().take(80).collect();
        Self { wanted, found: if found.is_empty() { "the empty text".to_owned() } else { format!("`{}`", shown.escape_debug()) } }
    }
}

/// A name of registry records: lower case, so that no two differ only in case.
fn is_id(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = text.as_bytes();
    text.len() <= 63 && text.bytes().all(inner) && ends(bytes.first()) && ends(bytes.last())
}

/// An RFC 6749 (section 3.3) scope-token, of at most 128 bytes.
fn is_scope(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    (1..=128).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_audience(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

fn is_instance(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn is_line(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.trim() == text && !text.chars().any(char::is_control)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $wanted:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text, as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(NameError::new($wanted, text)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// The id of an owner, such as `payments`.
    OwnerId, "an owner id: 1 to 63 of a-z 0-9 - _ . , with a letter or digit at both ends", is_id
);
name!(
    /// The name of an environment, such as `production`.
    EnvironmentName, "an environment name: 1 to 63 of a-z 0-9 - _ . , with a letter or digit at both ends", is_id
);
name!(
    /// The name of a downstream service.
    DownstreamName, "a downstream name: 1 to 63 of a-z 0-9 - _ . , with a letter or digit at both ends", is_id
);
name!(
    /// One of the processes of a follower, by a name that it chose.
    Instance, "the name of an instance: 1 to 64 of A-Z a-z 0-9 . _ -", is_instance
);
name!(
    /// What a token is for: an exact string that one or more downstreams declare.
    Audience, "an audience: 1 to 255 printable ASCII characters without spaces, quotes and backslashes", is_audience
);
name!(
    /// One permission, an exact string (RFC 6749, section 3.3).
    Scope, "a scope: 1 to 128 printable ASCII characters without spaces, quotes and backslashes", is_scope
);
name!(
    /// How to reach a person who answers for something, such as a mail address.
    Contact, "a contact: 1 to 200 bytes in one line, without space at either end", |text| is_line(text, 200)
);
name!(
    /// Why something exists or was done, in one line for people.
    Note, "a text: 1 to 500 bytes in one line, without space at either end", |text| is_line(text, 500)
);
name!(
    /// The name of a source of records, such as `assets`.
    SourceName, "a source name: 1 to 63 of a-z 0-9 - _ . , with a letter or digit at both ends", is_id
);
name!(
    /// What a source calls a record of its own.
    RecordId, "the id of a record: 1 to 256 bytes in one line, without space at either end", |text| is_line(text, 256)
);
name!(
    /// The file or annotation under which a policy is known.
    PolicyName, "a policy name: 1 to 128 bytes in one line, without space at either end", |text| is_line(text, 128)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_refused_when_empty_padded_or_of_another_case() {
        for text in ["", " payments", "payments ", "Payments", "-payments", "payments-", "pay ments", "pay\nments", "ü"] {
            assert!(text.parse::<OwnerId>().is_err(), "{text:?}");
        }
        for text in ["p", "payments", "team-7", "a.b_c", "0"] {
            assert_eq!(text.parse::<OwnerId>().map(|id| id.to_string()), Ok(text.to_owned()));
        }
        assert!("a".repeat(64).parse::<OwnerId>().is_err());
    }

    #[test]
    fn the_error_says_what_to_write_and_shows_what_was_written() {
        let error = "Pay\t".parse::<OwnerId>().expect_err("upper case and a tab");
        assert_eq!(error.to_string(), r"`Pay\t` is not an owner id: 1 to 63 of a-z 0-9 - _ . , with a letter or digit at both ends");
    }

    #[test]
    fn an_instance_is_named_as_hosts_and_pods_are() {
        for text in ["a", "ledger-7d9f.Pod_2", &"a".repeat(64)] {
            assert!(text.parse::<Instance>().is_ok(), "{text}");
        }
        for text in ["", " ", "a b", "a/b", "a:1", "é", &"a".repeat(65)] {
            assert!(text.parse::<Instance>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_scope_is_one_token_of_rfc_6749() {
        for text in ["a", "payments:read", "https://x.example/y"] {
            assert!(text.parse::<Scope>().is_ok(), "{text}");
        }
        for text in ["", "a b", "a\"b", "a\\b", "é"] {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_audience_is_printable_and_needs_no_quoting() {
        assert!("https://api.example.org/?a=b".parse::<Audience>().is_ok());
        for text in ["", "a b", "a\"b", "a\\b", "a\tb", "é"] {
            assert!(text.parse::<Audience>().is_err(), "{text}");
        }
    }
}
