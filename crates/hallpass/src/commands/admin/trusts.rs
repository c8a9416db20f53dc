//! `hallpass admin trust`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hallpass_model::jose::OUTSIDE_TOKEN_LEN_MAX;
use hallpass_model::time::Lifetime;
use hallpass_model::trust::{Finding, Gravity};
use zeroize::Zeroizing;

use super::clients::read_jwks;
use super::table::{Table, facts};
use super::{HandleArgs, OrgArg, give, give_list};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{ListOf, OneOf, Revealed, TrustAdd, TrustShown, TrustTest, TrustTested};

/// Say which CI jobs, pods and services come in without a secret, and why one does not
#[derive(Debug, Subcommand)]
pub(super) enum TrustCommand {
    /// Say which outside identity becomes which client
    ///
    /// A job shows a token of an outside issuer, and gets one of this org's about the client if the token's claims are as
    /// every `--when` says. A rule that would let strangers in is refused, and says what it lacks.
    #[command(after_help = "\
Examples:
  hallpass admin client add site-deploy --kind ci --owner team:web --scope site:deploy
  hallpass admin trust add site-main --client site-deploy --preset github --environment prod \\
      --when repository_id=74 --when environment=prod --scope site:deploy
  hallpass admin trust add builder --client builder --preset kubernetes --issuer https://cluster.example \\
      --when sub=system:serviceaccount:ci:builder --environment stage --scope images:push
  hallpass admin trust test --token token.jwt

In a pattern `*` stands for a part between two `/` or `:`, and never for more.")]
    Add(Box<TrustAddArgs>),
    /// List the trusts of an org
    List(OrgArg),
    /// Show a trust, and what is wrong with its rule
    Show(HandleArgs),
    /// Look over all trusts of an org; exit code 1 if there is something wrong with one
    Lint(OrgArg),
    /// Say line by line why a token is let in, or is not; exit code 1 if it is not
    Test(TrustTestArgs),
    /// Take a trust out of use, and cut every token it gave
    Disable(HandleArgs),
    /// Put a trust back to use; what was cut stays cut
    Enable(HandleArgs),
}

#[derive(Debug, Args)]
pub(super) struct TrustAddArgs {
    /// Its short name
    #[arg(value_name = "HANDLE")]
    handle: String,

    /// Whom it lets in as: a client of kind `ci` or `service`
    #[arg(long, value_name = "CLIENT")]
    client: String,

    /// Whose tokens they are: what is known of their claims, and of their traps
    #[arg(long, value_parser = [
        "github", "gitlab", "buildkite", "circleci", "bitbucket", "kubernetes", "gcp", "azure", "spiffe", "oidc",
    ])]
    preset: String,

    /// The outside issuer, as its tokens name it in `iss`; the preset's where it has but one. A trust domain for SPIFFE
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,

    /// Whom its tokens must be for (`aud`); this org's issuer if left out
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,

    /// What a claim must be, such as `repository_id=74`. A nested one by a JSON pointer: `/kubernetes.io/namespace=ci`
    #[arg(long, value_name = "CLAIM=PATTERN")]
    when: Vec<String>,

    /// Where its keys are; where its discovery document says, if left out
    #[arg(long, value_name = "URL", conflicts_with = "jwks")]
    jwks_uri: Option<String>,

    /// A file with its public keys, as a JWK set, for an issuer that cannot be reached from here
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,

    /// What its tokens are for: `dev`, `stage`, `prod` or another word. Resources of another refuse them
    #[arg(long, value_name = "WORD")]
    environment: String,

    /// A scope that its tokens may have
    #[arg(long = "scope", required = true, value_name = "SCOPE")]
    scopes: Vec<String>,

    /// How long its tokens live at most, such as `5m`; 15m is the longest there is
    #[arg(long, value_name = "TIME")]
    longest: Option<Lifetime>,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
pub(super) struct TrustTestArgs {
    /// A file with the token; `-` for standard input
    #[arg(long, value_name = "FILE")]
    token: PathBuf,

    /// Only this trust
    #[arg(value_name = "HANDLE")]
    trust: Option<String>,

    #[command(flatten)]
    org: OrgArg,
}

pub(super) async fn run(
    command: TrustCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        TrustCommand::Add(args) => add(*args, server, out).await,
        TrustCommand::List(args) => {
            let trusts: Vec<TrustShown> =
                server.ask("trust.list", &ListOf { org: args.org, after: None, limit: None }).await?;
            give_list(out, "hallpass.admin.trusts/1", &trusts, "no trust yet", table)
        }
        TrustCommand::Show(args) => show(server.ask("trust.show", &one(args)).await?, out),
        TrustCommand::Lint(args) => lint(args, server, out).await,
        TrustCommand::Test(args) => test(args, server, out).await,
        TrustCommand::Disable(args) => {
            let trust: TrustShown = server.ask("trust.disable", &one(args)).await?;
            out.say(format_args!("disabled `{}` and cut every token it gave", trust.handle));
            show(trust, out)
        }
        TrustCommand::Enable(args) => {
            let trust: TrustShown = server.ask("trust.enable", &one(args)).await?;
            out.say(format_args!("enabled `{}`; what was cut stays cut", trust.handle));
            show(trust, out)
        }
    }
}

