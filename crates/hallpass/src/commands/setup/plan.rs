//! What each program is told: which file, which lines.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use hallpass_holder::adapters::Place;

use super::block::{self, Block, Otherwise};
use super::change::{Change, Link};
use super::places::{Places, plain};
use super::{Plan, json};
use crate::env;
use crate::failure::Failure;
use crate::targets::{At, Kind, Target};

/// A program that can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Tool {
    Git,
    Docker,
    Kubectl,
    Cargo,
    Aws,
    Pip,
    Uv,
    Pnpm,
    Gcp,
}

impl Tool {
    pub(super) fn name(self) -> &'static str {
        match self {
            Tool::Uv => "uv",
            tool => tool.kind().name(),
        }
    }

    /// Whose entries are for it: uv asks as pip does.
    pub(super) fn kind(self) -> Kind {
        match self {
            Tool::Git => Kind::Git,
            Tool::Docker => Kind::Docker,
            Tool::Kubectl => Kind::Kubectl,
            Tool::Cargo => Kind::Cargo,
            Tool::Aws => Kind::Aws,
            Tool::Pip | Tool::Uv => Kind::Pip,
            Tool::Pnpm => Kind::Pnpm,
            Tool::Gcp => Kind::Gcp,
        }
    }
}

/// What is to be done for these entries; with `undo`, what takes it back.
pub(super) fn plan(tool: Tool, targets: &[Target], undo: bool, at: &Places) -> Result<Plan, Failure> {
    let mut plan = Plan::default();
    match tool {
        Tool::Git => {
            let blocks = targets.iter().filter_map(|target| git(target, at)).collect();
            plan.lines(tool, git_file(at), blocks, undo, at)?;
        }
        Tool::Cargo => {
            let link = plan.link(at.ours("bin"), "cargo-credential-hallpass", undo, at);
            let provider = written(&link)?;
            let blocks: Result<Vec<_>, _> = targets.iter().map(|target| cargo(target, &provider)).collect();
            plan.lines(tool, at.named(env::CARGO_HOME, ".cargo", "config.toml"), blocks?, undo, at)?;
        }
        Tool::Aws => {
            let file = env::AWS_CONFIG_FILE.path().unwrap_or_else(|| at.home.join(".aws/config"));
            plan.lines(tool, file, targets.iter().filter_map(|target| aws(target, at)).collect(), undo, at)?;
        }
        Tool::Pip => {
            plan.keyring(undo, at);
            let block = setting(Some("[global]"), Otherwise::AtEnd, "keyring-provider", "subprocess");
            plan.lines(tool, at.config("pip/pip.conf"), vec![block], undo, at)?;
        }
        Tool::Uv => {
            plan.keyring(undo, at);
            let block = setting(None, Otherwise::AtStart, "keyring-provider", "\"subprocess\"");
            plan.lines(tool, at.config("uv/uv.toml"), vec![block], undo, at)?;
        }
        Tool::Pnpm => pnpm(&mut plan, targets, undo, at)?,
        Tool::Docker => docker(&mut plan, targets, undo, at)?,
        Tool::Kubectl => kubectl(&mut plan, targets, undo, at)?,
        Tool::Gcp => gcp(&mut plan, targets, undo, at)?,
    }
    if undo {
        plan.next.clear();
    }
    Ok(plan)
}

impl Plan {
    /// Lines of ours in a file.
    fn lines(
        &mut self,
        tool: Tool,
        path: PathBuf,
        blocks: Vec<Block>,
        undo: bool,
        at: &Places,
    ) -> Result<(), Failure> {
        let (path, before) = at.read(&path)?;
        let after = match (undo, &before) {
            (true, None) => Ok(None),
            (true, Some(text)) if !block::has(text, tool.name()) => Ok(before.clone()),
            (true, Some(text)) => block::taken(text, tool.name()),
            (false, _) => block::put(before.as_deref(), tool.name(), &blocks).map(Some),
        };
        let after = after.map_err(|why| by_hand(&path, &why))?;
        self.changes.push(Change { path, before, after, program: false });
        Ok(())
    }

    /// A link to this program.
    fn link(&mut self, folder: PathBuf, name: &str, undo: bool, at: &Places) -> PathBuf {
        let path = folder.join(name);
        self.links.push(Link { path: path.clone(), to: (!undo).then(|| at.hallpass.clone().into()) });
        path
    }

    /// The link that pip and uv find: in a folder of its own, as it goes before all others on the PATH.
    fn keyring(&mut self, undo: bool, at: &Places) {
        let folder = at.ours("keyring");
        self.next.extend(at.on_path(&folder, true));
        self.link(folder, "keyring", undo, at);
    }
}

fn git_file(at: &Places) -> PathBuf {
    // As git-config(1) has it: the one in the home folder is written to where both or none are there.
    let (own, shared) = (at.home.join(".gitconfig"), at.config("git/config"));
    env::GIT_CONFIG_GLOBAL.path().unwrap_or(if !own.exists() && shared.exists() { shared } else { own })
}

