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
    // As many clients as there are certificates; each keeps its share of the connections.
    let of = seed::P256.len();
    let mut kind = args.kind.clone();
    kind.each = args.connections.div_ceil(of);
    let mut clients = (0..of)
        .map(|number| Client::new(&kind, number, of, &keys))
        .collect::<Result<Vec<_>>>()?;
    for number in (0..of).cycle().take(args.connections) {
        if let Some(client) = clients.get_mut(number) {
            client.request()?;
        }
    }
    let open: usize = clients.iter().map(Client::open).sum();
    writeln!(io::stdout(), "{open}")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
