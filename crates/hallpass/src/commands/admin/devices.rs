//! `hallpass admin device`.

use clap::Subcommand;

use super::table::Table;
use super::{HandleArgs, give_list};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{DeviceShown, OneOf};

/// List the machines that sessions live on
#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    /// List a person's machines, as they described themselves
    List(HandleArgs),
}

pub(super) async fn run(
    command: DeviceCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let DeviceCommand::List(args) = command;
    let form = OneOf { org: args.org.org, handle: args.handle };
    let devices: Vec<DeviceShown> = server.ask("device.list", &form).await?;
    give_list(out, "hallpass.admin.devices/1", &devices, "no device yet", |devices| {
        let mut table = Table::new(["DEVICE", "NAME", "CLASS", "FIRST SEEN", "LAST SEEN"]);
        for device in devices {
            table.row([&device.id, &device.name, &device.class, &device.created, &device.seen]);
        }
        table
    })
}
