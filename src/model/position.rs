//! Positions in the one total order, and credential ids made of them.

use std::fmt;
use std::str::FromStr;

/// A place in the ledger: 1, 2, 3, … without gaps, given by the transaction that commits the entry.
///
/// Subjects (owners, workloads, environments, tasks, keys, credentials) are named by the position
/// of the entry that first recorded them: one name space, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// Before the first entry; names nothing.
    pub const ZERO: Self = Self(0);
    /// The entry that opened the ledger. As a subject it is the broker itself.
    pub const BROKER: Self = Self(1);

    /// The position with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position after this one; saturates.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// `None` for [`Position::ZERO`], which stands for "none" in entries.
    pub fn non_zero(self) -> Option<Self> {
        (self != Self::ZERO).then_some(self)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is not a position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a position; write a whole number from 1 on")]
pub struct PositionError(String);

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        let number = if plain { text.parse().ok() } else { None };
        number.map(Self).ok_or_else(|| PositionError(text.to_owned()))
    }
}

/// The name of one credential: its position, big-endian, followed by eight random bytes.
///
/// The `jti` of a token, the serial number of a certificate (positive, since a position never
/// reaches 2^63). Written as 32 lowercase hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialId([u8; 16]);

impl CredentialId {
    /// The id of the credential at `position`, made unguessable by `nonce`.
    pub fn new(position: Position, nonce: [u8; 8]) -> Self {
        Self((u128::from(position.get()) << 64 | u128::from(u64::from_be_bytes(nonce))).to_be_bytes())
    }

    /// Where the credential stands in the ledger.
    pub fn position(self) -> Position {
        Position(u64::try_from(u128::from_be_bytes(self.0) >> 64).unwrap_or(0))
    }

    /// The random half.
    pub fn nonce(self) -> [u8; 8] {
        let low = u128::from_be_bytes(self.0) & u128::from(u64::MAX);
        u64::try_from(low).unwrap_or(0).to_be_bytes()
    }

    /// The sixteen bytes, as in a serial number before DER drops leading zeros.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id with these bytes; shorter ones, as DER holds them, are filled up in front.
    pub fn from_serial(bytes: &[u8]) -> Option<Self> {
        let mut id = [0; 16];
        let significant = bytes.iter().position(|byte| *byte != 0).and_then(|start| bytes.get(start..))?;
        let start = id.len().checked_sub(significant.len())?;
        id.get_mut(start..)?.copy_from_slice(significant);
        Some(Self(id))
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Why a text is not a credential id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a credential id; write its 32 hex digits, or the serial number as openssl prints it")]
pub struct CredentialIdError(String);

impl FromStr for CredentialId {
    type Err = CredentialIdError;

    /// Takes the 32 digits, and the forms in which OpenSSL prints a serial: uppercase, without
    /// leading zeros, with colons, after `0x` or `serial=`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || CredentialIdError(text.chars().take(80).collect());
        let digits = text.strip_prefix("serial=").unwrap_or(text);
        let digits: String = digits.strip_prefix("0x").unwrap_or(digits).chars().filter(|c| *c != ':').collect();
        let hex = (1..=32).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = if hex { u128::from_str_radix(&digits, 16).ok() } else { None };
        let id = number.map(|number| Self(number.to_be_bytes())).ok_or_else(refused)?;
        if id.position() == Position::ZERO { Err(refused()) } else { Ok(id) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_gives_back_its_halves_and_every_written_form_reads_back(position in 1..u64::MAX >> 1, nonce: [u8; 8]) {
            let id = CredentialId::new(Position::new(position), nonce);
            prop_assert_eq!((id.position().get(), id.nonce()), (position, nonce));
            let text = id.to_string();
            prop_assert_eq!(text.parse(), Ok(id));
            let openssl = text.trim_start_matches("00").to_uppercase();
            prop_assert_eq!(openssl.parse(), Ok(id));
            prop_assert_eq!(format!("serial={openssl}").parse(), Ok(id));
            let colons: Vec<String> = id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(colons.join(":").parse(), Ok(id));
            let der: Vec<u8> = id.as_bytes().iter().copied().skip_while(|byte| *byte == 0).collect();
            prop_assert_eq!(CredentialId::from_serial(&der), Some(id));
        }
    }

    #[test]
    fn what_names_no_credential_is_refused() {
        for text in [
            "",
            "0",
            "00000000000000000000000000000001",
            "xyz",
            "123456789012345678901234567890123",
            "0000000012345678901234567890123456789012",
            "+1234567890123456789012345678901",
            "1 2",
        ] {
            assert!(text.parse::<CredentialId>().is_err(), "{text}");
        }
        assert_eq!(CredentialId::from_serial(&[1; 17]), None);
    }

    #[test]
    fn a_position_is_plain_decimal() {
        assert_eq!("17".parse(), Ok(Position::new(17)));
        for text in ["", "0", "017", "+1", "-1", "1 ", "99999999999999999999"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
