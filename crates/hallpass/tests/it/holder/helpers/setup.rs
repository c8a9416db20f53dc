use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::machine::{Said, in_time};
use super::gate::Gate;

const TOOLS: [&str; 9] = ["git", "docker", "kubectl", "cargo", "aws", "pip", "uv", "pnpm", "gcp"];

/// An entry for each, and files of each as a person has them.
fn configured(gate: &Gate) {
    let entries = [
        gate.entry("git", "https://git.example/team", ""),
        gate.entry("git", "https://git.example:8443", ""),
        gate.entry("docker", "https://registry.example:5000", ""),
        gate.entry("kubectl", "https://k8s.example:6443", "cluster = \"prod\""),
        gate.entry("cargo", "sparse+https://crates.example/index/", "registry = \"ours\""),
        gate.entry("aws", "https://sts.example", "role = \"arn:aws:iam::123456789012:role/deploy\""),
        gate.entry("pip", "https://pypi.example/simple", ""),
        gate.entry("pnpm", "https://npm.example/team", ""),
        gate.entry("gcp", "", "")
            .replace("at = \"\"\n", "audience = \"//iam.googleapis.com/pools/p/providers/h\"\n"),
    ];
    gate.configure(&entries.concat());
    for (name, text) in [
        (".gitconfig", "[user]\n\tname = Ada\n[credential]\n\thelper = store"),
        (".docker/config.json", "{\n\t\"auths\": {},\n\t\"credHelpers\": { \"other.example\": \"pass\" }\n}"),
        (
            ".cargo/config.toml",
            "[registries.ours]\nindex = \"sparse+https://crates.example/index/\"\n\n[net]\nretry = 2\n",
        ),
        (".aws/config", "[default]\nregion = eu-central-1\n[profile deploy]\nregion = eu-west-1\n"),
        (".config/pip/pip.conf", "[global]\ntimeout = 60\n"),
        (".config/uv/uv.toml", "[pip]\nstrict = true\n"),
        (".npmrc", "registry=https://npm.example/\n"),
        (".kube/config", "apiVersion: v1\nkind: Config\n"),
    ] {
        let path = gate.machine.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    }
}

/// Every file and link below a folder: what is in it, and its mode.
fn tree(folder: &Path, all: &mut BTreeMap<String, (u32, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let found = std::fs::symlink_metadata(&path).unwrap();
        if found.is_dir() {
            tree(&path, all);
        } else {
            let bytes = match found.is_symlink() {
                true => std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
                false => std::fs::read(&path).unwrap(),
            };
            all.insert(path.display().to_string(), (found.permissions().mode(), bytes));
        }
    }
}

fn home(gate: &Gate) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    tree(&gate.machine.path(""), &mut all);
    all
}

#[tokio::test]
async fn what_setup_writes_is_taken_out_to_the_byte() {
    let gate = Gate::new().await;
    configured(&gate);
    let before = home(&gate);
    for tool in TOOLS {
        gate.setup(tool).await;
        let now = home(&gate);
        assert_ne!(now, before, "{tool}");
        let secrets = now.values().any(|(_, bytes)| bytes.windows(4).any(|text| text == b"eyJh"));
        assert!(!secrets, "{tool}: no token is in any file");
        for (path, (mode, _)) in &before {
            assert_eq!(now[path].0, *mode, "{tool}: {path}");
        }
        let said = gate.machine.run(&["setup", tool, "--undo", "--yes"]).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        assert_eq!(home(&gate), before, "{tool}");
        let said = gate.machine.run(&["setup", tool, "--undo", "--yes"]).await;
        assert!(said.code() == 0 && said.err().contains("nothing of ours is there"), "{}", said.err());
    }
    // All of them at once, with the entries gone meanwhile and a file changed elsewhere.
    for tool in TOOLS {
        gate.setup(tool).await;
    }
    gate.configure("");
    let git = gate.machine.path(".gitconfig");
    let changed = format!("# mine\n{}[alias]\n\tst = status\n", std::fs::read_to_string(&git).unwrap());
    std::fs::write(&git, changed).unwrap();
    for tool in TOOLS {
        assert_eq!(gate.machine.run(&["setup", tool, "--undo", "--yes"]).await.code(), 0, "{tool}");
    }
    let mut after = home(&gate);
    let (_, text) = after.remove(git.to_str().unwrap()).unwrap();
    let kept = "# mine\n[user]\n\tname = Ada\n[credential]\n\thelper = store\n[alias]\n\tst = status\n";
    assert_eq!(String::from_utf8(text).unwrap(), kept);
    let same = |name: &&String| **name != git.to_str().unwrap() && !name.ends_with("/config.toml");
    let names: Vec<_> = before.keys().filter(same).collect();
    assert!(names.iter().all(|name| after.get(*name) == before.get(*name)), "{names:?}");
}

