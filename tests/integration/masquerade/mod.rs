//! Backends that still get the headers of an old proxy (docs/MASQUERADE.md).

mod attacks;
mod proxies;
mod subjects;
mod whole;

use std::net::SocketAddr;

use keyferry::sign::header::is_reserved_everywhere;
use toml::{Table, Value};

use crate::support::backend::Recorded;
use crate::support::gateway::{Builder, Gateway};
use crate::support::world::World;

/// A gateway whose backend `legacy` gets these headers on every path.
fn gateway<'a>(world: &'a World, backend: SocketAddr, headers: &[(&str, &str)]) -> Builder<'a> {
    let names = headers.iter().map(|(name, _)| *name);
    let reserved: Vec<_> = names.filter(|name| !is_reserved_everywhere(name)).collect();
    Gateway::builder(world)
        .set("headers.reserved", reserved)
        .backend_like("legacy", backend, masquerading(headers))
        .route("/", "legacy", "either")
}

/// The setting of a backend that gets these headers.
fn masquerading(headers: &[(&str, &str)]) -> Table {
    let header = |(header, value): &(&str, &str)| {
        let mut table = Table::new();
        table.insert("header".to_owned(), (*header).into());
        table.insert("value".to_owned(), (*value).into());
        Value::Table(table)
    };
    let mut settings = Table::new();
    let headers = headers.iter().map(header).collect();
    settings.insert("masquerade".to_owned(), Value::Array(headers));
    settings
}

/// From now on the first backend of this gateway gets these headers.
fn tell(gateway: &Gateway, headers: &[(&str, &str)]) {
    let config = std::fs::read_to_string(gateway.config_file()).unwrap();
    let mut config: Table = config.parse().unwrap();
    let backend = config["backend"][0].as_table_mut().unwrap();
    backend.extend(masquerading(headers));
    std::fs::write(gateway.config_file(), config.to_string()).unwrap();
    gateway.cli(&["reload"]).expect_success();
}

/// The values of the header, to the byte.
fn told(request: &Recorded, name: &str) -> Vec<Vec<u8>> {
    let begin = format!("{}:", name.to_ascii_lowercase());
    let lines = request.head.split(|byte| *byte == b'\n');
    let is_it = |line: &&[u8]| {
        let start = line.get(..begin.len()).unwrap_or_default();
        start.eq_ignore_ascii_case(begin.as_bytes())
    };
    let value = |line: &[u8]| line[begin.len()..].trim_ascii().to_vec();
    lines.filter(is_it).map(value).collect()
}
