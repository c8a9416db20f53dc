//! A certificate authority for one run: the command trusts it, so that its TLS to the named hosts ends here.
//!
//! SECURITY: its key never leaves this process's memory. It can vouch for the named hosts and for nobody else (name
//! constraints, RFC 5280, section 4.2.1.10), so that one who got hold of the key could impersonate to this one command
//! what the command was going to speak to anyway.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hallpass_model::time::{Lifetime, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

/// Clocks differ: certificates are valid from this long before.
const BEFORE: Lifetime = Lifetime::hours(1);
/// How long the authority lasts: no run that we have heard of takes longer.
const AUTHORITY_LASTS: Lifetime = Lifetime::days(90);
/// How long a host's certificate lasts, and when another is made.
const HOST_LASTS: Lifetime = Lifetime::days(3);
const HOST_MADE_ANEW: Lifetime = Lifetime::days(1);

/// A run's certificate authority.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// By host: since when, and what TLS is spoken with.
    hosts: Mutex<HashMap<String, (Timestamp, Arc<ServerConfig>)>>,
}

impl Authority {
    /// Makes one that can vouch for these hosts.
    pub(super) fn new(hosts: impl Iterator<Item = String>, now: Timestamp) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "hallpass, for one run");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let permitted_subtrees = hosts.map(|host| subtree(&host)).collect();
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
        set_dates(&mut params, now, AUTHORITY_LASTS);
        let pem = pem(params.self_signed(&key)?.der());
        Ok(Self { issuer: Issuer::new(params, key), pem, hosts: Mutex::default() })
    }

    /// Its certificate.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// What TLS is spoken with in a host's place: HTTP/1.1, which is all that is spoken here.
    pub(super) fn in_place_of(&self, host: &str, now: Timestamp) -> Result<Arc<ServerConfig>, rcgen::Error> {
        let mut hosts = self.hosts.lock().expect("no thread panics holding this");
        if let Some((since, config)) = hosts.get(host)
            && now.since(*since) < HOST_MADE_ANEW
        {
            return Ok(config.clone());
        }
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "hallpass");
        params.subject_alt_names = vec![match host.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(host.try_into()?),
        }];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_dates(&mut params, now, HOST_LASTS);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = Zeroizing::new(key.serialize_der());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key);
        let mut config = config.map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        hosts.insert(host.to_owned(), (now, config.clone()));
        Ok(config)
    }
}

fn subtree(host: &str) -> GeneralSubtree {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(ip.octets(), 32)),
        Ok(IpAddr::V6(ip)) => GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(ip.octets(), 128)),
        Err(_) => GeneralSubtree::DnsName(host.to_owned()),
    }
}

/// From when until when a certificate is valid.
fn set_dates(params: &mut CertificateParams, now: Timestamp, lasts: Lifetime) {
    let since_1970 = |at: Timestamp| Duration::from_secs(u64::try_from(at.seconds()).unwrap_or_default());
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_1970(now - BEFORE);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_1970(now + lasts);
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    let encoded = hallpass_model::jose::base64url::render(der).replace('-', "+").replace('_', "/");
    let padded = format!("{encoded}{}", "=".repeat((4 - encoded.len() % 4) % 4));
    let lines: Vec<&str> =
        (0..padded.len()).step_by(64).map(|at| &padded[at..padded.len().min(at + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
