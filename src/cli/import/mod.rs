//! `keyferry import`: clients and certificates out of other gateways' files.

mod apply;
mod files;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use super::open::operate;
use super::{Failure, Globals, Out};
use crate::import::{Format, Issued, Plan};
use crate::operation::{Edit, Operator};
use crate::store::{Record, Versioned};
use files::Files;
use report::Report;

/// Take clients over from another gateway: who they are, and by which certificates
///
/// Everything is read first, and compared with what there is: with one line that is not understood, or
/// that must not be taken over, nothing is written, unless you say so. What is there already stays, so
/// that an import which broke off is simply done again. Keys of other gateways are not taken over.
/// docs/IMPORT.md says for each format what is read, and what is refused and why.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What the files are
    #[arg(value_name = "FORMAT")]
    format: Format,
    /// The files; for `pem`, folders as well
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Certificates that there are, in files or folders: subjects, common names and serial numbers are
    /// looked up among them
    #[arg(long, value_name = "FILE")]
    issued: Vec<PathBuf>,
    /// Look them up among the certificates, too, that the store knows as issued by this authority of the
    /// configuration: those that wait for approval are given to the clients that the files name
    #[arg(long, value_name = "CA")]
    known: Option<String>,
    /// Leave out what is refused, ambiguous or not understood, and take over the rest
    #[arg(long)]
    skip_refused: bool,
    #[command(flatten)]
    edit: Edit,
}

pub(super) fn run(args: &Args, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    operate(globals, out, async |operator, out| {
        let report = import(args, operator).await?;
        report.show(out)
    })
}

async fn import(args: &Args, operator: &Operator) -> Result<Report, Failure> {
    let mut issued = files::issued(&args.issued, Issued::new(operator.now))?;
    if let Some(ca) = &args.known {
        take_known(ca, &mut issued, operator).await?;
    }
    let files = Files::of(args.format, &args.files)?;
    let mut plan = Plan::new(issued);
    files.read(args.format, &mut plan)?;
    plan.close();
    let mut meet = |known: Versioned| plan.meet(&known.record);
    operator.each_record(&mut meet).await?;
    plan.settle();
    let may_write = plan.counts().is_clean() || args.skip_refused;
    if may_write && !args.edit.dry_run {
        apply::apply(&plan, args, operator).await?;
    }
    Ok(Report::of(args, &plan, &files, may_write))
}

/// Takes in what the store knows of the authority's certificates.
async fn take_known(ca: &str, issued: &mut Issued, operator: &Operator) -> Result<(), Failure> {
    if !operator
        .settings
        .authorities
        .iter()
        .any(|known| known == ca)
    {
        return Err(Failure::Usage(format!(
            "{ca:?} is no authority of the configuration; name one of [[ca]]"
        )));
    }
    let mut take = |known: Versioned| {
        if let Record::Certificate(record) = &known.record {
            issued.take_known(record, ca);
        }
    };
    operator.each_record(&mut take).await?;
    Ok(())
}
