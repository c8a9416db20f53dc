//! How the program is linked.

use std::process::Command;

/// The first glibc that reads packed relocations (its release notes, 2.36).
const PACKED_SINCE: (u32, u32) = (2, 36);

/// `hallpass token` is over within a millisecond or two, and a quarter of one is the loader's: it reads most of a megabyte of
/// relocations, which packed are a few kilobytes, and looks for a library of gcc's that the program can as well hold.
/// The program then needs such a C library, so this is done only where the machine that builds has one, and is what is
/// built for.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if is_for_this_machine() && glibc().is_some_and(|version| version >= PACKED_SINCE) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        // Before the shared one, which then nothing needs: unwinding, and what it leans on.
        println!("cargo:rustc-link-lib=gcc_eh");
        println!("cargo:rustc-link-lib=gcc");
    }
}

fn is_for_this_machine() -> bool {
    #[expect(clippy::disallowed_methods, reason = "cargo tells it so, and this is no part of the program")]
    let said = |name| std::env::var_os(name);
    said("HOST").is_some() && said("HOST") == said("TARGET")
}

/// What `getconf` says: `glibc 2.36`. None where the C library is another.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let (major, rest) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, rest.split('.').next()?.parse().ok()?))
}
