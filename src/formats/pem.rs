//! PEM (RFC 7468): writing. Reading is left to libraries.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How many bytes stand in a line of 64 characters.
const LINE: usize = 48;

/// One section. Made in place, with room for all of it, so that no other copy of what may be a key is left behind.
pub fn write(label: &str, der: &[u8]) -> String {
    let lines = der.chunks(LINE);
    let mut text = String::with_capacity(lines.len() * 65 + 2 * label.len() + 40);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for line in lines {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// Certificates, one after the other: a chain, or those who are trusted.
pub fn certificates<D: AsRef<[u8]>>(ders: &[D]) -> String {
    ders.iter().map(|der| write("CERTIFICATE", der.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn what_is_written_reads_the_same_and_was_never_moved() {
        for length in [1, 2, 47, 48, 49, 96, 1000] {
            let der = vec![7; length];
            let text = write("CERTIFICATE", &der);
            assert_eq!(CertificateDer::from_pem_slice(text.as_bytes()).expect("a section").as_ref(), der);
            assert!(text.lines().all(|line| line.len() <= 64), "{text}");
            let room = length.div_ceil(LINE) * 65 + 2 * "CERTIFICATE".len() + 40;
            assert_eq!(text.capacity(), room, "it grew");
        }
    }
}
