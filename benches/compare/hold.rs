//! Connections that do nothing: opened one after the other, held until standard input ends.

use std::fs;
use std::io::{self, Read as _, Write as _};

use anyhow::Result;

use super::client::{Client, Kind};
use super::load;
use super::seed;

/// Open connections, make one request on each, and hold them; prints a line when all are open
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    kind: Kind,
    /// How many
    #[arg(long)]
    connections: usize,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let list = fs::read_to_string(args.kind.folder.join(&args.kind.keys))?;
    let keys: Vec<&str> = load::keys(&list).collect();
    // As many as there are certificates; each opens its share of the connections.
    let of = seed::P256.len();
    let mut clients = (0..of)
        .map(|number| Client::new(&args.kind, number, of, &keys))
        .collect::<Result<Vec<_>>>()?;
    let mut held = Vec::with_capacity(args.connections);
    while held.len() < args.connections {
        let left = args.connections.saturating_sub(held.len());
        for client in clients.iter_mut().take(left) {
            client.request()?;
            held.push(client.leave());
        }
    }
    writeln!(io::stdout(), "{}", held.iter().flatten().count())?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
