//! What commands print, and how they fail.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anstream::adapter::strip_str;
use anstream::{stderr, stdout};
use serde::{Deserialize, Serialize};

use super::paint;
use crate::config::Problems;
use crate::secret::Secret;

/// The form in which data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document.
    Json,
}

/// Standard output. A reader that has seen enough and left (`keyferry … | head`) is no error.
#[derive(Debug)]
pub struct Out {
    output: Output,
    /// What is printed later, if it is.
    held: Option<Vec<Piece>>,
}

/// A line, and where it goes.
#[derive(Debug)]
enum Piece {
    Line(String),
    Note(String),
    Secret { text: Secret<String>, lost: String },
}

/// What was printed, for whoever asked from elsewhere and prints it there.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// On standard output.
    Line(String),
    /// On standard error.
    Note(String),
    /// On standard output, and what to do when it is lost.
    Secret {
        /// The text, which is shown once.
        text: String,
        /// What to do.
        lost: String,
    },
}

impl Out {
    pub(crate) const fn new(output: Output) -> Self {
        Self { output, held: None }
    }

    /// Keeps what is printed from now on until [`Self::release`].
    pub(crate) fn hold(&mut self) {
        self.held = Some(Vec::new());
    }

    /// Prints what was kept, in the order in which it came.
    pub(crate) fn release(&mut self) -> Result<(), Failure> {
        for piece in self.held.take().unwrap_or_default() {
            self.piece(piece)?;
        }
        Ok(())
    }

    /// What was kept, to be printed elsewhere, secrets in the clear. Without colours: nobody here knows
    /// whether they are wanted there.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        let held = self.held.take().unwrap_or_default().into_iter();
        held.map(|piece| match piece {
            Piece::Line(text) => Told::Line(strip_str(&text).to_string()),
            Piece::Note(text) => Told::Note(strip_str(&text).to_string()),
            Piece::Secret { text, lost } => Told::Secret {
                text: text.expose().clone(),
                lost,
            },
        })
        .collect()
    }

    /// Prints what was told elsewhere.
    pub(crate) fn tell(&mut self, told: Vec<Told>) -> Result<(), Failure> {
        told.into_iter().try_for_each(|one| {
            self.piece(match one {
                Told::Line(text) => Piece::Line(text),
                Told::Note(text) => Piece::Note(text),
                Told::Secret { text, lost } => Piece::Secret {
                    text: Secret::new(text),
                    lost,
                },
            })
        })
    }

    fn piece(&mut self, piece: Piece) -> Result<(), Failure> {
        if let Some(held) = &mut self.held {
            held.push(piece);
            return Ok(());
        }
        match piece {
            Piece::Line(text) => Ok(quiet(print(&text))?),
            Piece::Secret { text, lost } => print(text.expose()).map_err(|error| {
                Failure::Internal(anyhow::anyhow!("it cannot be printed ({error}); {lost}"))
            }),
            Piece::Note(text) => {
                // There is nobody left to tell when this fails.
                let _ = writeln!(stderr().lock(), "{text}");
                Ok(())
            }
        }
    }

    /// Whether programs read along: print one JSON document and nothing else.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Prints a line.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written to.
    pub fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        self.piece(Piece::Line(text.to_string()))
    }

    /// Prints what is shown only once. Here a reader that has left is an error too, which goes on
    /// with `lost`: what to do when nobody has seen it.
    ///
    /// # Errors
    ///
    /// [`Failure::Internal`] when standard output cannot be written to.
    pub fn secret(&mut self, text: Secret<String>, lost: String) -> Result<(), Failure> {
        self.piece(Piece::Secret { text, lost })
    }

    /// Prints `value` as one JSON document.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written to, or the value has no form in JSON.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
        self.line(text)
    }

    /// Prints `data` as JSON to a program, and `text` to people.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written to, or the value has no form in JSON.
    pub fn show(&mut self, data: &impl Serialize, text: impl Display) -> Result<(), Failure> {
        if self.is_json() {
            self.json(data)
        } else {
            self.line(text)
        }
    }

    /// Prints a line beside the output, on standard error: for hints that are no data.
    pub fn note(&mut self, text: impl Display) {
        // A note that is lost is no failure.
        let _ = self.piece(Piece::Note(text.to_string()));
    }

    /// Says on standard error why a command failed.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        let text = match (failure, self.is_json()) {
            (Failure::Config(problems), true) => {
                let problems: Vec<_> = problems.iter().collect();
                serde_json::json!({ "error": "configuration", "problems": problems }).to_string()
            }
            (Failure::Config(problems), false) => problems.to_string(),
            (failure, true) => serde_json::json!({ "error": failure.to_string() }).to_string(),
            (failure, false) => format!("{} {failure}", paint::bad("keyferry:")),
        };
        self.note(text);
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut output = stdout().lock();
    writeln!(output, "{text}")?;
    output.flush()
}

fn quiet(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Why a command came to nothing. Each kind has its exit status (sysexits.h).
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What the store holds does not allow it, or there is no such thing: 1.
    #[error("{0}")]
    Refused(String),
    /// It was done, and a failover could undo it: 3.
    #[error(
        "the change stands, but no replica has it, and a failover now would undo it; see that a \
         replica is connected and keeps up, and after a failover look whether it still stands"
    )]
    NotReplicated,
    /// It was called in a way that makes no sense: 64.
    #[error("{0}")]
    Usage(String),
    /// A file that was named holds something else than it should: 65.
    #[error("{0}")]
    Data(String),
    /// Something that it needs does not answer, such as the store: 69.
    #[error("{0:#}")]
    Unavailable(anyhow::Error),
    /// Everything else: 70.
    #[error("{0:#}")]
    Internal(anyhow::Error),
    /// The configuration is wrong: 78.
    #[error("{0}")]
    Config(#[from] Problems),
}

impl Failure {
    /// The status that the program ends with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status())
    }

    /// The same as a number.
    pub(crate) const fn status(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::NotReplicated => 3,
            Self::Usage(_) => 64,
            Self::Data(_) => 65,
            Self::Unavailable(_) => 69,
            Self::Internal(_) => 70,
            Self::Config(_) => 78,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Internal(error.into())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_waits_in_its_order() {
        let mut out = Out::new(Output::Text);
        out.hold();
        out.note("first");
        out.line("second").unwrap();
        let held = out.held.take().unwrap();
        assert!(matches!(
            &held[..],
            [Piece::Note(first), Piece::Line(second)] if first == "first" && second == "second"
        ));
    }
}
