//! `keyferry failures`: who cannot connect, why, and what to do.

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;

use super::ask::ask;
use super::{Failure, Globals, Out};
use crate::admin::handshakes::{Line, Report};
use crate::clock::{self, Timestamp};
use crate::door;
use crate::operation::table::{count, relative, table};
use crate::tls;

/// Show which TLS handshakes failed at the running gateway, why, and what to do
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only those that failed for this reason
    #[arg(long, value_parser = PossibleValuesParser::new(door::Failure::ALL.map(door::Failure::as_str)))]
    reason: Option<String>,
    /// Only those from this IP address
    #[arg(long, value_name = "IP")]
    address: Option<String>,
}

pub(super) fn run(args: &Args, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    let query = [
        ("reason", args.reason.as_deref()),
        ("address", args.address.as_deref()),
    ];
    let answer = ask(globals, "/handshakes", &query)?;
    if out.is_json() {
        out.json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let report: Report = serde_json::from_value(answer)
        .map_err(|error| anyhow::anyhow!("{error}; is the gateway of another version?"))?;
    let now = clock::now();
    if report.reasons.is_empty() {
        let since = relative(report.since, now);
        out.note(format!(
            "no such handshake since the gateway started, {since}"
        ));
    } else {
        out.line(text(&report, now))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(report: &Report, now: Timestamp) -> String {
    let header = ["reason", "address", "count", "since", "last", "detail"];
    let row = |line: &Line| {
        [
            line.reason.clone(),
            line.address.clone(),
            count(line.count),
            relative(line.first, now),
            relative(line.last, now),
            detail(line),
        ]
    };
    let explained = report.reasons.iter().map(|reason| {
        let (name, all) = (&reason.reason, count(reason.count));
        let (meaning, remedy) = (&reason.meaning, &reason.remedy);
        format!("{name} ({all} since the gateway started): {meaning}.\n  {remedy}.")
    });
    let failures = table(header, report.failures.iter().map(row));
    let parts: Vec<_> = [failures].into_iter().chain(explained).collect();
    parts.join("\n\n")
}

/// What tells one failure from another: the library's reason, the name that was asked for, and what was
/// offered where that is the problem.
fn detail(line: &Line) -> String {
    let reason = tls::reason(&line.openssl);
    let mut parts: Vec<_> = reason.map(str::to_owned).into_iter().collect();
    let name = line.offer.server_name.as_deref();
    parts.extend(name.map(|name| format!("for {name}")));
    let tls = line.offer.tls.as_deref();
    let old = tls.filter(|_| line.reason == door::Failure::VersionTooOld.as_str());
    parts.extend(old.map(|tls| format!("offers TLS {tls}")));
    if line.reason == door::Failure::NoSharedCipher.as_str() {
        parts.push(format!("offers {}", line.offer.ciphers.join(" ")));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::handshakes::Reason;
    use crate::door::Offer;

    #[test]
    fn who_fails_why_and_what_to_do_is_told() {
        let report = Report {
            since: Timestamp::from_unix(0),
            reasons: vec![Reason {
                reason: "no_shared_cipher".to_owned(),
                count: 1_004,
                meaning: "nothing in common".to_owned(),
                remedy: "update it".to_owned(),
            }],
            failures: vec![Line {
                reason: "no_shared_cipher".to_owned(),
                address: "192.0.2.7".to_owned(),
                count: 4,
                first: Timestamp::from_unix(400),
                last: Timestamp::from_unix(970),
                openssl: if cfg!(feature = "boringssl") {
                    "no shared cipher".to_owned()
                } else {
                    "error:0A0000C1:SSL routines:tls_x:no shared cipher:ssl/x.c:1:".to_owned()
                },
                offer: Offer {
                    server_name: Some("api\u{1b}[2J".to_owned()),
                    ciphers: vec!["0x002F".to_owned()],
                    ..Offer::default()
                },
            }],
        };
        let told = text(&report, Timestamp::from_unix(1000));
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(
            lines,
            [
                "reason            address    count  since       last      detail",
                "no_shared_cipher  192.0.2.7  4      10 min ago  30 s ago  no shared cipher, for api\u{fffd}[2J, offers 0x002F",
                "",
                "no_shared_cipher (1,004 since the gateway started): nothing in common.",
                "  update it.",
            ]
        );
    }
}
