//! How far a long command is: a bar on standard error, where that is a terminal.

use std::io::{Read, Write};

use indicatif::{ProgressBar, ProgressStyle};

/// What is done, and how much of it. It is gone when dropped.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Nothing of `total` is done yet.
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        Self::styled(
            ProgressBar::new(total),
            what,
            "{msg} {wide_bar} {percent}% {eta}",
        )
    }

    /// The same where nobody knows how much there is.
    pub(crate) fn without_total(what: &'static str) -> Self {
        Self::styled(
            ProgressBar::no_length(),
            what,
            "{msg} {human_pos} {elapsed}",
        )
    }

    /// The same of bytes.
    pub(crate) fn of_bytes(what: &'static str) -> Self {
        Self::styled(ProgressBar::no_length(), what, "{msg} {bytes} {elapsed}")
    }

    /// One that nobody sees.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    fn styled(bar: ProgressBar, what: &'static str, template: &str) -> Self {
        // A template that cannot be read leaves the library's own.
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        Self(bar)
    }

    /// So much more is done.
    pub(crate) fn advance(&self, by: u64) {
        self.0.inc(by);
    }

    /// Advances by what is read.
    pub(crate) fn reading(&self, from: impl Read) -> impl Read {
        self.0.wrap_read(from)
    }

    /// Advances by what is written.
    pub(crate) fn writing<W: Write + Send>(&self, to: W) -> impl Write + Send {
        self.0.wrap_write(to)
    }

    /// All of it up to there is done.
    pub(crate) fn reach(&self, position: u64) {
        self.0.set_position(position);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
