//! Commands that give one certificate or several to clients, each by a change of its own.

use serde::Serialize;

use super::{Report, show_given};
use crate::operation::view::CertificateView;
use crate::operation::{Bar, Did, Failure, Operator, Out};

/// What `--output json` prints of several.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct All<'a> {
    certificates: Vec<Report<'a>>,
    refused: Vec<Refused<'a>>,
}

/// A certificate that stays as it was, by the name that the operator gave it, and why.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RefusedCertificate")]
struct Refused<'a> {
    named: &'a str,
    why: String,
}

/// Gives each certificate that is named by `give`. One alone is refused like any command; of
/// several, the others are given all the same.
pub(super) async fn give_each(
    named: &[String],
    operator: &Operator,
    out: &mut Out,
    give: impl AsyncFn(&str) -> Result<(Did, CertificateView), Failure>,
) -> Result<(), Failure> {
    if let [one] = named {
        let (did, certificate) = give(one).await?;
        return show_given(did, &certificate, operator, out);
    }
    let (mut given, mut refused, mut failure) = (Vec::new(), Vec::new(), None);
    let bar = operator.bar(|| Bar::new("certificates", named.len() as u64));
    for named in named {
        match give(named).await {
            Ok(one) => given.push(one),
            Err(Failure::Refused(why) | Failure::Usage(why)) => {
                refused.push(Refused { named, why });
            }
            Err(other) => {
                failure = Some(other);
                break;
            }
        }
        bar.advance(1);
    }
    drop(bar);
    let (count, not) = (given.len(), refused.len());
    show(&given, refused, operator, out)?;
    match failure {
        Some(failure) => Err(failure),
        None if not == 0 => Ok(()),
        None => Err(Failure::Refused(format!(
            "{not} of the certificates were not given, and {count} were; put that right and run it \
             again"
        ))),
    }
}

fn show(
    given: &[(Did, CertificateView)],
    refused: Vec<Refused<'_>>,
    operator: &Operator,
    out: &mut Out,
) -> Result<(), Failure> {
    if out.is_json() {
        let given = given.iter();
        let certificates = given.map(|(did, certificate)| Report {
            did: *did,
            certificate,
        });
        return out.json(&All {
            certificates: certificates.collect(),
            refused,
        });
    }
    for (did, certificate) in given {
        show_given(*did, certificate, operator, out)?;
    }
    for one in refused {
        out.note(format!("{} was not given: {}", one.named, one.why));
    }
    Ok(())
}
