//! Colours for people. Text has them as ANSI escape sequences; where it is printed they are taken away, unless
//! that is a terminal and `NO_COLOR` is not set (<https://no-color.org>).

use std::fmt::Display;

use clap::builder::styling::{AnsiColor, Style};

/// What stands above, or before, what one reads.
pub(crate) fn heading(text: impl Display) -> String {
    painted(Style::new().bold(), text)
}

/// As it should be.
pub(crate) fn good(text: impl Display) -> String {
    painted(AnsiColor::Green.on_default(), text)
}

/// What one should look at.
pub(crate) fn warning(text: impl Display) -> String {
    painted(AnsiColor::Yellow.on_default(), text)
}

/// What has to be mended, or came to nothing.
pub(crate) fn bad(text: impl Display) -> String {
    painted(AnsiColor::Red.on_default().bold(), text)
}

fn painted(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
