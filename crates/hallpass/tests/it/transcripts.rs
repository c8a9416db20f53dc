//! What the terminal shows, byte for byte. `SNAPSHOTS=overwrite cargo test -p hallpass` writes them anew.

use snapbox::{assert_data_eq, file};

use crate::program::{command, ended};

fn shown(arguments: &[&str]) -> String {
    let ended = ended(command(arguments).env("COLUMNS", "100"));
    format!("{}{}exit {}\n", ended.out, ended.err, ended.code)
}

#[test]
fn the_help_of_the_program() {
    assert_data_eq!(shown(&["--help"]), file!["transcripts/help.txt"].raw());
}

#[test]
fn the_help_of_the_holder_s_commands() {
    let each = [
        "login", "exec", "agents", "token", "curl", "status", "logout", "report", "daemon", "doctor", "wrap",
        "assess", "torture",
    ]
    .map(|command| shown(&[command, "--help"]));
    assert_data_eq!(each.join("\n"), file!["transcripts/holder-help.txt"].raw());
}

#[test]
fn the_help_of_profiles() {
    let each = ["profile", "trust"].map(|command| shown(&[command, "--help"]));
    assert_data_eq!(each.join("\n"), file!["transcripts/profile-help.txt"].raw());
}

#[test]
fn the_help_of_the_server() {
    assert_data_eq!(shown(&["serve", "--help"]), file!["transcripts/serve-help.txt"].raw());
}

#[test]
fn the_help_of_the_operator_s_commands() {
    assert_data_eq!(shown(&["admin", "--help"]), file!["transcripts/admin-help.txt"].raw());
}

#[test]
fn the_help_of_the_ledger() {
    assert_data_eq!(
        shown(&["ledger", "verify", "--help"]),
        file!["transcripts/ledger-verify-help.txt"].raw()
    );
}

#[test]
fn a_misspelt_command_and_flag() {
    let both = format!("{}{}", shown(&["sevre"]), shown(&["serve", "--lisetn", "x"]));
    assert_data_eq!(both, file!["transcripts/misspelt.txt"].raw());
}

#[test]
fn settings_and_where_they_came_from() {
    let explained = shown(&[
        "serve",
        "--explain",
        "--data",
        "/srv/hallpass",
        "--settings",
        "tests/it/transcripts/hallpass.toml",
    ]);
    assert_data_eq!(explained, file!["transcripts/explain.txt"].raw());
}

#[test]
fn a_setting_that_is_not_known() {
    let refused = shown(&["serve", "--settings", "tests/it/transcripts/misspelt.toml"]);
    assert_data_eq!(refused, file!["transcripts/misspelt-setting.txt"].raw());
}

#[test]
fn a_completion_script_for_each_shell_and_a_page_for_each_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = ended(&mut command(&["completions", shell]));
        assert!(script.code == 0 && script.out.contains("hallpass"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ended(&mut command(&["man", folder.path().to_str().unwrap()])).code, 0);
    for page in ["hallpass.1", "hallpass-serve.1", "hallpass-admin-org-add.1", "hallpass-ledger-verify.1"] {
        assert!(folder.path().join(page).exists(), "{page}");
    }
    let first = std::fs::read_to_string(folder.path().join("hallpass.1")).unwrap();
    assert!(first.contains(".SH ENVIRONMENT") && first.contains("HALLPASS_LISTEN"), "{first}");
}
