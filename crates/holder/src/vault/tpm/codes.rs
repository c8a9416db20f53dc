//! What a TPM says when it does not do what it was asked (TCG "TPM 2.0 Library", part 2, section 6.6).

/// No such object.
pub(super) const HANDLE: u32 = 0x08B;
/// What was sealed was changed, or was sealed under another key.
pub(super) const INTEGRITY: u32 = 0x09F;
/// The bytes are not such an object.
pub(super) const SIZE: u32 = 0x095;
/// A wrong password, with and without a lock against guessing.
const AUTH_FAIL: u32 = 0x08E;
const BAD_AUTH: u32 = 0x0A2;
/// The hierarchy is switched off.
const HIERARCHY: u32 = 0x085;
/// Nobody started it.
const INITIALIZE: u32 = 0x100;
/// It found itself broken.
const FAILURE: u32 = 0x101;
/// It has no room for another object or session.
const NO_ROOM: [u32; 5] = [0x902, 0x903, 0x904, 0x905, 0x906];
/// It is doing something else: `TPM_RC_YIELDED`, `TPM_RC_TESTING`, `TPM_RC_NV_RATE`, `TPM_RC_RETRY`.
const BUSY: [u32; 4] = [0x908, 0x90A, 0x920, 0x922];
/// It is locked against guessing.
const LOCKOUT: u32 = 0x921;

/// What sort of code it is, whichever parameter, handle or session it is about, and whoever on the way added a mark.
pub(super) fn kind(code: u32) -> u32 {
    match code & 0x80 {
        0 => code & 0xFFF,
        _ => code & 0xBF,
    }
}

/// Whether the same command may be done in a moment.
pub(super) fn is_busy(code: u32) -> bool {
    BUSY.contains(&kind(code))
}

/// In words that follow its name.
pub(super) fn told(code: u32) -> String {
    match kind(code) {
        LOCKOUT => {
            "is locked against guessing (TPM_RC_LOCKOUT); that ends by itself after a while, or by whoever \
                    runs this machine: `tpm2_dictionarylockout --clear-lockout`"
                .into()
        }
        AUTH_FAIL | BAD_AUTH => {
            "wants the password of its owner for a storage key, and none for P-256 is kept at \
                                 0x81000001; whoever runs this machine can keep one there"
                .into()
        }
        HIERARCHY => "has its storage hierarchy switched off, by this machine's firmware".into(),
        INITIALIZE => "was not started by this machine's firmware".into(),
        FAILURE => "found itself broken (TPM_RC_FAILURE)".into(),
        kind if NO_ROOM.contains(&kind) => "is full of what other programs left in it".into(),
        kind if BUSY.contains(&kind) => "is busy".into(),
        _ => format!("refused (code {code:#05x})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_whatever_it_is_about_and_said_in_words() {
        // `TPM_RC_HANDLE` about the first handle, `TPM_RC_INTEGRITY` about the first parameter, `TPM_RC_BAD_AUTH` about
        // the first session.
        assert_eq!((kind(0x18B), kind(0x1DF), kind(0x9A2)), (HANDLE, INTEGRITY, BAD_AUTH));
        assert!(told(0x921).contains("locked against guessing") && told(0x9A2).contains("password"));
        // A resource manager's mark is above them.
        assert!(told(0x000B_0921).contains("locked") && told(0x902).contains("is full"));
        assert!(is_busy(0x922) && is_busy(0x90A) && !is_busy(0x921) && !is_busy(0));
        assert_eq!(told(0x12F), "refused (code 0x12f)");
    }
}
