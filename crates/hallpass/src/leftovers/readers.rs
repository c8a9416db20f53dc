//! Who can read a file: by its mode, its access control list, and the folders above it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the kernel keeps a file's access control list (acl(5)).
const ACL: &str = "system.posix_acl_access";
/// The version of its form: little-endian, four bytes, then eight for each entry.
const ACL_VERSION: u32 = 2;
/// An entry for a named user, a named group, and what all of those are cut to.
const TAG_USER: u16 = 0x02;
const TAG_GROUP: u16 = 0x08;
const TAG_MASK: u16 = 0x10;
/// The permission to read a file.
const READ: u16 = 4;
/// A list at most, in bytes: some hundred entries.
const ACL_LEN_MAX: usize = 64 * 1024;

/// Who can read a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Readers {
    /// `0644`.
    pub(crate) mode: String,
    /// Whose it is.
    pub(crate) owner: String,
    /// Who can read it besides its owner and root, in words: `everyone`, `group users`, `user bob`.
    pub(crate) others: Vec<String>,
    /// The folder above it that keeps those out all the same.
    pub(crate) kept_out_by: Option<PathBuf>,
}

impl Readers {
    /// Whether somebody else can read it.
    pub(crate) fn open_to_others(&self) -> bool {
        !self.others.is_empty() && self.kept_out_by.is_none()
    }
}

/// Who can read a file. What cannot be found out counts as no reader: the mode is shown beside it.
pub(crate) fn readers(file: &Path) -> Readers {
    let Ok(found) = file.symlink_metadata() else { return Readers::default() };
    let mode = found.mode();
    let mut others = Vec::new();
    if mode & 0o004 != 0 {
        others.push("everyone".to_owned());
    }
    let acl = acl(file);
    match &acl {
        // With a list, the group's bits are its mask.
        Some(acl) => others.extend(acl.named_readers()),
        None if mode & 0o040 != 0 => others.push(format!("group {}", name(GROUPS, found.gid()))),
        None => {}
    }
    let kept_out_by = if others.is_empty() { None } else { closed_folder(file) };
    Readers { mode: format!("{:04o}", mode & 0o7777), owner: name(USERS, found.uid()), others, kept_out_by }
}

/// The nearest folder above a file that nobody but its owner can go into: without a list of its own, and without the
/// permission to enter for group and others.
fn closed_folder(file: &Path) -> Option<PathBuf> {
    file.ancestors().skip(1).find_map(|folder| {
        let found = folder.symlink_metadata().ok()?;
        (found.mode() & 0o011 == 0 && acl(folder).is_none()).then(|| folder.to_owned())
    })
}

/// An access control list, taken apart.
struct Acl {
    mask: u16,
    named: Vec<(u16, u16, u32)>,
    group: u16,
}

impl Acl {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, entries) = bytes.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*version) != ACL_VERSION || !entries.len().is_multiple_of(8) {
            return None;
        }
        let mut acl = Self { mask: 7, named: Vec::new(), group: 0 };
        for entry in entries.chunks_exact(8) {
            let short = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            match short(0) {
                TAG_MASK => acl.mask = short(2),
                tag @ (TAG_USER | TAG_GROUP) => acl.named.push((tag, short(2), id)),
                0x04 => acl.group = short(2),
                _ => {}
            }
        }
        Some(acl)
    }

    fn named_readers(&self) -> Vec<String> {
        let reads = |permissions: u16| permissions & self.mask & READ != 0;
        let named = self.named.iter().filter(|(_, permissions, _)| reads(*permissions)).map(
            |(tag, _, id)| match *tag {
                TAG_USER => format!("user {}", name(USERS, *id)),
                _ => format!("group {}", name(GROUPS, *id)),
            },
        );
        let own_group = reads(self.group).then(|| "its group".to_owned());
        own_group.into_iter().chain(named).collect()
    }
}

fn acl(path: &Path) -> Option<Acl> {
    let mut bytes = vec![0u8; ACL_LEN_MAX];
    let len = rustix::fs::lgetxattr(path, ACL, &mut bytes[..]).ok()?;
    Acl::parse(&bytes[..len])
}

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// A name by its number, as far as this machine's own files tell.
fn name(file: &str, id: u32) -> String {
    let known = std::fs::read_to_string(file).unwrap_or_default();
    let named = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse::<u32>().ok()? == id).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| id.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn make(file: &Path, mode: u32) {
        std::fs::write(file, "x").unwrap();
        set(file, mode);
    }

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn mode_and_folders_say_who_can_read() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("token");
        make(&file, 0o600);
        assert!(readers(&file).others.is_empty() && !readers(&file).open_to_others());
        make(&file, 0o644);
        set(root.path(), 0o755);
        set(&folder, 0o755);
        let found = readers(&file);
        assert_eq!((found.mode.as_str(), found.others[0].as_str()), ("0644", "everyone"));
        assert!(found.open_to_others() && found.others[1].starts_with("group "), "{found:?}");
        set(&folder, 0o700);
        let found = readers(&file);
        assert_eq!(found.kept_out_by.as_deref(), Some(folder.as_path()));
        assert!(!found.open_to_others());
    }

    #[test]
    fn a_list_names_users_and_groups_and_its_mask_cuts_them() {
        let entry = |tag: u16, permissions: u16, id: u32| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let list = |mask: u16| {
            let entries = [
                entry(0x01, 6, u32::MAX),
                entry(TAG_USER, 4, 0),
                entry(0x04, 0, u32::MAX),
                entry(TAG_GROUP, 6, 4_000_000_000),
                entry(TAG_MASK, mask, u32::MAX),
                entry(0x20, 0, u32::MAX),
            ];
            [&2u32.to_le_bytes()[..], &entries.concat()].concat()
        };
        let named = Acl::parse(&list(7)).unwrap().named_readers();
        assert_eq!(named, ["user root", "group 4000000000"]);
        assert!(Acl::parse(&list(2)).unwrap().named_readers().is_empty());
        assert!(Acl::parse(b"\x03\0\0\0").is_none() && Acl::parse(b"").is_none());
        assert!(Acl::parse(&list(7)[..9]).is_none());
    }

    /// The kernel's own, where the file system of the test has lists.
    #[test]
    fn a_list_that_was_set_is_read_back() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("token");
        make(&file, 0o600);
        let entries: [(u16, u16, u32); 5] =
            [(1, 6, u32::MAX), (2, 4, 1), (4, 0, u32::MAX), (0x10, 4, u32::MAX), (0x20, 0, u32::MAX)];
        let mut list = 2u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            list.extend([&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat());
        }
        let set = rustix::fs::setxattr(&file, ACL, &list, rustix::fs::XattrFlags::empty());
        match set {
            Ok(()) => {
                let found = readers(&file);
                assert!(found.others.len() == 1 && found.others[0].starts_with("user "), "{found:?}");
            }
            Err(error) => assert_eq!(error, rustix::io::Errno::OPNOTSUPP, "{error}"),
        }
    }
}
