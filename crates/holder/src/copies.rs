//! Copies of other machines' sign-ins, said to our issuer: over this machine's own session there, once for each.
//!
//! A signal, and no more: a home that was copied or restored looks the same as one that was stolen. On a network file
//! system the others are other hosts of the same home, and nothing is said.

use std::path::Path;
use std::time::Duration;

use crate::dpop::SessionKey;
use crate::provider::{Fields, With};
use crate::record::Record;
use crate::shelf::Identity;
use crate::{Holder, private};

/// How long saying so may take: whoever waits for a token did not ask for it.
const TIME_OUT: Duration = Duration::from_secs(5);
/// Which copies were said, by the login they are of, one a line.
const TOLD: &str = "copies-told";
/// File systems of several hosts (statfs(2)): NFS, SMB (both), AFS, Ceph, 9p, and FUSE, which sshfs is.
const NETWORK: [u32; 7] =
    [0x6969, 0xFE53_4D42, 0xFF53_4D42, 0x5346_414F, 0x00C3_6400, 0x0102_1997, 0x6573_5546];

impl Holder {
    /// Says which copies are here, where nobody has yet. Best effort, and brief.
    pub(crate) async fn report_copies(&self, identity: &Identity, record: &Record) {
        let (true, Some(folder)) = (record.ours, self.shelf.folder()) else { return };
        let copies = self.shelf.foreign();
        let mut copies = copies.into_iter().filter(|copy| copy.issuer == identity.issuer).peekable();
        if copies.peek().is_none() || is_network(folder) {
            return;
        }
        let path = folder.join(TOLD);
        let told = private::read(&path).ok().flatten().unwrap_or_default();
        let mut told = String::from_utf8_lossy(&told).into_owned();
        for copy in copies {
            let Some(install) = copy.install.filter(|_| !told.lines().any(|login| login == copy.login))
            else {
                continue;
            };
            let said =
                tokio::time::timeout(TIME_OUT, self.report_copy(record, &identity.issuer, install)).await;
            if let Ok(true) = said {
                told.push_str(&format!("{}\n", copy.login));
                let _ = private::write(&path, told.as_bytes()); // then it is said once more
            }
        }
    }

    /// Whether the issuer heard.
    async fn report_copy(&self, record: &Record, issuer: &str, install: String) -> bool {
        let (Some(access), Ok(url)) = (&record.access, format!("{issuer}/copied").parse()) else {
            return false;
        };
        let key = record.key.as_ref().and_then(SessionKey::parse);
        let with = With { key: key.as_ref(), token: Some(&access.token), ..With::default() };
        self.provider.post(&url, &Fields::new().with("install", install), with).await.is_ok()
    }
}

fn is_network(folder: &Path) -> bool {
    rustix::fs::statfs(folder).is_ok_and(|found| NETWORK.contains(&(found.f_type as u32)))
}
