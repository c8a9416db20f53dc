//! The names by which programs look for their helpers. A link of that name to `hallpass` is that helper.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Each name, and the helper it is.
pub(super) const NAMES: [(&str, &str); 4] = [
    ("git-credential-hallpass", "git"),
    ("docker-credential-hallpass", "docker"),
    ("cargo-credential-hallpass", "cargo"),
    ("keyring", "pip"),
];

/// The arguments as they would have been typed. Only the last part of the name that we were called by counts.
pub(crate) fn called_as(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let name = arguments.first().and_then(|first| Path::new(first).file_name()).and_then(OsStr::to_str);
    if let Some((_, helper)) = NAMES.iter().find(|(known, _)| Some(*known) == name) {
        // After `--` nothing of the program's is taken for ours.
        arguments.splice(0..1, ["hallpass", "helper", helper, "--"].map(OsString::from));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_a_known_name_is_that_helper_and_its_arguments_stay_the_program_s() {
        let called = |line: &str| {
            let words = called_as(line.split(' ').map(OsString::from));
            words.join(OsStr::new(" ")).into_string().unwrap()
        };
        assert_eq!(called("/usr/bin/git-credential-hallpass get"), "hallpass helper git -- get");
        assert_eq!(called("docker-credential-hallpass list"), "hallpass helper docker -- list");
        assert_eq!(called("x/keyring --help"), "hallpass helper pip -- --help");
        for other in [
            "hallpass token",
            "/keyring/hallpass status",
            "docker-credential-hallpass2 get",
            "my-keyring get",
        ] {
            assert_eq!(called(other), other);
        }
        assert!(called_as([]).is_empty());
    }
}
