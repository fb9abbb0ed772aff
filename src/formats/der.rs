//! The little of DER (X.690) that is written here: what is read by others, and what is short or long
//! beyond what a general library is made for.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;

/// The content of an INTEGER: big-endian, as short as it goes, never negative.
pub(super) fn integer(value: u64) -> Vec<u8> {
    unsigned(&value.to_be_bytes())
}

/// The same of a number of any length, big-endian.
pub(super) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let content: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    let sign = content.first().is_none_or(|first| *first >= 0x80);
    sign.then_some(0).into_iter().chain(content).collect()
}

/// Writes one element.
pub(super) fn write(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let length: Vec<u8> = content.len().to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    match *length {
        [] => out.push(0),
        [short] if short < 0x80 => out.push(short),
        _ => {
            out.push(0x80 | u8::try_from(length.len()).unwrap_or(0));
            out.extend_from_slice(&length);
        }
    }
    out.extend_from_slice(content);
}

/// One element of these parts.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut der = Vec::new();
    write(&mut der, tag, &parts.concat());
    der
}

/// Takes one element with this tag off the front.
pub(super) fn read<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (found, rest) = input.split_first()?;
    let (length, rest) = rest.split_first().filter(|_| *found == tag)?;
    let (length, rest) = match *length {
        short @ ..0x80 => (usize::from(short), rest),
        long => {
            let (octets, rest) = rest.split_at_checked(usize::from(long & 0x7f)).filter(|(octets, _)| (1..=4).contains(&octets.len()))?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some(content)
}
