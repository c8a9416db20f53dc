//! How a secret is written down: `hp`, a letter for its kind, `_`, base62, and a six-character checksum.
//!
//! The checksum is CRC-32 in base62, so that a scanner tells a real one from noise offline (about one in 2³²
//! by chance). It proves nothing: the MAC or the store does.

use zeroize::Zeroizing;

use crate::secret::{self, Kind as _};
use crate::session::RefreshToken;

/// How many random bytes stand in an API key, device code, authorization code, cookie or one-time link: 160 bits.
/// RFC 6749 section 10.10 wants 128 at least; the rest is margin for many alive at once.
pub const RANDOM_BYTES: usize = 20;

const CHECKSUM_LEN: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The spellings that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prefix {
    /// `hpr_`: a refresh token.
    Refresh,
    /// `hpd_`: a device code.
    Device,
    /// `hpc_`: an authorization code.
    Code,
    /// `hpw_`: a web cookie.
    Web,
    /// `hpl_`: a one-time link.
    Link,
    /// `hps_`: a client's secret.
    ClientSecret,
    /// `hpk_`: an API key.
    ApiKey,
    /// `hpi_`: an initial access token, with which clients register themselves.
    InitialAccess,
    /// `hpm_`: a registration access token, with which a client manages its own registration.
    Registration,
}

impl Prefix {
    /// Every spelling, for scanners and tests.
    pub const ALL: [Prefix; 9] = [
        Prefix::Refresh,
        Prefix::Device,
        Prefix::Code,
        Prefix::Web,
        Prefix::Link,
        Prefix::ClientSecret,
        Prefix::ApiKey,
        Prefix::InitialAccess,
        Prefix::Registration,
    ];

    /// The first four characters.
    pub const fn text(self) -> &'static str {
        match self {
            Prefix::Refresh => "hpr_",
            Prefix::Device => "hpd_",
            Prefix::Code => "hpc_",
            Prefix::Web => "hpw_",
            Prefix::Link => "hpl_",
            Prefix::ClientSecret => "hps_",
            Prefix::ApiKey => "hpk_",
            Prefix::InitialAccess => "hpi_",
            Prefix::Registration => "hpm_",
        }
    }

    /// What it spells, for people: `refresh token`.
    pub const fn name(self) -> &'static str {
        match self {
            Prefix::Refresh => secret::RefreshToken::NAME,
            Prefix::Device => secret::DeviceCode::NAME,
            Prefix::Code => secret::AuthorizationCode::NAME,
            Prefix::Web => secret::WebCookie::NAME,
            Prefix::Link => secret::OneTimeLink::NAME,
            Prefix::ClientSecret => secret::ClientSecret::NAME,
            Prefix::ApiKey => secret::ApiKey::NAME,
            Prefix::InitialAccess => secret::InitialAccessToken::NAME,
            Prefix::Registration => secret::RegistrationToken::NAME,
        }
    }
}

/// Which secret of ours a text spells, all of it; `BadSpelling::Prefix` if it begins like none.
pub fn judge(text: &str) -> Result<Prefix, BadSpelling> {
    let prefix = Prefix::ALL.into_iter().find(|prefix| text.starts_with(prefix.text()));
    let prefix = prefix.ok_or(BadSpelling::Prefix)?;
    // A refresh token is longer than what is random alone.
    match prefix {
        Prefix::Refresh => RefreshToken::parse(text).map(drop)?,
        _ => parse::<RANDOM_BYTES>(prefix, text).map(drop)?,
    }
    Ok(prefix)
}

/// Why a text is not a secret of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSpelling {
    /// It begins otherwise.
    #[error("it does not begin with the prefix of its kind")]
    Prefix,
    /// A character outside base62, or a length that cannot be.
    #[error("it is not base62 of the right length")]
    Malformed,
    /// The checksum differs: cut short, mistyped or made up.
    #[error("its checksum is wrong: part of it may be missing")]
    Checksum,
}

/// Writes `bytes` down as a secret of this kind. The length is the same for the same number of bytes.
pub fn render(prefix: Prefix, bytes: &[u8]) -> Zeroizing<String> {
    let body_len = base62_len(bytes.len());
    let mut text = Zeroizing::new(String::with_capacity(4 + body_len + CHECKSUM_LEN));
    text.push_str(prefix.text());
    push_base62(&mut text, bytes, body_len);
    let checksum = crc32(text.as_bytes());
    push_base62(&mut text, &checksum.to_be_bytes(), CHECKSUM_LEN);
    text
}

/// Reads back `N` bytes. Checks the prefix, the alphabet, the length and the checksum, and nothing more.
pub fn parse<const N: usize>(prefix: Prefix, text: &str) -> Result<Zeroizing<[u8; N]>, BadSpelling> {
    let rest = text.strip_prefix(prefix.text()).ok_or(BadSpelling::Prefix)?;
    if rest.len() != base62_len(N) + CHECKSUM_LEN || !rest.is_ascii() {
        return Err(BadSpelling::Malformed);
    }
    let (body, checksum) = rest.split_at(rest.len() - CHECKSUM_LEN);
    let mut bytes = Zeroizing::new([0u8; N]);
    read_base62(body, &mut bytes[..]).ok_or(BadSpelling::Malformed)?;
    let mut given = [0u8; 4];
    read_base62(checksum, &mut given).ok_or(BadSpelling::Malformed)?;
    let signed = &text.as_bytes()[..text.len() - CHECKSUM_LEN];
    if crc32(signed) != u32::from_be_bytes(given) {
        return Err(BadSpelling::Checksum);
    }
    Ok(bytes)
}

