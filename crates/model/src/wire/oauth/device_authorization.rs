//! What the device authorization endpoint answers (RFC 8628, section 3.2).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::BadResponse;
use super::token_response::Seconds;
use crate::lifetimes::DEVICE_POLL_INTERVAL;
use crate::secret::{DeviceCode, Secret, UserCode};
use crate::time::Lifetime;

/// The codes of one device login, and where the person takes them.
pub struct DeviceAuthorization {
    /// What the client polls with.
    pub device_code: Secret<DeviceCode>,
    /// What the person types. Shown on a terminal, kept out of logs.
    pub user_code: Secret<UserCode>,
    /// Where they type it.
    pub verification_uri: String,
    /// The same with the code in it: as secret as the code.
    pub verification_uri_complete: Option<Secret<UserCode>>,
    /// How long the codes live.
    pub expires_in: Lifetime,
    /// How long to wait between two polls.
    pub interval: Lifetime,
}

impl DeviceAuthorization {
    /// Reads a provider's answer, tolerantly: `interval` may be missing (it is then 5 seconds), numbers may be
    /// strings, and `verification_url` is read as `verification_uri`.
    pub fn parse(body: &[u8]) -> Result<Self, BadResponse> {
        let raw: Raw = super::object(body)?;
        if raw.device_code.is_empty() || raw.user_code.is_empty() {
            return Err(BadResponse);
        }
        let interval = raw.interval.and_then(Seconds::read).filter(|i| i.as_seconds() > 0);
        Ok(Self {
            device_code: Secret::from_text(raw.device_code),
            user_code: Secret::from_text(raw.user_code),
            verification_uri: raw.verification_uri,
            verification_uri_complete: raw.verification_uri_complete.map(Secret::from_text),
            expires_in: raw.expires_in.read().ok_or(BadResponse)?,
            interval: interval.unwrap_or(DEVICE_POLL_INTERVAL),
        })
    }

    /// The form that carries the codes over the wire. SECURITY: for a `no-store` response body alone.
    pub fn reveal(&self) -> RevealedDeviceAuthorization<'_> {
        RevealedDeviceAuthorization {
            device_code: self.device_code.expose_text(),
            user_code: self.user_code.expose_text(),
            verification_uri: &self.verification_uri,
            verification_uri_complete: self.verification_uri_complete.as_ref().map(Secret::expose_text),
            expires_in: self.expires_in.as_seconds(),
            interval: self.interval.as_seconds(),
        }
    }
}

impl fmt::Debug for DeviceAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<device authorization at {}>", self.verification_uri)
    }
}

/// A device authorization with its codes shown: made to be written to the wire and dropped.
#[derive(Serialize)]
pub struct RevealedDeviceAuthorization<'a> {
    device_code: &'a str,
    user_code: &'a str,
    verification_uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_uri_complete: Option<&'a str>,
    expires_in: i64,
    interval: i64,
}

impl fmt::Debug for RevealedDeviceAuthorization<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<device authorization>")
    }
}

#[derive(Deserialize)]
struct Raw {
    device_code: String,
    user_code: String,
    #[serde(alias = "verification_url")] // Google's spelling, from before RFC 8628
    verification_uri: String,
    #[serde(alias = "verification_url_complete")]
    verification_uri_complete: Option<String>,
    expires_in: Seconds,
    interval: Option<Seconds>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc_8628_section_3_2_s_example_is_read_and_written() {
        let body = r#"{"device_code":"GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS","user_code":"WDJB-MJHT","verification_uri":"https://example.com/device","verification_uri_complete":"https://example.com/device?user_code=WDJB-MJHT","expires_in":1800,"interval":5}"#;
        let read = DeviceAuthorization::parse(body.as_bytes()).unwrap();
        assert_eq!(read.expires_in, Lifetime::minutes(30));
        assert_eq!(serde_json::to_string(&read.reveal()).unwrap(), body);
        let shown = format!("{read:?} {:?}", read.reveal());
        assert!(!shown.contains("WDJB") && !shown.contains("GmRh"), "{shown}");
    }

    #[test]
    fn a_missing_interval_is_five_seconds_and_zero_is_not_taken() {
        let read = |rest: &str| {
            let body = format!(
                r#"{{"device_code":"d","user_code":"u","verification_url":"https://g","expires_in":"1800"{rest}}}"#
            );
            DeviceAuthorization::parse(body.as_bytes()).unwrap()
        };
        for rest in ["", r#","interval":null"#, r#","interval":0"#, r#","interval":-1"#] {
            assert_eq!(read(rest).interval, Lifetime::seconds(5), "{rest}");
        }
        assert_eq!(read(r#","interval":"10""#).interval, Lifetime::seconds(10));
        assert_eq!(read("").verification_uri, "https://g");
    }

    #[test]
    fn a_body_without_codes_is_refused() {
        for body in [
            "{}",
            "[]",
            r#"{"device_code":"","user_code":"u","verification_uri":"v","expires_in":1}"#,
            r#"{"device_code":"d","user_code":"u","verification_uri":"v"}"#,
            r#"{"device_code":"d","user_code":"u","verification_uri":"v","expires_in":"soon"}"#,
        ] {
            assert!(DeviceAuthorization::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in any::<Vec<u8>>()) {
            let _ = DeviceAuthorization::parse(&body);
        }
    }
}
