//! The server's certificate, from PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::listen::TlsFiles;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadTlsFiles {
    /// Not there, not ours to read, or not PEM.
    #[error("`{0}` cannot be read as PEM")]
    Unreadable(PathBuf, #[source] rustls::pki_types::pem::Error),
    /// PEM, and no certificate in it.
    #[error("`{0}` holds no certificate")]
    NoCertificate(PathBuf),
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("the certificate and its key cannot be used together")]
    Unusable(#[source] rustls::Error),
}

/// Reads both files and sets TLS 1.2 and 1.3 up, with HTTP/2 and HTTP/1.1 to choose from.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, BadTlsFiles> {
    let chain = certificates(&files.certificates)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| BadTlsFiles::Unreadable(files.key.clone(), error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(BadTlsFiles::Unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(BadTlsFiles::Unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadTlsFiles> {
    let unreadable = |error| BadTlsFiles::Unreadable(path.to_owned(), error);
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if chain.is_empty() { Err(BadTlsFiles::NoCertificate(path.to_owned())) } else { Ok(chain) }
}