#[tokio::test]
async fn nothing_is_written_without_a_yes_or_where_somebody_else_decided() {
    let gate = Gate::new().await;
    configured(&gate);
    let before = home(&gate);
    let said = gate.machine.run(&["setup", "git"]).await;
    assert_eq!((said.code(), said.out().as_str()), (2, ""), "{}", said.err());
    assert!(said.err().contains("+\thelper =") && said.err().contains("--yes"), "{}", said.err());
    for (file, text, tool) in [
        (".config/pip/pip.conf", "[global]\nkeyring-provider = import\n", "pip"),
        (".docker/config.json", "{\"credHelpers\":{\"registry.example:5000\":\"pass\"}}", "docker"),
        (".docker/config.json", "not json", "docker"),
        (".aws/config", "[profile deploy]\ncredential_process = other\n", "aws"),
        (".kube/hallpass", "another's\n", "kubectl"),
    ] {
        std::fs::write(gate.machine.path(file), text).unwrap();
        let said = gate.machine.run(&["setup", tool, "--yes"]).await;
        assert_eq!(said.code(), 70, "{}", said.err());
        assert!(said.err().contains(file) && said.err().contains("hint:"), "{}", said.err());
        assert_eq!(std::fs::read_to_string(gate.machine.path(file)).unwrap(), text);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("gitconfig"), "").unwrap();
    std::fs::remove_file(gate.machine.path(".gitconfig")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("gitconfig"), gate.machine.path(".gitconfig")).unwrap();
    let said = gate.machine.run(&["setup", "git", "--yes"]).await;
    assert!(said.code() == 70 && said.err().contains("outside of"), "{}", said.err());
    assert_eq!(std::fs::read_to_string(elsewhere.path().join("gitconfig")).unwrap(), "");

    gate.configure("");
    let said = gate.machine.run(&["setup", "cargo", "--yes"]).await;
    assert!(said.code() == 2 && said.err().contains("kind = \"cargo\""), "{}", said.err());
    assert!(before.contains_key(gate.machine.path(".cargo/config.toml").to_str().unwrap()));
}

#[tokio::test]
async fn whoever_would_keep_a_copy_or_has_one_is_named() {
    let gate = Gate::new().await;
    configured(&gate);
    let said = gate.machine.run(&["setup", "git", "--yes"]).await;
    assert!(!said.err().contains("warning"), "`store` comes before ours: {}", said.err());
    let path = gate.machine.path(".gitconfig");
    let later =
        format!("{}[credential]\n\thelper = cache --timeout=60\n", std::fs::read_to_string(&path).unwrap());
    std::fs::write(&path, later).unwrap();
    let said = gate.machine.run(&["setup", "git", "--yes"]).await;
    assert!(!said.err().contains("warning"), "ours is put after it: {}", said.err());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.find("cache").unwrap() < text.find("helper git").unwrap(), "{text}");

    // A repository's own configuration comes after that of the person.
    let repository = gate.machine.path("repository");
    std::fs::create_dir_all(&repository).unwrap();
    for arguments in [&["init", "-q"][..], &["config", "credential.helper", "cache --timeout=60"]] {
        let mut git = gate.program("/usr/bin/git", arguments);
        assert!(in_time(git.current_dir(&repository).status()).await.unwrap().success());
    }
    let mut command = gate.machine.hallpass(&["setup", "git", "--yes", "--json"]);
    let said = Said(in_time(command.current_dir(&repository).output()).await.unwrap());
    let copies = &said.json()["copies"];
    assert_eq!(copies.as_array().unwrap().len(), 2, "one for each place: {copies}");
    assert!(copies[0].as_str().unwrap().contains("`cache` comes after ours"), "{copies}");

    let held = [
        (
            ".docker/config.json",
            "{\"auths\":{\"registry.example:5000\":{\"auth\":\"eDpjYW5hcnk=\"}}}",
            "docker",
        ),
        (".npmrc", "//npm.example/team/:_authToken=canary\n", "pnpm"),
        (".cargo/credentials.toml", "[registries.ours]\ntoken = \"canary\"\n", "cargo"),
        (".netrc", "machine pypi.example login ada password canary\n", "pip"),
    ];
    for (file, text, tool) in held {
        std::fs::write(gate.machine.path(file), text).unwrap();
        let said = gate.machine.run(&["setup", tool, "--yes"]).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        assert!(
            said.err().contains("warning:") && said.err().contains("holds a credential"),
            "{}",
            said.err()
        );
        let warnings: Vec<_> =
            said.err().lines().filter(|line| line.contains("holds a")).map(str::to_owned).collect();
        assert!(!warnings.concat().contains("canary"), "{warnings:?}");
    }
}

