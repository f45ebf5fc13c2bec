//! How far a long command is: a bar on standard error, where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// What is done, and how much of it. It is gone when dropped.
#[derive(Debug)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// Nothing of `total` is done yet.
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        let bar = ProgressBar::new(total);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}");
        // A template that cannot be read leaves the library's own.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        Self(bar)
    }

    /// So much more is done.
    pub(super) fn advance(&self, by: usize) {
        self.0.inc(by as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
