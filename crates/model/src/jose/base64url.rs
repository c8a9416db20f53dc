//! Bytes in JOSE's alphabet (RFC 7515, appendix C): no padding, no white space, one spelling for each value.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// Writes bytes down.
pub fn render(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Writes bytes down at the end of `out`.
pub(crate) fn push(out: &mut String, bytes: &[u8]) {
    URL_SAFE_NO_PAD.encode_string(bytes, out);
}

/// Reads bytes back. `None` for padding, white space, another alphabet, or bits left over that are not zero.
pub fn parse(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Reads exactly `N` bytes back.
pub fn parse_exact<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Wiped, as private keys and code verifiers pass through here too.
    Zeroizing::new(parse(text)?).as_slice().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc_7515_appendix_c_s_example_is_read_and_written() {
        assert_eq!(render([3, 236, 255, 224, 193]), "A-z_4ME");
        assert_eq!(parse("A-z_4ME"), Some(vec![3, 236, 255, 224, 193]));
    }

    #[test]
    fn only_the_canonical_spelling_is_read() {
        for bad in ["A-z_4ME=", "A+z/4ME", "A-z_4MF", "A-z_4 ME", "A-z_4ME\n", "A", "é", "A-z_4ME\0"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
        assert_eq!(parse(""), Some(vec![]));
        assert_eq!(parse_exact::<4>("A-z_4ME"), None);
    }

    proptest! {
        #[test]
        fn a_text_that_reads_is_the_one_that_would_be_written(text in "[A-Za-z0-9_-]{0,12}") {
            if let Some(bytes) = parse(&text) {
                prop_assert_eq!(render(bytes), text);
            }
        }
    }
}
