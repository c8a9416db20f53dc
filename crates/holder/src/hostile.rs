//! What strangers write, made up and altered: whatever it says, nothing here panics, and nothing altered is believed.

use std::path::Path;

use hallpass_model::time::Timestamp;
use hallpass_model::wire::errors::OAuthErrorBody;
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::{DeviceAuthorization, TokenResponse};
use proptest::prelude::*;

use crate::present::Told;
use crate::record::{Header, Record, SealedRecord, Version, seal};
use crate::vault::{KeyPlace, RecordKey};
use crate::{ProfileName, http_date};

/// One of these, altered in a few places: a byte replaced, put in or taken out, or the rest cut off.
fn altered(good: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), 0..4u8, any::<u8>());
    (prop::sample::select(good), prop::collection::vec(change, 0..6)).prop_map(|(good, changes)| {
        let mut bytes = good.as_bytes().to_vec();
        for (at, how, byte) in changes {
            alter(&mut bytes, at, how, byte);
        }
        bytes
    })
}

fn alter(bytes: &mut Vec<u8>, at: prop::sample::Index, how: u8, byte: u8) {
    if bytes.is_empty() {
        return;
    }
    let at = at.index(bytes.len());
    match how {
        0 => bytes[at] = byte,
        1 => bytes.insert(at, byte),
        2 => drop(bytes.remove(at)),
        _ => bytes.truncate(at),
    }
}

fn record_file(key: &RecordKey) -> Vec<u8> {
    let header = Header {
        issuer: "https://id.example/acme".into(),
        client_id: "hallpass-cli".into(),
        profile: None,
        key: KeyPlace::Keyring { name: "hallpass:x".into() },
        version: Version { login: "AAAA".into(), generation: 1 },
        written: Timestamp::from_seconds(1),
        machine: "here".into(),
        install: None,
    };
    seal(&header, &Record::for_tests("hpr_a-refresh-token"), key)
}

const METADATA: &[&str] = &[
    r#"{"issuer":"https://id.example/acme","token_endpoint":"https://id.example/acme/token","jwks_uri":"https://id.example/acme/jwks","scopes_supported":["a"],"code_challenge_methods_supported":["S256"],"authorization_response_iss_parameter_supported":true}"#,
];
const ANSWERS: &[&str] = &[
    r#"{"access_token":"t","token_type":"DPoP","expires_in":300,"refresh_token":"r","scope":"a b","id_token":"x.y.z"}"#,
    r#"{"device_code":"d","user_code":"ABCD-EFGH","verification_uri":"https://id.example/device","expires_in":"600","interval":5}"#,
    r#"{"error":"invalid_grant","error_description":"it is over","error_uri":"https://id.example/e"}"#,
];

proptest! {
    #[test]
    fn no_answer_of_a_provider_panics(metadata in altered(METADATA), answer in altered(ANSWERS)) {
        let issuer = "https://id.example/acme";
        if let Ok(read) = IssuerMetadata::parse(&metadata, issuer) {
            prop_assert_eq!(read.issuer, issuer);
            prop_assert!(read.token_endpoint.is_none_or(|place| place.scheme() == "https"));
        }
        let _ = (TokenResponse::parse(&answer), DeviceAuthorization::parse(&answer), OAuthErrorBody::parse(&answer));
    }

    #[test]
    fn no_made_up_file_is_a_record(bytes in any::<Vec<u8>>(), tail in any::<Vec<u8>>()) {
        let (key, path) = (RecordKey::new([7; 32]), Path::new("x.record"));
        let made_up = [b"HALLPASS-RECORD 1\n", bytes.as_slice(), b"\n", &tail].concat();
        for bytes in [bytes, made_up] {
            let opened = SealedRecord::parse(&bytes, path).and_then(|sealed| sealed.record(&key, path));
            prop_assert!(opened.is_err());
            prop_assert!(Record::parse(&bytes).is_none());
        }
    }

    #[test]
    fn no_altered_record_opens(at in any::<prop::sample::Index>(), how in 0..4u8, byte: u8) {
        let (key, path) = (RecordKey::new([7; 32]), Path::new("x.record"));
        let good = record_file(&key);
        let mut bytes = good.clone();
        alter(&mut bytes, at, how, byte);
        let opened = SealedRecord::parse(&bytes, path).and_then(|sealed| sealed.record(&key, path));
        prop_assert_eq!(opened.is_ok(), bytes == good);
    }

    /// What a record holds was written by us, and read by another version of us.
    #[test]
    fn no_altered_contents_of_a_record_panic(at in any::<prop::sample::Index>(), how in 0..4u8, byte: u8) {
        let mut bytes = Record::for_tests("hpr_a-refresh-token").render().to_vec();
        alter(&mut bytes, at, how, byte);
        let _ = Record::parse(&bytes);
    }

    #[test]
    fn no_challenge_of_an_api_panics(status: u16, challenge in ".*", nonce in ".*") {
        let told = Told { status, challenge: &challenge, nonce: Some(&nonce), date: http_date(&challenge) };
        prop_assert!(status == 401 || !told.refuses_token());
    }

    #[test]
    fn no_date_panics(text in "[A-Za-z]{0,9},? ?[0-9A-Za-z :-]{0,30}") {
        let _ = http_date(&text);
    }

    #[test]
    fn a_profile_s_name_is_read_as_it_is_written(text in ".{0,80}") {
        if let Ok(name) = text.parse::<ProfileName>() {
            prop_assert_eq!(name.to_string(), text);
        }
    }
}

