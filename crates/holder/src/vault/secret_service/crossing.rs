//! How a secret crosses the bus: encrypted, so that neither the bus's memory nor whoever writes down what crosses it has
//! it (Secret Service API, section "dh-ietf1024-sha256-aes128-cbc-pkcs7": the second Oakley group of RFC 2409, section 6.2).
//!
//! It hides a secret from who listens, and not from who stands in for the service: the two do not know each other. A group
//! of 1,024 bits is what all services speak; what it hides is also to be had by asking, for whoever runs as this user.

use aws_lc_rs::cipher::{
    AES_128, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::hkdf;
use hallpass_model::random::{Entropy, SystemEntropy};
use zeroize::Zeroizing;

/// What the way of crossing is called.
pub(super) const ENCRYPTED: &str = "dh-ietf1024-sha256-aes128-cbc-pkcs7";
/// The other one, for services that know no better.
pub(super) const PLAIN: &str = "plain";

const KEY_LEN: usize = 16;
/// The group's numbers, in bytes.
const NUMBER_LEN: usize = 128;
/// Our secret, in bytes: more than twice what the group is worth.
const SECRET_LEN: usize = 32;
const WORDS: usize = NUMBER_LEN / 8;

/// A number of the group, its lowest word first.
type Number = [u64; WORDS];

/// The prime. Its lowest word is 2^64 - 1, which Montgomery's way of multiplying makes use of.
const PRIME: Number = [
    0xFFFFFFFFFFFFFFFF,
    0x49286651ECE65381,
    0xAE9F24117C4B1FE6,
    0xEE386BFB5A899FA5,
    0x0BFF5CB6F406B7ED,
    0xF44C42E9A637ED6B,
    0xE485B576625E7EC6,
    0x4FE1356D6D51C245,
    0x302B0A6DF25F1437,
    0xEF9519B3CD3A431B,
    0x514A08798E3404DD,
    0x020BBEA63B139B22,
    0x29024E088A67CC74,
    0xC4C6628B80DC1CD1,
    0xC90FDAA22168C234,
    0xFFFFFFFFFFFFFFFF,
];

/// Our half of the agreement.
pub(super) struct Half {
    secret: Zeroizing<[u8; SECRET_LEN]>,
    /// What the service is shown.
    pub(super) public: [u8; NUMBER_LEN],
}

/// What both know.
pub(super) struct Crossing {
    key: Zeroizing<[u8; KEY_LEN]>,
}

impl Half {
    pub(super) fn new() -> Self {
        let mut secret = Zeroizing::new([0u8; SECRET_LEN]);
        SystemEntropy.fill(&mut secret[..]);
        let mut two = Number::default();
        two[0] = 2;
        Self { public: render(&power(&two, &secret[..])), secret }
    }

    /// Agrees with a service that shows this. `None` if it is no such number, or one that gives the secret away.
    pub(super) fn agree(self, theirs: &[u8]) -> Option<Crossing> {
        let theirs = parse(theirs)?;
        let mut last = PRIME;
        last[0] -= 1;
        let trivial = theirs[1..].iter().all(|word| *word == 0) && theirs[0] < 2;
        if trivial || !is_below(&theirs, &last) {
            return None;
        }
        let shared = Zeroizing::new(render(&power(&theirs, &self.secret[..])));
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&shared[..]);
        let mut key = Zeroizing::new([0u8; KEY_LEN]);
        derived.expand(&[], KeyLen).and_then(|okm| okm.fill(&mut key[..])).ok()?;
        Some(Crossing { key })
    }
}

struct KeyLen;

impl hkdf::KeyType for KeyLen {
    fn len(&self) -> usize {
        KEY_LEN
    }
}

impl Crossing {
    /// A secret as it crosses, and the block that it begins with.
    pub(super) fn hide(&self, secret: &[u8]) -> ([u8; KEY_LEN], Vec<u8>) {
        let mut first = [0u8; KEY_LEN];
        SystemEntropy.fill(&mut first);
        // Room for the padding, so that no copy in the clear is left behind.
        let mut hidden = Vec::with_capacity(secret.len() + KEY_LEN);
        hidden.extend(secret);
        PaddedBlockEncryptingKey::cbc_pkcs7(self.cipher())
            .and_then(|key| key.less_safe_encrypt(&mut hidden, EncryptionContext::Iv128(first.into())))
            .expect("AES-128 in this mode takes any length");
        (first, hidden)
    }

    /// What crossed so. `None` if it was not hidden by this.
    pub(super) fn show(&self, first: &[u8], hidden: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let first: [u8; KEY_LEN] = first.try_into().ok()?;
        let mut shown = Zeroizing::new(hidden.to_vec());
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(self.cipher()).ok()?;
        let len = key.decrypt(&mut shown, DecryptionContext::Iv128(first.into())).ok()?.len();
        shown.truncate(len);
        Some(shown)
    }

    fn cipher(&self) -> UnboundCipherKey {
        UnboundCipherKey::new(&AES_128, &self.key[..]).expect("the key is of 16 bytes")
    }
}

/// A number to a power, whose highest byte is first. Its time depends on the power, which is of one connection.
fn power(base: &Number, power: &[u8]) -> Number {
    let base = multiply(base, &squared_shift());
    let mut result = shift();
    for bit in power.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)) {
        result = multiply(&result, &result);
        if bit == 1 {
            result = multiply(&result, &base);
        }
    }
    let mut one = Number::default();
    one[0] = 1;
    multiply(&result, &one)
}

