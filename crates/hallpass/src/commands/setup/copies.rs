//! Who else would keep a copy of what a helper hands out, or has one from before.

use std::process::{Command, Stdio};

use super::places::Places;
use super::plan::{Tool, without_scheme};
use crate::env;
use crate::targets::{At, Target};

/// What is found, a sentence each. Nothing is changed.
pub(super) fn found(tool: Tool, targets: &[Target], at: &Places) -> Vec<String> {
    match tool {
        Tool::Git => git(targets, at),
        Tool::Docker => {
            let path = at.named(env::DOCKER_CONFIG, ".docker", "config.json");
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let config: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let kept = |target: &&Target| match &target.at {
                At::Docker(place) => config["auths"][place.authority()]["auth"].is_string(),
                _ => false,
            };
            targets.iter().filter(kept).map(|target| held(target, &path.display().to_string())).collect()
        }
        Tool::Pnpm => lines(targets, &at.home.join(".npmrc"), |target, line| match &target.at {
            At::Pnpm(place) => line.starts_with(&format!("//{}/:_authToken", without_scheme(place))),
            _ => false,
        }),
        Tool::Cargo => {
            lines(targets, &at.named(env::CARGO_HOME, ".cargo", "credentials.toml"), |target, line| {
                match &target.at {
                    At::Cargo { registry: Some(registry), .. } => line == format!("[registries.{registry}]"),
                    _ => false,
                }
            })
        }
        Tool::Pip | Tool::Uv => lines(targets, &at.home.join(".netrc"), |target, line| match &target.at {
            At::Pip(place) => line.split_whitespace().any(|word| word == place.host()),
            _ => false,
        }),
        Tool::Kubectl | Tool::Aws | Tool::Gcp => Vec::new(),
    }
}

fn held(target: &Target, file: &str) -> String {
    format!("`{file}` holds a credential for `{target}` already: remove it, and have it revoked")
}

fn lines(targets: &[Target], file: &std::path::Path, holds: impl Fn(&Target, &str) -> bool) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let held_here = targets.iter().filter(|target| text.lines().any(|line| holds(target, line.trim())));
    held_here.map(|target| held(target, &file.display().to_string())).collect()
}

/// git asks helpers in the order of its configuration, and gives what one of them said to all that are asked for that place. Ours
/// takes out those before it; those after it are still in the chain.
fn git(targets: &[Target], at: &Places) -> Vec<String> {
    let listed = Command::new("git")
        .args(["config", "--null", "--show-origin", "--get-regexp", r"^credential\.(.*\.)?helper$"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let Ok(listed) = listed else { return Vec::new() };
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    // With `--null`: the origin, and then the key and its value with a line's end between them.
    let parts: Vec<&str> = text.split('\0').collect();
    let entries: Vec<(&str, &str, &str)> = parts
        .chunks(2)
        .filter_map(|pair| {
            let [origin, entry] = pair else { return None };
            let (key, value) = entry.split_once('\n').unwrap_or((entry, ""));
            Some((*origin, key, value))
        })
        .collect();
    let ours = format!("{} helper git", at.hallpass);
    let mut found = Vec::new();
    for target in targets {
        let own = format!("credential.{target}.helper");
        let Some(last) = entries.iter().rposition(|(_, key, value)| *key == own && *value == ours) else {
            continue;
        };
        for (origin, key, value) in &entries[last + 1..] {
            let general = *key == "credential.helper" || *key == own;
            if general && !value.is_empty() && *value != ours {
                let name = value.split_whitespace().next().unwrap_or_default();
                found.push(format!(
                    "git's helper `{name}` comes after ours ({}): git before 2.46 gives it a copy of every token for `{target}`",
                    origin.trim_start_matches("file:")
                ));
            }
        }
    }
    found
}