#[cfg(feature = "adapters")]
mod adapters {
    use super::*;
    use crate::adapters::{Place, aws, cargo, docker, git, keyring, kubectl};

    const GIT: &[&str] = &[
        "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=git.example:8443\npath=a/b.git\nwwwauth[]=Basic realm=\"x\"\n\n",
        "url=https://u:p@git.example/a/b.git\nusername=u\npassword=p\npassword_expiry_utc=1800000000\n",
    ];
    const KUBECTL: &[&str] = &[
        r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false,"cluster":{"server":"https://k8s.example:6443","config":{"issuer":"https://id.example"}}}}"#,
    ];
    const CARGO: &[&str] = &[
        r#"{"v":1,"registry":{"index-url":"sparse+https://cargo.example/index/","name":"x","headers":["WWW-Authenticate: Cargo"]},"kind":"get","operation":"publish","name":"a","vers":"1.0.0","cksum":"00"}"#,
        r#"{"v":1,"registry":{"index-url":"https://cargo.example/"},"kind":"login","token":"t","args":[]}"#,
    ];
    const DOCKER: &[&str] = &[
        "registry.example:5000\n",
        r#"{"ServerURL":"https://registry.example/v2/","Username":"u","Secret":"s"}"#,
    ];
    const STS: &[&str] = &[
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA&amp;</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2027-01-15T08:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        "<ErrorResponse><Error><Code>ExpiredToken</Code></Error></ErrorResponse>",
    ];
    const PLACES: &[&str] = &["https://git.example:8443/a/b", "http://[::1]:80/%2e%2e/x", "git.example", "*"];

    proptest! {
        #[test]
        fn no_question_of_a_tool_panics(
            made_up in any::<Vec<u8>>(),
            git in altered(GIT),
            kubectl in altered(KUBECTL),
            cargo in altered(CARGO),
            docker in altered(DOCKER),
        ) {
            for bytes in [&made_up, &git] {
                let _ = git::Question::parse(bytes).map(|question| question.place());
            }
            for bytes in [&made_up, &kubectl] {
                let _ = kubectl::Question::parse(bytes);
            }
            for bytes in [&made_up, &cargo] {
                let _ = cargo::Question::parse(bytes);
            }
            for bytes in [&made_up, &docker] {
                let _ = (docker::server(bytes), docker::stored(bytes));
            }
        }

        #[test]
        fn no_answer_of_sts_panics(status in 0..1000u16, made_up in any::<Vec<u8>>(), sts in altered(STS)) {
            let role = aws::Role::parse("arn:aws:iam::123456789012:role/reader").expect("a role");
            for body in [&made_up, &sts] {
                let _ = aws::Session::parse(status, body, &role);
            }
        }

        #[test]
        fn no_words_of_a_tool_panic(text in ".{0,60}", place in altered(PLACES)) {
            let _ = (aws::Role::parse(&text), aws::session_name(&text), text.parse::<Place>());
            let _ = String::from_utf8_lossy(&place).parse::<Place>().map(|place| docker::is_for(&place, &text));
            let _ = keyring::Question::parse(&[text.into()]);
        }
    }
}
