//! `keyferry explain`: what would become of a certificate, and why.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueHint;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{Failure, Operator, Out};
use crate::certificate::{
    self, Ca, Chain, Explanation, Lineage, ListFile, NotUsable, Trust, TrustError, Verifier,
};
use crate::clock::{self, Timestamp};
use crate::config::{Config, Lists, Problems};

/// How many intermediates `--ca` lets through; the same as the configuration's default.
const DEPTH: u32 = 4;
/// No file of certificates is larger, and none of lists.
const LARGEST: u64 = 16 << 20;
const LARGEST_LIST: u64 = 256 << 20;

/// Explain a certificate: every check, the verdict as in a live handshake, and what to do
///
/// Reads PEM and DER. The first certificate of the first file is the client's; all others are what
/// it would send along. Exit status: 0 verified, 1 rejected, 65 a file that cannot be read as what
/// it should be.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Trust these authorities, without exceptions [default: those of the configuration, with
    /// theirs]
    #[arg(long, value_name = "BUNDLE")]
    ca: Option<PathBuf>,
    /// Ask this revocation list; repeat it for more. With any, everything of the chain must be
    /// clear by a list that holds [default: those of the configuration]
    #[arg(long = "crl", value_name = "FILE")]
    lists: Vec<PathBuf>,
    /// Judge by this moment: 2026-11-23T14:44:00Z, or a day [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
    /// What the certificate is to be used for
    #[arg(long, value_enum, default_value_t)]
    purpose: Purpose,
    /// The files: the client's certificate first, then its intermediates
    #[arg(required = true, value_name = "CERT", value_hint = ValueHint::FilePath)]
    certificates: Vec<PathBuf>,
}

/// What a certificate can be used for here.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Purpose {
    /// To be presented by a TLS client.
    #[default]
    Client,
}

/// What `--output json` prints.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    next_step: &'a str,
}

/// Explains it by what the gateway trusts that is asked.
pub(super) fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<u8, Failure> {
    let verifier = operator.settings.verifier.as_ref();
    let verifier = verifier.ok_or_else(|| anyhow::anyhow!("nobody is trusted here"))?;
    let read = |file: &Path| {
        let contents = operator
            .contents(file)
            .map_err(|error| unreadable(file, &error))?;
        certificate::certificates(&contents)
            .map_err(|error| Failure::Data(format!("{}: {error}", operator.called(file))))
    };
    args.explain(verifier, read, out)
}

impl Args {
    /// Explains it by files of this machine. The configuration is needed where no authority is named.
    pub(crate) fn here(
        &self,
        config: impl FnOnce() -> Result<Config, Problems>,
        out: &mut Out,
    ) -> Result<u8, Failure> {
        let trust = self.trust(config)?.with_list_files(lists(self)?);
        let read = |file: &Path| read(file, LARGEST, certificate::certificates);
        self.explain(&Verifier::new(trust), read, out)
    }

    fn explain(
        &self,
        verifier: &Verifier,
        read: impl Fn(&Path) -> Result<Vec<Vec<u8>>, Failure>,
        out: &mut Out,
    ) -> Result<u8, Failure> {
        let Purpose::Client = self.purpose;
        let mut sent = Vec::new();
        for file in &self.certificates {
            sent.extend(read(file)?);
        }
        let [leaf, others @ ..] = sent.as_slice() else {
            return Err(Failure::Usage("name a file with a certificate".to_owned()));
        };
        let chain = Chain::from_der(leaf, others);
        let now = self.at.unwrap_or_else(clock::now);
        let explanation = verifier.explain(&chain, Lineage::Unknown, now);
        let next_step = explanation.advice();
        let report = Report {
            explanation: &explanation,
            next_step,
        };
        out.show(
            &report,
            format_args!("{explanation}\nnext step: {next_step}"),
        )?;
        Ok(u8::from(!explanation.is_verified()))
    }

    /// Whom to trust.
    fn trust(&self, config: impl FnOnce() -> Result<Config, Problems>) -> Result<Trust, Failure> {
        let unusable = |error: TrustError| Failure::Data(error.to_string());
        let Some(bundle) = &self.ca else {
            let config = config()?;
            let lists = Lists::read(config.lists.iter().flatten())?;
            return Trust::new(1, lists.fill(config.cas, &config.lists)).map_err(unusable);
        };
        let ca = Ca {
            name: bundle.display().to_string(),
            pem: contents(bundle, LARGEST)?,
            allow_missing_client_auth: false,
            allow_weak: false,
            max_depth: DEPTH,
            ..Ca::default()
        };
        Trust::new(1, vec![ca]).map_err(unusable)
    }
}

/// The revocation lists that were named; they are asked instead of those of the configuration.
fn lists(args: &Args) -> Result<Vec<ListFile>, Failure> {
    let files = args.lists.iter();
    files
        .map(|file| read(file, LARGEST_LIST, ListFile::read))
        .collect()
}

/// What `file` holds, by `parse`.
fn read<T>(
    file: &Path,
    largest: u64,
    parse: impl Fn(&[u8]) -> Result<T, NotUsable>,
) -> Result<T, Failure> {
    parse(&contents(file, largest)?)
        .map_err(|error| Failure::Data(format!("{}: {error}", file.display())))
}

fn contents(file: &Path, largest: u64) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: std::io::Error| unreadable(file, &error);
    if fs::metadata(file).map_err(unreadable)?.len() > largest {
        return Err(Failure::Data(format!(
            "{} is larger than {} MiB; name a file with certificates or lists",
            file.display(),
            largest >> 20
        )));
    }
    fs::read(file).map_err(unreadable)
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("{} cannot be read: {error}", file.display()))
}

/// A moment as people write it.
fn moment(text: &str) -> Result<Timestamp, String> {
    // A date with a time but without an offset would lose its time.
    let day = Some(text).filter(|text| text.len() == "2026-11-23".len());
    let begin = |day: Date| TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok();
    let day = day.and_then(|day| begin(day.parse().ok()?));
    text.parse::<jiff::Timestamp>()
        .ok()
        .or(day)
        .map(|moment| Timestamp::from_unix(moment.as_second()))
        .ok_or_else(|| "write a moment as 2026-11-23T14:44:00Z, or a day as 2026-11-23".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_day_or_exact() {
        let at = |text| moment(text).map(Timestamp::as_unix).ok();
        assert_eq!(at("2026-11-23T07:29:59Z"), Some(1_795_418_999));
        assert_eq!(at("2026-11-23T08:29:59+01:00"), Some(1_795_418_999));
        assert_eq!(at("1970-01-02"), Some(86_400));
        for text in ["tomorrow", "2026-11-23T07:29:59", "2026-02-30", ""] {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