/// Begins a signed token in its compact form: the base64url of `{"`.
const SIGNED: &str = "eyJ";
/// Fewer characters than this after a prefix hold no secret of ours, and are left as they stand.
const SECRET_LEN_MIN: usize = 16;

/// The text, and of everything in it that looks like a secret of ours or a signed token only how it begins.
///
/// For what strangers write: whoever says where they found a credential may well quote the line that it stood in.
pub fn without_secrets(text: &str) -> String {
    let signed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let kinds = Prefix::ALL.map(|prefix| (prefix.text(), is_base62 as fn(char) -> bool));
    let kinds = kinds.into_iter().chain([(SIGNED, signed as fn(char) -> bool)]);
    let mut text = text.to_owned();
    for (prefix, belongs) in kinds {
        let mut from = 0;
        while let Some(found) = text[from..].find(prefix) {
            let begins = from + found + prefix.len();
            let rest = &text[begins..];
            let ends = begins + rest.find(|c| !belongs(c)).unwrap_or(rest.len());
            if ends - begins >= SECRET_LEN_MIN {
                text.replace_range(begins..ends, "…");
            }
            from = begins;
        }
    }
    text
}

fn is_base62(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

/// The fewest base62 characters that hold any `bytes` bytes.
const fn base62_len(bytes: usize) -> usize {
    // log(256)/log(62) = 1.343583...
    (bytes * 1_343_584).div_ceil(1_000_000)
}

/// Digits taken at once, and their weight: 62⁵ is the largest power of 62 that fits a limb, so a long number is divided
/// a few hundred times and not a few thousand.
const GROUP: usize = 5;
const GROUP_WEIGHT: u64 = 62u64.pow(GROUP as u32);

fn push_base62(out: &mut String, bytes: &[u8], len: usize) {
    // Repeated division of a big-endian number, most significant limb first.
    let mut limbs = limbs(bytes);
    let mut digits = Zeroizing::new(vec![b'0'; len]);
    for group in digits.rchunks_mut(GROUP) {
        let mut remainder = 0u64;
        for limb in limbs.iter_mut() {
            let value = (remainder << 32) | u64::from(*limb);
            *limb = (value / GROUP_WEIGHT) as u32;
            remainder = value % GROUP_WEIGHT;
        }
        for digit in group.iter_mut().rev() {
            *digit = ALPHABET[(remainder % 62) as usize];
            remainder /= 62;
        }
    }
    out.push_str(std::str::from_utf8(&digits).expect("the alphabet is ASCII"));
}

fn read_base62(text: &str, out: &mut [u8]) -> Option<()> {
    let mut limbs = limbs(out);
    limbs.fill(0);
    // The first group is the odd one, as the digits are counted from the right.
    let (first, rest) = text.as_bytes().split_at(text.len() % GROUP);
    for group in std::iter::once(first).chain(rest.chunks(GROUP)) {
        let (mut carry, mut weight) = (0u64, 1u64);
        for c in group {
            let digit = match c {
                b'0'..=b'9' => c - b'0',
                b'A'..=b'Z' => c - b'A' + 10,
                b'a'..=b'z' => c - b'a' + 36,
                _ => return None,
            };
            carry = carry * 62 + u64::from(digit);
            weight *= 62;
        }
        for limb in limbs.iter_mut().rev() {
            let value = u64::from(*limb) * weight + carry;
            *limb = value as u32;
            carry = value >> 32;
        }
        if carry != 0 {
            return None; // a number too big for these bytes: not a spelling `render` gives
        }
    }
    for (i, byte) in out.iter_mut().rev().enumerate() {
        *byte = (limbs[limbs.len() - 1 - i / 4] >> (8 * (i % 4))) as u8;
    }
    // What the first limb holds above the bytes, where they do not fill it.
    let above = (!out.len().is_multiple_of(4)).then(|| limbs[0] >> (8 * (out.len() % 4)));
    above.is_none_or(|above| above == 0).then_some(())
}

/// A big-endian number as 32-bit limbs, the first one filled up with zeros.
fn limbs(bytes: &[u8]) -> Zeroizing<Vec<u32>> {
    let limb = |chunk: &[u8]| chunk.iter().fold(0, |limb, byte| (limb << 8) | u32::from(*byte));
    let mut limbs: Zeroizing<Vec<u32>> = Zeroizing::new(bytes.rchunks(4).map(limb).collect());
    limbs.reverse();
    limbs
}

/// CRC-32 (ISO 3309, as in zlib).
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// User codes (RFC 8628, section 6.1): eight letters without vowels or look-alikes, shown as `XXXX-XXXX`.
pub mod user_code {
    use crate::random::Entropy;

    /// Twenty consonants: no vowels, so no words; no look-alikes. 20⁸ is 34.6 bits.
    pub const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
    /// How many letters.
    pub const LEN: usize = 8;

    /// A new code, evenly distributed, without the dash.
    pub fn new(entropy: &dyn Entropy) -> String {
        let mut code = String::with_capacity(LEN);
        while code.len() < LEN {
            let mut byte = [0u8; 1];
            entropy.fill(&mut byte);
            // 240 is the largest multiple of 20 a byte holds: above it the low letters would come too often.
            if byte[0] < 240 {
                code.push(LETTERS[(byte[0] % 20) as usize] as char);
            }
        }
        code
    }

    /// `XXXX-XXXX`.
    pub fn render(code: &str) -> String {
        format!("{}-{}", &code[..LEN / 2], &code[LEN / 2..])
    }

    /// What a person typed, as the code it is compared as: case, spaces and punctuation do not count
    /// (RFC 8628, section 6.1). `None` if it cannot be a code.
    pub fn parse(typed: &str) -> Option<String> {
        if typed.len() > 64 {
            return None;
        }
        let code: String =
            typed.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        (code.len() == LEN && code.bytes().all(|c| LETTERS.contains(&c))).then_some(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Entropy, Seeded};
    use proptest::prelude::*;

    #[test]
    fn crc32_agrees_with_the_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bytes in any::<[u8; 20]>()) {
            let text = render(Prefix::Device, &bytes);
            prop_assert_eq!(*parse::<20>(Prefix::Device, &text).unwrap(), bytes);
            prop_assert!(parse::<20>(Prefix::Code, &text).is_err());
        }

        #[test]
        fn bytes_that_fill_no_whole_limb_read_back_too(bytes in any::<[u8; 23]>()) {
            prop_assert_eq!(*parse::<23>(Prefix::Web, &render(Prefix::Web, &bytes)).unwrap(), bytes);
            prop_assert_eq!(*parse::<1>(Prefix::Web, &render(Prefix::Web, &bytes[..1])).unwrap(), [bytes[0]]);
        }

        #[test]
        fn any_one_changed_character_is_noticed(bytes in any::<[u8; 20]>(), at in 4usize..37, to in 0usize..62) {
            let text = render(Prefix::Device, &bytes);
            let mut changed = text.as_bytes().to_vec();
            let at = at.min(changed.len() - 1);
            prop_assume!(changed[at] != ALPHABET[to]);
            changed[at] = ALPHABET[to];
            prop_assert!(parse::<20>(Prefix::Device, std::str::from_utf8(&changed).unwrap()).is_err());
        }

        #[test]
        fn no_secret_is_left_in_what_strangers_write(
            bytes in any::<[u8; 20]>(), which in 0..Prefix::ALL.len(), before in ".{0,20}", after in ".{0,20}",
        ) {
            let secret = render(Prefix::ALL[which], &bytes);
            let told = without_secrets(&format!("{before}{}{after}", &*secret));
            prop_assert!(!told.contains(&secret[4..]), "{told}");
        }

        #[test]
        fn no_text_panics(text in ".*") {
            for prefix in Prefix::ALL {
                let _ = parse::<20>(prefix, &text);
            }
            let _ = without_secrets(&text);
            let _ = user_code::parse(&text);
        }
    }

    #[test]
    fn of_a_secret_in_what_strangers_write_its_kind_is_left_and_the_rest_stands() {
        let key = render(Prefix::ApiKey, &[7; RANDOM_BYTES]);
        let both =
            format!("line 3 of `.env`: K={}; T='eyJhbGciOiJFUzI1NiJ9.eyJh.c2ln-_'; hpk_ and eyJ", &*key);
        assert_eq!(without_secrets(&both), "line 3 of `.env`: K=hpk_…; T='eyJ…'; hpk_ and eyJ");
    }

    #[test]
    fn the_greatest_bytes_fit() {
        assert_eq!(*parse::<56>(Prefix::Refresh, &render(Prefix::Refresh, &[0xff; 56])).unwrap(), [0xff; 56]);
    }

    #[test]
    fn a_user_code_is_read_however_it_is_typed() {
        let code = user_code::new(&Seeded::new(1));
        let shown = user_code::render(&code);
        for typed in [shown.clone(), shown.to_lowercase(), shown.replace('-', " "), format!(" {code}. ")] {
            assert_eq!(user_code::parse(&typed).as_deref(), Some(code.as_str()), "{typed}");
        }
        assert_eq!(user_code::parse("AAAA-AAAA"), None);
        assert_eq!(user_code::parse(""), None);
    }

    #[test]
    fn user_codes_use_every_letter_about_evenly() {
        let entropy = Seeded::new(2);
        let mut count = [0u32; 20];
        for _ in 0..5_000 {
            for c in user_code::new(&entropy as &dyn Entropy).bytes() {
                count[user_code::LETTERS.iter().position(|l| *l == c).unwrap()] += 1;
            }
        }
        assert!(count.iter().all(|n| (1_800..2_200).contains(n)), "{count:?}");
    }
}