fn git(target: &Target, at: &Places) -> Option<Block> {
    let At::Git(place) = &target.at else { return None };
    // The empty one takes every helper before it out of the chain for this place: an older git gives them copies.
    let mut lines = vec!["\thelper =".to_owned(), format!("\thelper = {} helper git", at.hallpass)];
    if place.depth() > 0 {
        lines.push("\tuseHttpPath = true".to_owned());
    }
    lines.insert(0, format!("[credential \"{place}\"]"));
    // Always a section of its own, last: an earlier one could be followed by more helpers.
    Some(Block { under: None, otherwise: Otherwise::AtEnd, lines, with_it: Vec::new(), unless: None })
}

fn cargo(target: &Target, provider: &str) -> Result<Block, Failure> {
    let At::Cargo { index, registry: Some(registry), .. } = &target.at else {
        return Err(lacks(target, "registry"));
    };
    let setting = format!("[\"{provider}\"]");
    // A dot would make two names of it.
    let name = if registry.contains('.') { format!("\"{registry}\"") } else { registry.clone() };
    Ok(Block {
        under: Some(format!("[registries.{name}]")),
        otherwise: Otherwise::AtEnd,
        lines: vec![format!("credential-provider = {setting}")],
        with_it: vec![format!("index = \"{index}\"")],
        unless: Some(("credential-provider", setting)),
    })
}

fn aws(target: &Target, at: &Places) -> Option<Block> {
    let At::Aws { role, .. } = &target.at else { return None };
    let name = role.arn().rsplit('/').next()?;
    let setting = format!("{} helper aws --role {}", at.hallpass, role.arn());
    Some(Block {
        under: Some(format!("[profile {name}]")),
        otherwise: Otherwise::AtEnd,
        lines: vec![format!("credential_process = {setting}")],
        with_it: Vec::new(),
        unless: Some(("credential_process", setting)),
    })
}

fn setting(under: Option<&str>, otherwise: Otherwise, key: &'static str, value: &str) -> Block {
    Block {
        under: under.map(str::to_owned),
        otherwise,
        lines: vec![format!("{key} = {value}")],
        with_it: Vec::new(),
        unless: Some((key, value.to_owned())),
    }
}

fn docker(plan: &mut Plan, targets: &[Target], undo: bool, at: &Places) -> Result<(), Failure> {
    let names: Vec<String> = targets
        .iter()
        .filter_map(|target| match &target.at {
            At::Docker(place) => Some(place.authority()),
            _ => None,
        })
        .collect();
    let (path, before) = at.read(&at.named(env::DOCKER_CONFIG, ".docker", "config.json"))?;
    let after = match (undo, before.as_deref()) {
        (true, None) => Ok(None),
        // What is left of a file that only we wrote goes, too.
        (true, Some(text)) => {
            json::taken(text, "credHelpers", "hallpass").map(|text| (text != NEW_JSON).then_some(text))
        }
        (false, text) => json::put(text.unwrap_or(NEW_JSON), "credHelpers", &names, "hallpass").map(Some),
    };
    let after = after.map_err(|why| by_hand(&path, &why))?;
    plan.changes.push(Change { path, before, after, program: false });
    let folder = at.ours("bin");
    plan.next.extend(at.on_path(&folder, false));
    plan.link(folder, "docker-credential-hallpass", undo, at);
    Ok(())
}

/// A new file of JSON, before anything of ours is put in.
const NEW_JSON: &str = "{}\n";

/// pnpm runs a file without arguments: one for each registry.
fn pnpm(plan: &mut Plan, targets: &[Target], undo: bool, at: &Places) -> Result<(), Failure> {
    let folder = at.ours("pnpm");
    let mut lines = Vec::new();
    let mut wanted = Vec::new();
    for target in targets {
        let At::Pnpm(place) = &target.at else { continue };
        let file = folder.join(file_name(place));
        let program = format!("#!/bin/sh\nexec {} helper pnpm {place}\n", at.hallpass);
        lines.push(format!("//{}/:tokenHelper={}", without_scheme(place), written(&file)?));
        wanted.push((file, program));
    }
    let gone = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let gone: Vec<_> = gone.filter(|file| wanted.iter().all(|(one, _)| one != file)).collect();
    for (file, program) in wanted {
        let (path, before) = at.read(&file)?;
        plan.changes.push(Change { path, before, after: Some(program), program: true });
    }
    for file in gone {
        let (path, before) = at.read(&file)?;
        plan.changes.push(Change { path, before, after: None, program: true });
    }
    let blocks = match lines.is_empty() {
        true => Vec::new(),
        false => {
            vec![Block { under: None, otherwise: Otherwise::AtEnd, lines, with_it: Vec::new(), unless: None }]
        }
    };
    plan.lines(Tool::Pnpm, at.home.join(".npmrc"), blocks, undo, at)
}

/// What clients of Kubernetes show where the program is gone.
const INSTALL: &str = "hallpass is not there any more; install it, then run `hallpass setup kubectl`";

