//! What this machine is called, to itself and to the issuer.

use aws_lc_rs::digest;
use hallpass_model::device::DeviceClaim;
use hallpass_model::jose::base64url;
use hallpass_model::random::{Entropy, SystemEntropy};

use crate::error::HolderError;
use crate::login::LoginRequest;
use crate::shelf::INSTALL;
use crate::vault::Rung;
use crate::{Holder, private};

/// The characters of such a name.
pub(crate) const NAME_LEN: usize = 16;

/// A name for this machine's folder of records: two hosts on one exported home must not share one. The machine id is
/// not to be shown around (machine-id(5)), so it is hashed with a word of ours.
pub(crate) fn name() -> String {
    let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let id = match id.trim() {
        "" | "uninitialized" => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        id => id.to_owned(),
    };
    let hash = digest::digest(&digest::SHA256, format!("hallpass machine\0{id}").as_bytes());
    hash.as_ref()[..NAME_LEN / 2].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Holder {
    /// How this machine describes itself to our issuer. The install id is random, made once, and no secret. A login that
    /// is kept in memory alone uses the one that is there, or one that nobody keeps.
    pub(crate) fn device_claim(
        &self,
        request: &LoginRequest,
        rung: Rung,
    ) -> Result<DeviceClaim, HolderError> {
        let claim = |install: &str| {
            DeviceClaim::parse(
                Some(install.trim()),
                Some(&request.device_name),
                Some(&request.device_class.to_string()),
                Some(rung.text()),
            )
        };
        let path = self.shelf.folder().map(|folder| folder.join(INSTALL));
        let kept = match &path {
            Some(path) if !rung.is_at_rest() => private::read(path).ok().flatten(),
            Some(path) => private::read(path)?,
            None => None,
        };
        let kept = kept.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        if let Some(claim) = kept.as_deref().and_then(claim) {
            return Ok(claim);
        }
        let mut id = [0u8; 16];
        SystemEntropy.fill(&mut id);
        let install = base64url::render(id);
        // The folder was made, and proven, when the rung was chosen.
        if let Some(path) = path.filter(|_| rung.is_at_rest()) {
            private::write(&path, install.as_bytes())?;
        }
        Ok(claim(&install).expect("22 characters of base64url are an install id"))
    }
}
