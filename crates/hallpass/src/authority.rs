//! The certificates of one run: an authority that only this run's children trust, and a leaf for each host they ask for.
//! Its key is made for the run, stays in memory and is forgotten with it. For runs that look into what children say
//! (`torture`, `assess`); a run that holds a credential has one of the holder's own, for its named hosts alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An authority for the length of a run.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// What each host was given.
    hosts: Mutex<HashMap<String, Arc<ServerConfig>>>,
}

impl Authority {
    /// A new one; `whose` stands in its name, for whoever comes upon it.
    pub(crate) fn new(whose: &str) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, format!("{whose}, for one run"));
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem, hosts: Mutex::default() })
    }

    /// What the children are to trust.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// How to speak TLS as this host. HTTP/1.1 alone: answers are tampered with byte by byte.
    pub(crate) fn server(
        &self,
        host: &str,
    ) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error + Send + Sync>> {
        let mut hosts = self.hosts.lock().expect("no thread panics holding this");
        if let Some(known) = hosts.get(host) {
            return Ok(known.clone());
        }
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(vec![host.to_owned()])?.signed_by(&key, &self.issuer)?;
        let chain = vec![CertificateDer::from(leaf.der().to_vec())];
        let private = PrivateKeyDer::try_from(key.serialize_der())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, private)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        hosts.insert(host.to_owned(), config.clone());
        Ok(config)
    }
}
