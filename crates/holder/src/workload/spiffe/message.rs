//! The two messages that are needed of the Workload API, in the encoding of protocol buffers and in gRPC's frames.

use bytes::{BufMut, Bytes, BytesMut};

/// `FetchJWTSVIDRequest.audience`, `JWTSVIDResponse.svids`, `JWTSVID.svid` ("workload.proto").
const AUDIENCE: u64 = 1;
const SVIDS: u64 = 1;
const SVID: u64 = 2;
/// Bytes behind a length ("Protocol Buffers: Encoding").
const LENGTH_DELIMITED: u64 = 2;

/// A `FetchJWTSVIDRequest` in a frame.
pub(super) fn request(audience: &str) -> Bytes {
    let mut message = BytesMut::new();
    put_varint(&mut message, AUDIENCE << 3 | LENGTH_DELIMITED);
    put_varint(&mut message, audience.len() as u64);
    message.put_slice(audience.as_bytes());
    let mut frame = BytesMut::new();
    frame.put_u8(0); // not compressed
    frame.put_u32(u32::try_from(message.len()).expect("an issuer's identifier is short"));
    frame.put_slice(&message);
    frame.freeze()
}

/// The first SVID of a `JWTSVIDResponse` in a frame: the first is the default one (SPIFFE Workload API, section 4.2).
/// `None` for what is none.
pub(super) fn first_svid(body: &[u8]) -> Option<&str> {
    let (&compressed, rest) = body.split_first()?;
    let (length, message) = rest.split_first_chunk::<4>()?;
    if compressed != 0 || message.len() != usize::try_from(u32::from_be_bytes(*length)).ok()? {
        return None;
    }
    let svid = field(message, SVIDS)?;
    std::str::from_utf8(field(svid, SVID)?).ok().filter(|svid| !svid.is_empty())
}

/// The first of a message's fields of this number that is bytes.
fn field(mut message: &[u8], number: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let length = match tag & 7 {
            0 => {
                varint(&mut message)?;
                continue;
            }
            1 => 8,
            LENGTH_DELIMITED => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (value, rest) = message.split_at_checked(length)?;
        if tag >> 3 == number && tag & 7 == LENGTH_DELIMITED {
            return Some(value);
        }
        message = rest;
    }
    None
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_varint(into: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        into.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    into.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A response with one SVID, and a field that we do not know before it.
    fn response(svid: &str) -> Vec<u8> {
        let mut inner = BytesMut::new();
        put_varint(&mut inner, 1 << 3 | LENGTH_DELIMITED);
        put_varint(&mut inner, 3);
        inner.put_slice(b"id ");
        put_varint(&mut inner, 9 << 3); // a number
        put_varint(&mut inner, 1 << 40);
        put_varint(&mut inner, SVID << 3 | LENGTH_DELIMITED);
        put_varint(&mut inner, svid.len() as u64);
        inner.put_slice(svid.as_bytes());
        let mut message = BytesMut::new();
        put_varint(&mut message, SVIDS << 3 | LENGTH_DELIMITED);
        put_varint(&mut message, inner.len() as u64);
        message.put_slice(&inner);
        let mut frame = vec![0];
        frame.extend((message.len() as u32).to_be_bytes());
        frame.extend_from_slice(&message);
        frame
    }

    #[test]
    fn a_request_is_what_protoc_makes_of_it() {
        // printf 'audience: "ab"' | protoc --encode FetchJWTSVIDRequest workload.proto
        assert_eq!(request("ab").as_ref(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    }

    #[test]
    fn an_answer_is_read_whatever_else_it_has_and_never_half() {
        let long = "x".repeat(300);
        let answer = response(&long);
        assert_eq!(first_svid(&answer), Some(long.as_str()));
        for short in 0..answer.len() {
            assert_eq!(first_svid(&answer[..short]), None);
        }
        let mut compressed = answer.clone();
        compressed[0] = 1;
        assert_eq!(first_svid(&compressed), None);
        assert_eq!(first_svid(&response("")), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut framed = vec![0];
            framed.extend((bytes.len() as u32).to_be_bytes());
            framed.extend_from_slice(&bytes);
            first_svid(&framed);
            first_svid(&bytes);
        }
    }
}
