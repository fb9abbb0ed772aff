//! SPIFFE IDs and trust domains, parsed as the SPIFFE-ID standard (sections 2.1 to 2.4) says.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not a SPIFFE ID or a trust domain. Nothing is ever normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// It does not begin with `spiffe://`.
    #[error("a SPIFFE ID begins with `spiffe://`, in lower case")]
    Scheme,
    /// The trust domain is empty, too long, or holds another character.
    #[error("a trust domain is 1 to 255 of the characters a-z 0-9 . - _")]
    TrustDomain,
    /// A path segment is empty, `.`, `..`, or holds another character.
    #[error("a path segment is one or more of the characters a-z A-Z 0-9 . - _, and neither `.` nor `..`; there is no trailing `/`")]
    Path,
    /// There is no path: the ID names a trust domain, not a workload.
    #[error("the ID of a workload has a path after the trust domain")]
    NoPath,
    /// It is longer than 2048 bytes.
    #[error("a SPIFFE ID has at most 2048 bytes")]
    TooLong,
}

/// The name of a trust domain, such as `example.org`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ID of a workload at `path` (which begins with `/`) in this domain.
    ///
    /// # Errors
    /// Where the path breaks the rules for segments.
    pub fn id(&self, path: &str) -> Result<SpiffeId, SpiffeIdError> {
        format!("spiffe://{}{path}", self.0).parse()
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        if text.is_empty() || text.len() > 255 || !text.bytes().all(allowed) {
            return Err(SpiffeIdError::TrustDomain);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of one workload: `spiffe://<trust domain>/<path>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    text: Arc<str>,
    path: usize,
}

const SCHEME: &str = "spiffe://";

impl SpiffeId {
    /// The whole ID as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The domain whose authorities may vouch for this identity.
    pub fn trust_domain(&self) -> TrustDomain {
        TrustDomain(self.text.get(SCHEME.len()..self.path).unwrap_or_default().into())
    }

    /// The path, with its leading `/`.
    pub fn path(&self) -> &str {
        self.text.get(self.path..).unwrap_or_default()
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > 2048 {
            return Err(SpiffeIdError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        let Some((domain, path)) = rest.split_once('/') else {
            rest.parse::<TrustDomain>()?;
            return Err(SpiffeIdError::NoPath);
        };
        domain.parse::<TrustDomain>()?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let segment = |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(allowed);
        if !path.split('/').all(segment) {
            return Err(SpiffeIdError::Path);
        }
        Ok(Self { text: text.into(), path: SCHEME.len() + domain.len() })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_well_formed_id_reads_back_with_its_parts(
            domain in "[a-z0-9._-]{1,40}",
            path in "(/[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,20}){1,4}",
        ) {
            let text = format!("spiffe://{domain}{path}");
            let id: SpiffeId = text.parse().expect("well formed");
            prop_assert_eq!(id.as_str(), text.as_str());
            prop_assert_eq!(format!("{id:?}"), text.as_str());
            prop_assert_eq!(id.path(), path.as_str());
            let named = id.trust_domain();
            prop_assert_eq!((named.as_str(), named.to_string()), (domain.as_str(), domain.clone()));
            prop_assert_eq!(id.trust_domain().id(&path), Ok(id));
        }

        #[test]
        fn any_text_is_either_refused_or_kept_byte_for_byte(text in "(spiffe://)?[ -~]{0,60}") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn the_longest_that_the_standard_allows_is_taken() {
        let domain = |length: usize| "a".repeat(length).parse::<TrustDomain>();
        assert_eq!(domain(255).map(|domain| format!("{domain:?}").len()), Ok(255));
        assert_eq!(domain(256), Err(SpiffeIdError::TrustDomain));
        let id = |length: usize| format!("spiffe://a/{}", "b".repeat(length - 11)).parse::<SpiffeId>();
        assert_eq!(id(2048).map(|id| id.as_str().len()), Ok(2048));
        assert_eq!(id(2049), Err(SpiffeIdError::TooLong));
    }

    #[test]
    fn what_the_standard_forbids_is_refused_by_name() {
        use SpiffeIdError::{NoPath, Path, Scheme, TooLong, TrustDomain};
        let long = format!("spiffe://a/{}", "b".repeat(2048));
        for (text, error) in [
            ("", Scheme),
            ("https://a/b", Scheme),
            ("SPIFFE://a/b", Scheme),
            (" spiffe://a/b", Scheme),
            ("spiffe://", TrustDomain),
            ("spiffe:///b", TrustDomain),
            ("spiffe://A/b", TrustDomain),
            ("spiffe://user@a/b", TrustDomain),
            ("spiffe://a:443/b", TrustDomain),
            ("spiffe://a", NoPath),
            ("spiffe://a/", Path),
            ("spiffe://a/b/", Path),
            ("spiffe://a//b", Path),
            ("spiffe://a/./b", Path),
            ("spiffe://a/../b", Path),
            ("spiffe://a/b%20c", Path),
            ("spiffe://a/b?c", Path),
            ("spiffe://a/b#c", Path),
            ("spiffe://a/b ", Path),
            ("spiffe://a/\u{fc}", Path),
            (long.as_str(), TooLong),
        ] {
            assert_eq!(text.parse::<SpiffeId>(), Err(error), "{text}");
        }
    }
}