/// The product of two numbers, divided by 2^1024 (P. L. Montgomery, "Modular Multiplication Without Trial Division").
fn multiply(a: &Number, b: &Number) -> Number {
    let mut sum = [0u64; WORDS + 2];
    for word in b {
        let mut carry = 0;
        for (at, factor) in sum.iter_mut().zip(a) {
            (*at, carry) = step(*at, *factor, *word, carry);
        }
        let (high, over) = sum[WORDS].overflowing_add(carry);
        (sum[WORDS], sum[WORDS + 1]) = (high, over.into());
        // So many primes as make the lowest word zero: the prime's own is -1.
        let primes = sum[0];
        let mut carry = 0;
        for (at, prime) in sum.iter_mut().zip(&PRIME) {
            (*at, carry) = step(*at, primes, *prime, carry);
        }
        let (high, over) = sum[WORDS].overflowing_add(carry);
        (sum[WORDS], sum[WORDS + 1]) = (high, sum[WORDS + 1] + u64::from(over));
        sum.rotate_left(1);
        sum[WORDS + 1] = 0;
    }
    let product: Number = std::array::from_fn(|at| sum[at]);
    match sum[WORDS] != 0 || !is_below(&product, &PRIME) {
        true => less(&product, &PRIME),
        false => product,
    }
}

/// A word and what is carried on, of `sum + a * b + carry`.
fn step(sum: u64, a: u64, b: u64, carry: u64) -> (u64, u64) {
    let all = u128::from(sum) + u128::from(a) * u128::from(b) + u128::from(carry);
    (all as u64, (all >> 64) as u64)
}

/// 2^1024, as the group has it.
fn shift() -> Number {
    less(&Number::default(), &PRIME)
}

/// Its square.
fn squared_shift() -> Number {
    let mut number = shift();
    for _ in 0..NUMBER_LEN * 8 {
        let high = number[WORDS - 1] >> 63;
        let doubled =
            std::array::from_fn(|at| number[at] << 1 | if at == 0 { 0 } else { number[at - 1] >> 63 });
        number = match high == 1 || !is_below(&doubled, &PRIME) {
            true => less(&doubled, &PRIME),
            false => doubled,
        };
    }
    number
}

/// The difference, as far as 1,024 bits have it.
fn less(a: &Number, b: &Number) -> Number {
    let mut borrow = false;
    std::array::from_fn(|at| {
        let (word, first) = a[at].overflowing_sub(b[at]);
        let (word, second) = word.overflowing_sub(borrow.into());
        borrow = first || second;
        word
    })
}

fn is_below(a: &Number, b: &Number) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

fn render(number: &Number) -> [u8; NUMBER_LEN] {
    let mut bytes = [0u8; NUMBER_LEN];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(number.iter().rev()) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// A number of at most so many bytes, its highest first; some leave out the zeros before it.
fn parse(bytes: &[u8]) -> Option<Number> {
    let mut all = [0u8; NUMBER_LEN];
    all[NUMBER_LEN.checked_sub(bytes.len())?..].copy_from_slice(bytes);
    let mut number = Number::default();
    for (word, chunk) in number.iter_mut().rev().zip(all.chunks_exact(8)) {
        *word = u64::from_be_bytes(chunk.try_into().ok()?);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_the_group() {
        let mut two = Number::default();
        two[0] = 2;
        // Worked out by another program.
        let power: [u8; 32] = std::array::from_fn(|at| at as u8);
        let known = concat!(
            "2dbb058b34968f2815e2606a6006a0b2aecd9ba79ff997d12db9d74bfb40f1d3",
            "4898c3de176fc9229c4bd10c3ec057fe162dc117ff2e698eb8b6b8dcf882ff45",
            "228818acc149faf2f664bf2cd209f3707238103317f27b9d887b6cadef650258",
            "2fb9baaf37c1e9b9d4824bccdc6d7dc97b99cdb0808eed2225aeb50a0838b3d7",
        );
        let hex: String =
            render(&super::power(&two, &power)).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, known);
        assert_eq!(super::power(&two, &[10])[0], 1024);
        assert_eq!(parse(&render(&PRIME)), Some(PRIME));
        assert_eq!(parse(&[1; NUMBER_LEN + 1]), None);
    }

    #[test]
    fn two_halves_agree_and_what_one_hides_the_other_shows() {
        let (one, other) = (Half::new(), Half::new());
        let publics = (one.public, other.public);
        let (one, other) = (one.agree(&publics.1).unwrap(), other.agree(&publics.0).unwrap());
        for secret in [&b""[..], b"a secret", &[7; 32]] {
            let (first, hidden) = one.hide(secret);
            assert_eq!(other.show(&first, &hidden).unwrap().as_slice(), secret);
            assert!(other.show(&first[1..], &hidden).is_none() && other.show(&first, &hidden[1..]).is_none());
        }
        let (first, hidden) = one.hide(&[7; 32]);
        assert!(hidden.windows(8).all(|part| part != [7; 8]));
        let third = Half::new().agree(&publics.0).unwrap();
        assert_ne!(third.show(&first, &hidden).map(|shown| shown.to_vec()), Some(vec![7; 32]));
    }

    #[test]
    fn a_number_that_gives_the_secret_away_is_refused() {
        let mut last = PRIME;
        last[0] -= 1;
        for bad in
            [&[][..], &[0], &[1], &render(&last), &render(&PRIME), &[0xFF; NUMBER_LEN], &[2; NUMBER_LEN + 1]]
        {
            assert!(Half::new().agree(bad).is_none(), "{} bytes", bad.len());
        }
    }
}