/// Whatever happened between: what is ours goes, what is not stays, and where that cannot be told, nothing is touched.
#[tokio::test]
async fn what_was_changed_by_hand_meanwhile_is_taken_out_or_left_alone_and_never_spoilt() {
    let gate = Gate::new().await;
    configured(&gate);
    let undo = async |tool: &str| gate.machine.run(&["setup", tool, "--undo", "--yes"]).await;
    let git = gate.machine.path(".gitconfig");
    let plain = std::fs::read_to_string(&git).unwrap();
    let read = || std::fs::read_to_string(&git).unwrap();
    gate.setup("git").await;
    let ours = read();

    // Lines of ours that somebody has changed, or copied: they stand between our marks.
    std::fs::write(&git, ours.replace("helper =\n", "helper = store\n\tusername = ada\n")).unwrap();
    assert_eq!((undo("git").await.code(), read()), (0, plain.clone()));
    let block = ours[plain.len()..].trim_start_matches('\n');
    std::fs::write(&git, format!("{ours}{block}[alias]\n\tst = status\n")).unwrap();
    assert_eq!(undo("git").await.code(), 0);
    assert_eq!(
        read(),
        format!("{plain}\n[alias]\n\tst = status\n"),
        "the line before has the end it needs now"
    );

    // A mark that is gone: where ours ends cannot be told.
    gate.configure(&gate.entry("git", "https://git.example", ""));
    std::fs::write(&git, &plain).unwrap();
    gate.setup("git").await;
    let ours = read();
    let lines: Vec<&str> = ours.lines().collect();
    for without in ["# >>> hallpass", "# <<< hallpass"] {
        let at = lines.iter().position(|line| line.starts_with(without)).unwrap();
        let text: String =
            lines.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, line)| format!("{line}\n")).collect();
        std::fs::write(&git, &text).unwrap();
        let said = undo("git").await;
        assert!(said.code() == 70 && said.err().contains("marks do not match"), "{without}: {}", said.err());
        assert!(said.err().contains("hint:"), "{}", said.err());
        assert_eq!(read(), text);
    }

    // A file that is gone, and one that is no JSON any more.
    std::fs::remove_file(&git).unwrap();
    let said = undo("git").await;
    assert!(said.code() == 0 && said.err().contains("nothing of ours"), "{}", said.err());
    gate.configure(&gate.entry("docker", "https://registry.example:5000", ""));
    gate.setup("docker").await;
    let docker = gate.machine.path(".docker/config.json");
    std::fs::write(&docker, "{ \"credHelpers\": ").unwrap();
    let said = undo("docker").await;
    assert!(said.code() == 70 && said.err().contains("not JSON"), "{}", said.err());
    assert_eq!(std::fs::read_to_string(&docker).unwrap(), "{ \"credHelpers\": ");
    // Somebody's own helper for our registry is theirs.
    std::fs::write(&docker, "{\"credHelpers\":{\"registry.example:5000\":\"pass\",\"b\":\"hallpass\"}}")
        .unwrap();
    assert_eq!(undo("docker").await.code(), 0);
    let left = std::fs::read_to_string(&docker).unwrap();
    assert_eq!(left, "{\"credHelpers\":{\"registry.example:5000\":\"pass\"}}");
}

#[tokio::test]
async fn a_link_to_a_file_stays_one_and_a_program_that_was_moved_takes_out_what_it_wrote() {
    let gate = Gate::new().await;
    configured(&gate);
    // As people keep their settings in a folder of their own.
    let (git, dotfiles) = (gate.machine.path(".gitconfig"), gate.machine.path("dotfiles"));
    std::fs::create_dir_all(&dotfiles).unwrap();
    std::fs::rename(&git, dotfiles.join("gitconfig")).unwrap();
    std::os::unix::fs::symlink(dotfiles.join("gitconfig"), &git).unwrap();
    let before = home(&gate);

    let (here, there) = (gate.machine.path("here"), gate.machine.path("there"));
    std::fs::create_dir_all(&here).unwrap();
    let program = crate::program::put_into(&here);
    for tool in TOOLS {
        for _ in 0..2 {
            let said = in_time(gate.program(&program, &["setup", tool, "--yes"]).output()).await.unwrap();
            assert!(said.status.success(), "{tool}: {}", String::from_utf8_lossy(&said.stderr));
        }
    }
    let text = std::fs::read_to_string(&git).unwrap();
    assert!(git.is_symlink() && text.contains("here/hallpass helper git"), "{text}");
    let kubernetes = std::fs::read_to_string(gate.machine.path(".kube/hallpass")).unwrap();
    for line in ["interactiveMode: Never", "provideClusterInfo: true", "installHint: hallpass is not there"] {
        assert!(kubernetes.contains(line), "{line}: {kubernetes}");
    }
    std::fs::rename(&here, &there).unwrap();
    for tool in TOOLS {
        let mut command = gate.program(there.join("hallpass"), &["setup", tool, "--undo", "--yes"]);
        let said = in_time(command.output()).await.unwrap();
        assert!(said.status.success(), "{tool}: {}", String::from_utf8_lossy(&said.stderr));
    }
    std::fs::remove_dir_all(&there).unwrap();
    assert_eq!(home(&gate), before);
}
