//! Whom the programs of this machine trust: files of certificates.

use std::path::PathBuf;

use hallpass_holder::exec::TRUST_VARIABLES;

use crate::env;

/// Where systems keep the certificates they trust: Debian, Fedora, openSUSE, Alpine.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whom a command trusts without us. What the person named takes the system's place, as it does for their programs;
/// what names certificates to trust besides is there too.
pub(crate) fn files() -> Vec<PathBuf> {
    let mut roots = env::files_named_by(TRUST_VARIABLES);
    if env::SSL_CERT_FILE.path().is_none() {
        roots.extend(SYSTEM_ROOTS.map(PathBuf::from).into_iter().find(|path| path.is_file()));
    }
    roots
}
