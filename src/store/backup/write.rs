//! Writing a backup, line by line.

use std::io::{self, Write};

use hmac::{Hmac, Mac as _};
use serde::Serialize;
use sha2::Sha256;

use super::{END, FORM, Header, Line, Secrets};
use crate::clock::Timestamp;
use crate::store::Head;

/// A backup that is being written.
pub struct Writer<W> {
    to: W,
    mac: Hmac<Sha256>,
    lines: u64,
}

impl<W: Write> Writer<W> {
    /// Begins the backup of `store`, which stands at `head`.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn begin(
        to: W,
        store: String,
        head: Head,
        at: Timestamp,
        secrets: &Secrets<'_>,
    ) -> io::Result<Self> {
        let key = secrets.current();
        let mac = secrets.mac(key).ok_or_else(|| io::Error::other("no key"))?;
        let mut writer = Self { to, mac, lines: 0 };
        writer.write(&Header {
            keyferry_backup: FORM,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            at,
            store,
            head,
            key,
            peppers: secrets.checks(),
        })?;
        Ok(writer)
    }

    /// Writes a line.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn line(&mut self, line: &Line) -> io::Result<()> {
        self.write(line)
    }

    fn write(&mut self, what: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        self.mac.update(&line);
        self.lines = self.lines.saturating_add(1);
        self.to.write_all(&line)
    }

    /// Writes the last line; gives back what was written to.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn end(mut self) -> io::Result<W> {
        let end = format!("{END}{},", self.lines);
        self.mac.update(end.as_bytes());
        let mac = hex::encode(self.mac.finalize().into_bytes());
        writeln!(self.to, "{end}\"mac\":\"{mac}\"}}")?;
        self.to.flush()?;
        Ok(self.to)
    }
}