/// kubectl reads several files as one: ours is a file of its own.
fn kubectl(plan: &mut Plan, targets: &[Target], undo: bool, at: &Places) -> Result<(), Failure> {
    let (mut users, mut contexts, mut clusters) = (Vec::new(), Vec::new(), Vec::new());
    for target in targets {
        let At::Kubectl { server, cluster } = &target.at else { continue };
        let name = format!("hallpass-{}", file_name(server));
        let cluster = cluster.clone().unwrap_or_else(|| {
            clusters.push(format!("- name: {name}\n  cluster:\n    server: {server}"));
            name.clone()
        });
        users.push(format!(
            "- name: {name}\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: {}\n      \
             args: [helper, kubectl]\n      interactiveMode: Never\n      provideClusterInfo: true\n      installHint: {INSTALL}",
            at.hallpass
        ));
        contexts.push(format!("- name: {name}\n  context:\n    cluster: {cluster}\n    user: {name}"));
    }
    let path = at.home.join(".kube/hallpass");
    let list = |name: &str, items: Vec<String>| match items.is_empty() {
        true => format!("{name}: []"),
        false => format!("{name}:\n{}", items.join("\n")),
    };
    let text = [
        "apiVersion: v1\nkind: Config".to_owned(),
        list("clusters", clusters),
        list("contexts", contexts),
        list("users", users),
    ];
    let lines = text.join("\n").lines().map(str::to_owned).collect();
    let block = Block { under: None, otherwise: Otherwise::AtEnd, lines, with_it: Vec::new(), unless: None };
    if let Ok((_, Some(text))) = at.read(&path)
        && !block::has(&text, Tool::Kubectl.name())
    {
        return Err(by_hand(&path, "it is somebody else's"));
    }
    plan.next.push(format!(
        "let kubectl read it, in your shell's profile: export KUBECONFIG=\"${{KUBECONFIG:-$HOME/.kube/config}}:{}\"",
        path.display()
    ));
    plan.lines(Tool::Kubectl, path, vec![block], undo, at)
}

/// An account file for each pool, of our own.
fn gcp(plan: &mut Plan, targets: &[Target], undo: bool, at: &Places) -> Result<(), Failure> {
    let folder = at.config("hallpass/gcp");
    let mut wanted = Vec::new();
    for target in targets {
        let At::Gcp { audience, impersonate } = &target.at else { continue };
        let mut account = serde_json::json!({
            "type": "external_account",
            "audience": audience,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": {
                "executable": { "command": format!("{} helper gcp", at.hallpass), "timeout_millis": 30_000 },
            },
        });
        if let Some(email) = impersonate {
            account["service_account_impersonation_url"] = format!(
                "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}:generateAccessToken"
            )
            .into();
        }
        let pool: Vec<&str> = audience.split('/').filter(|part| !part.is_empty()).collect();
        let words = pool
            .last()
            .into_iter()
            .copied()
            .chain(impersonate.as_deref().and_then(|email| email.split('@').next()));
        let file = folder.join(format!("{}.json", words.collect::<Vec<_>>().join("-")));
        let text = serde_json::to_string_pretty(&account).expect("a value is JSON") + "\n";
        plan.next.push(format!(
            "name it, for a program that uses it: GOOGLE_APPLICATION_CREDENTIALS={} GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1",
            file.display()
        ));
        wanted.push((file, text));
    }
    let there = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let gone: Vec<_> = there.filter(|file| undo && wanted.iter().all(|(one, _)| one != file)).collect();
    for (file, text) in wanted {
        let (path, before) = at.read(&file)?;
        if before.as_ref().is_some_and(|text| !is_account_of_ours(text)) {
            return Err(by_hand(&path, "it is somebody else's"));
        }
        plan.changes.push(Change { path, before, after: Some(text), program: false });
    }
    for file in gone {
        let (path, before) = at.read(&file)?;
        let after = before.clone().filter(|text| !is_account_of_ours(text));
        plan.changes.push(Change { path, before, after, program: false });
    }
    Ok(())
}

fn is_account_of_ours(text: &str) -> bool {
    let account: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let command = account["credential_source"]["executable"]["command"].as_str();
    command.is_some_and(|command| command.ends_with("hallpass helper gcp"))
}

/// A place as the name of a file.
fn file_name(place: &Place) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' };
    without_scheme(place).chars().map(plain).collect()
}

pub(super) fn without_scheme(place: &Place) -> String {
    place.to_string().split_once("://").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

fn written(path: &Path) -> Result<String, Failure> {
    plain(path).ok_or_else(|| {
        Failure::could_not_run(format_args!(
            "the path `{}` cannot stand in other programs' files",
            path.display()
        ))
        .hint("set XDG_DATA_HOME to a folder whose path has letters, digits, `/`, `.`, `-` and `_` alone")
    })
}

fn lacks(target: &Target, key: &str) -> Failure {
    Failure::usage(format_args!("the entry for `{target}` has no `{key}`")).hint("add it in config.toml")
}

fn by_hand(path: &Path, why: &str) -> Failure {
    Failure::could_not_run(format_args!("cannot change `{}`: {why}", path.display()))
        .hint("change it yourself: docs/how-to/helpers.md says what belongs there")
}
