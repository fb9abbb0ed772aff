//! Durations and sizes as people write them: `30s`, `5m`, `256MiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model;

/// A length of time, written as a whole number and a unit: `250ms`, `30s`, `5m`, `1h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

/// A number of bytes, written as a whole number and a unit: `512B`, `64KiB`, `256MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(u64);

/// A part of a whole, written in percent: `10%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share(u8);

/// Why a text is none of them, and what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {wanted}")]
pub struct UnitError {
    found: String,
    wanted: &'static str,
}

/// Largest first; in milliseconds.
const SPANS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
/// Largest first; in bytes.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

const SHARE_WANTED: &str = "a share: a whole number from 0 to 100 followed by %, such as 10%";
const SPAN_WANTED: &str = "a duration: a whole number followed by ms, s, m, h or d, such as 30s";
const SIZE_WANTED: &str = "a size: a whole number followed by B, KiB, MiB or GiB, such as 256MiB";

impl Span {
    /// `seconds` seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// `days` days of 24 hours.
    pub const fn days(days: u64) -> Self {
        Self::seconds(days * 86_400)
    }

    /// The same as a duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl Share {
    /// So many in a hundred.
    pub const fn percent(percent: u8) -> Self {
        Self(percent)
    }

    /// One in ten: what ends at once unless more is allowed.
    pub const fn tenth() -> Self {
        Self(10)
    }

    /// The same as the vocabulary has it.
    pub const fn share(self) -> model::Share {
        model::Share::percent(self.0)
    }
}

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text, &[("%", 1)])
            .and_then(|percent| u8::try_from(percent).ok())
            .filter(|percent| *percent <= 100)
            .map(Self)
            .ok_or_else(|| UnitError { found: text.to_owned(), wanted: SHARE_WANTED })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl Size {
    /// `kibibytes` times 2^10 bytes.
    pub const fn kibibytes(kibibytes: u64) -> Self {
        Self(kibibytes << 10)
    }

    /// `mebibytes` times 2^20 bytes.
    pub const fn mebibytes(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// The number before one of `units`, times the unit.
fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// In the largest of `units` that leaves no remainder.
fn write(f: &mut fmt::Formatter<'_>, amount: u64, units: &[(&str, u64)]) -> fmt::Result {
    match units.iter().find(|(_, factor)| amount != 0 && amount.is_multiple_of(*factor)) {
        Some((name, factor)) => write!(f, "{}{name}", amount / factor),
        None => write!(f, "0{}", units.last().map_or("", |(name, _)| name)),
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text, &SPANS)
            .map(|millis| Self(Duration::from_millis(millis)))
            .ok_or_else(|| UnitError { found: text.to_owned(), wanted: SPAN_WANTED })
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text, &SIZES).map(Self).ok_or_else(|| UnitError { found: text.to_owned(), wanted: SIZE_WANTED })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &SPANS)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &SIZES)
    }
}

macro_rules! through_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = UnitError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

through_text!(Span);
through_text!(Size);
through_text!(Share);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0..10_000_000_000u64, bytes: u64) {
            let (span, size) = (Span(Duration::from_millis(millis)), Size(bytes));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }

    #[test]
    fn each_unit_is_read() {
        for (text, millis) in [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))));
        }
        assert_eq!("256MiB".parse(), Ok(Size::mebibytes(256)));
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_what_to_write() {
        for text in ["", "30", "s", "-1s", "1.5s", "30 s", "30S", "99999999999999999999s", "18446744073709551615d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        let error = "30".parse::<Span>().expect_err("no unit");
        assert_eq!(error.to_string(), "`30` is not a duration: a whole number followed by ms, s, m, h or d, such as 30s");
        assert!("256MB".parse::<Size>().is_err());
        for text in ["10", "101%", "-1%", "1.5%", "%", "10 %"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        assert_eq!("10%".parse().map(|share: Share| (share, share.to_string())), Ok((Share::percent(10), "10%".to_owned())));
    }
}
