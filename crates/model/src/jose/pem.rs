//! A private key's PEM armour (RFC 7468, section 10).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// A line holds this many characters of base64 (RFC 7468, section 2).
const LINE: usize = 64;

/// A PKCS#8 document as PEM.
pub fn pkcs8_to_pem(document: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(document));
    let mut pem = Zeroizing::new(String::with_capacity(body.len() + body.len() / LINE + 80));
    pem.push_str(BEGIN);
    pem.push('\n');
    for line in body.as_bytes().chunks(LINE) {
        pem.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        pem.push('\n');
    }
    pem.push_str(END);
    pem.push('\n');
    pem
}

/// The first PKCS#8 document in a PEM text. `None` if there is none, or it is not base64.
pub fn pkcs8_from_pem(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(text).ok()?;
    let body = text.split_once(BEGIN)?.1.split_once(END)?.0;
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    STANDARD.decode(body.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_reads_back_and_other_text_does_not() {
        let document = [7u8; 138];
        let pem = pkcs8_to_pem(&document);
        assert!(pem.lines().all(|line| line.len() <= LINE));
        assert_eq!(pkcs8_from_pem(pem.as_bytes()).unwrap().as_slice(), document);
        for bad in
            ["", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----"]
        {
            assert!(pkcs8_from_pem(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
