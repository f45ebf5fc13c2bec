//! What an operator can do: look at clients, certificates, keys and phases, and change them.
//!
//! Each operation has a file with `Args` and `run`. The command line and the admin API are two ways
//! to the same operation: what one can do, the other can.

mod answers;
pub(crate) mod audit;
mod bar;
pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod csv;
pub(crate) mod doctor;
pub(crate) mod explain;
mod folder;
mod history;
mod kept;
pub(crate) mod key;
pub(crate) mod letter;
mod offered;
mod operator;
mod out;
mod page;
pub(crate) mod paint;
pub(crate) mod phase;
pub(crate) mod progress;
pub(crate) mod records;
pub(crate) mod replica;
pub(crate) mod status;
pub(crate) mod table;
mod traffic;
pub(crate) mod view;
pub(crate) mod webhook;
pub(crate) mod what_if;
mod words;

pub(crate) use answers::{Answer, generator, join_lines, of};
pub(crate) use bar::Bar;
pub(crate) use kept::Kept;
pub use offered::Role;
pub(crate) use offered::{OFFERED, Offered};
pub(crate) use operator::{Did, Edit, Operator, Settings, open_store, read_certificate};
pub(crate) use out::Told;
pub use out::{Failure, Out, Output};
pub(crate) use words::{Parameter, Takes, Typed, typed};

/// One of them, with what it is asked.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Operation {
    #[command(subcommand)]
    Audit(audit::Command),
    #[command(subcommand)]
    Certificate(certificate::Command),
    #[command(subcommand)]
    Client(client::Command),
    Doctor(doctor::Args),
    Explain(explain::Args),
    #[command(subcommand)]
    Key(key::Command),
    Letter(letter::Args),
    #[command(subcommand)]
    Phase(phase::Command),
    #[command(subcommand)]
    Replica(replica::Command),
    Status(status::Args),
    #[command(subcommand)]
    Webhook(webhook::Command),
    WhatIf(what_if::Args),
}

impl Operation {
    /// Does it. Gives the status with which a command ends that does it.
    ///
    /// # Errors
    ///
    /// [`Failure`]; what was printed until then holds.
    pub(crate) async fn run(self, operator: &Operator, out: &mut Out) -> Result<u8, Failure> {
        match self {
            Self::Audit(command) => return command.run(operator, out).await,
            Self::Certificate(command) => command.run(operator, out).await?,
            Self::Client(command) => command.run(operator, out).await?,
            Self::Doctor(args) => return doctor::run(&args, operator, out).await,
            Self::Explain(args) => return explain::run(&args, operator, out),
            Self::Key(command) => command.run(operator, out).await?,
            Self::Letter(args) => letter::run(&args, operator, out).await?,
            Self::Phase(command) => command.run(operator, out).await?,
            Self::Replica(command) => command.run(operator, out).await?,
            Self::Status(args) => status::run(&args, operator, out).await?,
            Self::Webhook(command) => return command.run(operator, out).await,
            Self::WhatIf(args) => what_if::run(&args, operator, out).await?,
        }
        Ok(0)
    }
}
