//! The Windows Credential Manager: a generic credential of this machine for each key.
//!
//! Untested: written for the interface of `wincred.h`, and compiled for Windows alone, where the rest of this crate does not
//! build yet. A credential holds 2,560 bytes,
//! which is why it is a key of 32 that rests there, and not the record. It persists on this machine alone: the roaming
//! kind would follow its user to machines that have no use for it.

#![expect(unsafe_code, reason = "there is no other way to these functions of Windows")]

use std::ptr::null_mut;

use windows_sys::Win32::Foundation::{ERROR_NOT_FOUND, GetLastError};
use windows_sys::Win32::Security::Credentials::{
    CRED_PERSIST_LOCAL_MACHINE, CRED_TYPE_GENERIC, CREDENTIALW, CredDeleteW, CredEnumerateW, CredFree,
    CredReadW, CredWriteW,
};
use zeroize::Zeroize;

use super::{Fault, Keeper, RecordKey};

/// The credentials of this user.
pub(super) struct CredentialManager;

impl Keeper for CredentialManager {
    fn save(&self, name: &str, key: &RecordKey) -> Result<(), Fault> {
        let (mut target, mut user, mut blob) = (wide(name), wide("hallpass"), key.clone());
        let credential = CREDENTIALW {
            Type: CRED_TYPE_GENERIC,
            TargetName: target.as_mut_ptr(),
            CredentialBlobSize: blob.len() as u32,
            CredentialBlob: blob.as_mut_ptr(),
            Persist: CRED_PERSIST_LOCAL_MACHINE,
            UserName: user.as_mut_ptr(),
            // SAFETY: a structure of numbers and pointers, for which zero and null are values.
            ..unsafe { std::mem::zeroed() }
        };
        // SAFETY: everything it points to outlives the call.
        match unsafe { CredWriteW(&credential, 0) } {
            0 => Err(last_error()),
            _ => Ok(()),
        }
    }

    fn find(&self, name: &str) -> Result<Option<RecordKey>, Fault> {
        let target = wide(name);
        let mut found: *mut CREDENTIALW = null_mut();
        // SAFETY: the name ends in a zero, and `found` takes a pointer.
        if unsafe { CredReadW(target.as_ptr(), CRED_TYPE_GENERIC, 0, &mut found) } == 0 {
            return not_found().map(|()| None);
        }
        // SAFETY: on success it points to a credential, whose blob has the size it says, until it is freed below. One that
        // is empty may be nowhere.
        let key = unsafe {
            let (blob, len) = ((*found).CredentialBlob, (*found).CredentialBlobSize as usize);
            let key = (!blob.is_null()).then(|| {
                let blob = std::slice::from_raw_parts_mut(blob, len);
                let key = (&*blob).try_into().map(RecordKey::new).ok();
                blob.zeroize();
                key
            });
            CredFree(found.cast());
            key.flatten()
        };
        Ok(key)
    }

    fn wipe(&self, name: &str) -> Result<bool, Fault> {
        // SAFETY: the name ends in a zero.
        match unsafe { CredDeleteW(wide(name).as_ptr(), CRED_TYPE_GENERIC, 0) } {
            0 => not_found().map(|()| false),
            _ => Ok(true),
        }
    }

    fn wipe_all(&self, beginning: &str, but: Option<&str>) -> Result<bool, Fault> {
        let filter = wide(&format!("{beginning}*"));
        let (mut count, mut found): (u32, *mut *mut CREDENTIALW) = (0, null_mut());
        // SAFETY: the filter ends in a zero; `count` and `found` take what comes.
        if unsafe { CredEnumerateW(filter.as_ptr(), 0, &mut count, &mut found) } == 0 {
            return not_found().map(|()| false);
        }
        // SAFETY: on success there are `count` pointers to credentials, whose names end in zeros, until they are freed.
        let names: Vec<String> = unsafe {
            let each = std::slice::from_raw_parts(found, count as usize);
            let names = each.iter().map(|one| narrow((**one).TargetName)).collect();
            CredFree(found.cast());
            names
        };
        let mut any = false;
        for name in names.iter().filter(|name| but != Some(name.as_str())) {
            any |= self.wipe(name)?;
        }
        Ok(any)
    }
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// SAFETY: the caller's, that it ends in a zero.
unsafe fn narrow(text: *const u16) -> String {
    // SAFETY: as above.
    let len = (0..).take_while(|at| unsafe { *text.add(*at) } != 0).count();
    // SAFETY: so many were read just now.
    String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(text, len) })
}

fn not_found() -> Result<(), Fault> {
    // SAFETY: it takes nothing and changes nothing.
    match unsafe { GetLastError() } {
        ERROR_NOT_FOUND => Ok(()),
        _ => Err(last_error()),
    }
}

fn last_error() -> Fault {
    Fault::Failing(format!("failed ({})", std::io::Error::last_os_error()))
}
