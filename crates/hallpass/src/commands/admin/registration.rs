//! `hallpass admin client registration`.

use clap::{Args, Subcommand};
use hallpass_model::time::Lifetime;

use super::table::facts;
use super::{OrgArg, give};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{
    InOrg, RegistrationAllow, RegistrationForbidden, RegistrationShown, RegistrationToken,
    RegistrationTokenMade,
};

/// Let programs register themselves as clients (RFC 7591), or no more: none may, unless you say so
///
/// Each needs a token that you make for it. Programs that have an https address of their own need none of this: `client documents`.
#[derive(Debug, Subcommand)]
pub(super) enum RegistrationCommand {
    /// Let them, or say anew what they may ask for; those there are keep no more than that
    #[command(after_help = "\
Examples:
  hallpass admin client registration allow --owner team:platform --scope notes:read --environment dev
  hallpass admin client registration token --uses 5 --ttl 2h")]
    Allow(AllowArgs),
    /// Show what they may ask for, who answers for them, and which there are
    Show(OrgArg),
    /// Make a token to register clients with; an older one is good no more
    ///
    /// The token is shown this once, on standard output.
    Token(TokenArgs),
    /// Let no program register itself from now on; those that did stay, and change nothing any more
    Forbid(OrgArg),
}

#[derive(Debug, Args)]
pub(super) struct AllowArgs {
    /// Who answers for them: `person:HANDLE` or `team:HANDLE`
    #[arg(long, value_name = "OWNER")]
    owner: String,

    /// A scope that they may ask for, beside who the person is
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,

    /// The environment whose resources they may have tokens for, such as `prod`; any if left out
    #[arg(long, value_name = "ENVIRONMENT")]
    environment: Option<String>,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// How many clients it registers; one if left out
    #[arg(long, value_name = "N")]
    uses: Option<u32>,

    /// How long it lives, a week at most; a day if left out
    #[arg(long, value_name = "TIME")]
    ttl: Option<Lifetime>,

    #[command(flatten)]
    org: OrgArg,
}

pub(super) async fn run(
    command: RegistrationCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        RegistrationCommand::Allow(args) => {
            let AllowArgs { owner, scopes, environment, org } = args;
            let form = RegistrationAllow { org: org.org, owner, scopes, environment };
            show(server.ask("client.registration.allow", &form).await?, out)
        }
        RegistrationCommand::Show(args) => {
            show(server.ask("client.registration.show", &InOrg { org: args.org }).await?, out)
        }
        RegistrationCommand::Token(args) => {
            let form = RegistrationToken { org: args.org.org, uses: args.uses, lifetime: args.ttl };
            let made: RegistrationTokenMade = server.ask("client.registration.token", &form).await?;
            out.say(format_args!(
                "registers {} at {} until {}; whoever has it may, so hand it to them alone",
                if made.uses == 1 { "one client".to_owned() } else { format!("{} clients", made.uses) },
                made.endpoint,
                made.expires
            ));
            give(out, "hallpass.admin.registration-token/1", &made, |made| format!("{}\n", made.token.text()))
        }
        RegistrationCommand::Forbid(args) => {
            let form = InOrg { org: args.org };
            let forbidden: RegistrationForbidden = server.ask("client.registration.forbid", &form).await?;
            out.say(format_args!(
                "no program registers itself any more; {} that did stay: `hallpass admin client list` has them, `disable` cuts one",
                forbidden.clients_left
            ));
            give(out, "hallpass.admin.registration-forbidden/1", &forbidden, |_| String::new())
        }
    }
}

fn show(policy: RegistrationShown, out: &mut Output) -> Result<Exit, Failure> {
    give(out, "hallpass.admin.registration/1", &policy, |policy| {
        let token = match (policy.uses, &policy.expires) {
            (Some(uses), Some(expires)) => format!("good for {uses} more, until {expires}"),
            _ => "none is good".to_owned(),
        };
        facts([
            ("endpoint", policy.endpoint.clone()),
            ("owner", policy.owner.clone()),
            ("scopes", policy.scopes.join(" ")),
            ("environment", policy.environment.clone().unwrap_or_else(|| "any".to_owned())),
            ("since", policy.created.clone()),
            ("token", token),
            ("clients", policy.clients.iter().map(|client| &*client.handle).collect::<Vec<_>>().join(" ")),
        ])
    })
}