async fn add(args: TrustAddArgs, server: &mut AdminClient, out: &mut Output) -> Result<Exit, Failure> {
    let form = TrustAdd {
        org: args.org.org,
        handle: args.handle,
        client: args.client,
        environment: args.environment,
        preset: args.preset,
        issuer: args.issuer,
        audience: args.audience,
        when: args.when,
        jwks_uri: args.jwks_uri,
        jwks: args.jwks.as_deref().map(read_jwks).transpose()?,
        scopes: args.scopes,
        longest: args.longest,
    };
    show(server.ask("trust.add", &form).await?, out)
}

async fn lint(args: OrgArg, server: &mut AdminClient, out: &mut Output) -> Result<Exit, Failure> {
    let trusts: Vec<TrustShown> =
        server.ask("trust.lint", &ListOf { org: args.org, after: None, limit: None }).await?;
    give_list(out, "hallpass.admin.trusts/1", &trusts, "nothing is wrong with any trust", |trusts| {
        let mut table = Table::new(["TRUST", "", "RULE", "WHAT IS WRONG"]);
        for trust in trusts {
            for finding in &trust.findings {
                table.row([&trust.handle, gravity(finding), &finding.rule, &finding.told]);
            }
        }
        table
    })?;
    Ok(if trusts.is_empty() { Exit::DONE } else { Exit::NO })
}

async fn test(args: TrustTestArgs, server: &mut AdminClient, out: &mut Output) -> Result<Exit, Failure> {
    let token = read_token(&args.token)?;
    let form = TrustTest { org: args.org.org, token: Revealed::new(token), trust: args.trust };
    let tested: TrustTested = server.ask("trust.test", &form).await?;
    let let_in = tested.trusts.iter().any(|trust| trust.lets_in);
    give(out, "hallpass.admin.trust.test/1", &tested, render_test)?;
    Ok(if let_in { Exit::DONE } else { Exit::NO })
}

fn render_test(tested: &TrustTested) -> String {
    if let Some(nobody) = &tested.nobody {
        return format!("not let in: {nobody}");
    }
    let mut text = String::new();
    for trust in &tested.trusts {
        let verdict = if trust.lets_in { "lets it in" } else { "does not let it in" };
        text.push_str(&format!("{} {verdict}\n", trust.trust));
        if let Some(wrong) = &trust.wrong {
            text.push_str(&format!("  no   the token: {wrong}\n"));
        }
        for line in &trust.lines {
            let holds = if line.holds { "yes" } else { "no " };
            let found = line
                .found
                .as_deref()
                .map_or("absent".to_owned(), |found| format!("`{}`", super::plain(found)));
            text.push_str(&match line.holds {
                true => format!("  {holds}  {}: {found}\n", line.claim),
                false => format!("  {holds}  {}: {found}, and not `{}`\n", line.claim, line.wanted),
            });
        }
    }
    text
}

/// Reads a token that somebody wants to be told about. Never on the command line: it opens doors while it is good.
fn read_token(file: &Path) -> Result<Zeroizing<String>, Failure> {
    use std::io::Read;
    let cannot = |cause: &dyn std::fmt::Display| {
        Failure::usage(format_args!("cannot read a token from `{}`: {cause}", file.display()))
    };
    let mut text = Zeroizing::new(String::new());
    let most = OUTSIDE_TOKEN_LEN_MAX as u64 + 2;
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().take(most).read_to_string(&mut text),
        false => std::fs::File::open(file).and_then(|file| file.take(most).read_to_string(&mut text)),
    };
    read.map_err(|error| cannot(&error))?;
    match text.trim().is_empty() {
        true => Err(cannot(&"it is empty")),
        false => Ok(text),
    }
}

fn gravity(finding: &Finding) -> &'static str {
    match finding.gravity {
        Gravity::Refused => "refused",
        Gravity::Warned => "warning",
    }
}

fn table(trusts: &[TrustShown]) -> Table {
    let mut table = Table::new(["HANDLE", "CLIENT", "OWNER", "ENVIRONMENT", "STATE", "ISSUER", "WHEN"]);
    for trust in trusts {
        let when = trust.when.join(" ");
        table.row([
            &trust.handle,
            &trust.client,
            &trust.owner,
            &trust.environment,
            &trust.state,
            &trust.issuer,
            &when,
        ]);
    }
    table
}

fn one(args: HandleArgs) -> OneOf {
    OneOf { org: args.org.org, handle: args.handle }
}

fn show(trust: TrustShown, out: &mut Output) -> Result<Exit, Failure> {
    for finding in &trust.findings {
        out.warn(format_args!("{}: {}", finding.rule, finding.told));
        out.tell(format_args!("hint: {}", finding.hint));
    }
    give(out, "hallpass.admin.trust/1", &trust, |trust| {
        facts([
            ("trust", trust.handle.clone()),
            ("id", trust.id.clone()),
            ("lets in as", trust.client.clone()),
            ("owner", trust.owner.clone()),
            ("environment", trust.environment.clone()),
            ("state", trust.state.clone()),
            ("issuer", format!("{} ({})", trust.issuer, trust.preset)),
            ("audience", trust.audience.clone()),
            ("when", trust.when.join(" ")),
            ("keys", trust.keys.clone()),
            ("scopes", trust.scopes.join(" ")),
            ("longest", trust.longest.to_string()),
            ("added", trust.created.clone()),
        ])
    })
}
