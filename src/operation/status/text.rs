//! `status` for people.

use super::chart::bars;
use super::report::{InForce, Report};
use crate::clock::Timestamp;
use crate::foresight::Forecast;
use crate::operation::paint::heading;
use crate::operation::table::{count, number, relative};
use crate::operation::traffic::{Traffic, percent};

pub(super) fn of(report: &Report, now: Timestamp) -> String {
    let stages = report.clients.by_stage.iter();
    let stages: Vec<_> = stages
        .map(|(stage, count)| format!("{} {}", stage.as_str(), number(*count)))
        .collect();
    let mut lines = vec![
        line("clients", &number(report.clients.total), &stages),
        traffic("today", &report.traffic.today),
        traffic("7 days", &report.traffic.last_7_days),
        certificates(report),
        cliff(report),
        keys(report),
    ];
    lines.push(attention(report));
    lines.push(refused(report));
    lines.extend(report.phases.iter().map(|phase| in_force(phase, now)));
    lines.extend(debt(report));
    if report.certificates.pending > 0 {
        lines.push(line(
            "pending",
            &number(report.certificates.pending),
            &["certificates wait for your word: keyferry certificate list --pending".to_owned()],
        ));
    }
    lines.push(String::new());
    lines.push(heading(
        "clients that call by certificate and have not moved:",
    ));
    lines.extend(bars(&report.burndown));
    lines.push(forecast(&report.forecast));
    lines.push(String::new());
    lines.push(format!("store: {}, change {}", report.store, report.epoch));
    lines.join("\n")
}

fn line(name: &str, number: &str, parts: &[String]) -> String {
    let name = heading(format_args!("{name:<13}"));
    format!("{name}{number:>9}   {}", parts.join(" · "))
}

fn traffic(when: &str, traffic: &Traffic) -> String {
    let counts = traffic.counts;
    let served = counts.by_certificate.saturating_add(counts.by_key);
    line(
        &format!("{when:<12}"),
        &count(served),
        &[
            format!(
                "by certificate {} ({})",
                percent(traffic.certificate_share),
                count(counts.by_certificate)
            ),
            format!("by key {}", count(counts.by_key)),
            format!("refused to known clients {}", count(counts.refused)),
        ],
    )
}

fn certificates(report: &Report) -> String {
    let certificates = &report.certificates;
    let mut parts = vec![
        format!("expired {}", number(certificates.expired)),
        format!(
            "expiring within 30 days {} ({} of them within 7 days)",
            number(certificates.expiring_within_30_days),
            number(certificates.expiring_within_7_days)
        ),
    ];
    if certificates.expiry_unknown > 0 {
        let unknown = number(certificates.expiry_unknown);
        parts.push(format!("expiry unknown {unknown}"));
    }
    line("certificates", &number(certificates.mapped), &parts)
}

/// When clients that have not moved lose their last certificate.
fn cliff(report: &Report) -> String {
    let cliff = &report.expiry_cliff;
    let mut parts = vec![format!("ended already {}", number(cliff.ended))];
    for (days, count) in [
        (3, cliff.within_3_days),
        (7, cliff.within_7_days),
        (30, cliff.within_30_days),
        (90, cliff.within_90_days),
    ] {
        parts.push(format!("within {days} days {}", number(count)));
    }
    if let Some(day) = cliff.worst_day {
        let count = number(cliff.on_worst_day);
        parts.push(format!("most on one day: {count} on {day}"));
    }
    let all = cliff.ended.saturating_add(cliff.within_90_days);
    line("last expiries", &number(all), &parts)
}

fn keys(report: &Report) -> String {
    let never_used = format!("never used {}", number(report.keys.never_used));
    line("keys", &number(report.keys.issued), &[never_used])
}

fn attention(report: &Report) -> String {
    let flags = report.flags.iter();
    let parts: Vec<_> = flags
        .map(|(flag, count)| format!("{} {}", flag.as_str(), number(*count)))
        .collect();
    let hint = "keyferry client list --flag".to_owned();
    line("attention", "", &[parts, vec![hint]].concat())
}

fn refused(report: &Report) -> String {
    let refused = &report.refused_today;
    let reasons = refused.by_reason.iter();
    let mut parts: Vec<_> = reasons
        .map(|(reason, count)| format!("{reason} {}", number(*count)))
        .collect();
    parts.push("known clients only".to_owned());
    parts.push("handshakes that failed: keyferry failures".to_owned());
    line("refused today", &number(refused.clients), &parts)
}

fn in_force(phase: &InForce, now: Timestamp) -> String {
    let since = phase.since.map(|since| relative(since, now));
    let sunset = phase.sunset.map(|sunset| format!("until {sunset}"));
    let parts = [
        Some(format!("{} {}", phase.target, phase.phase.as_str())),
        since.map(|since| format!("since {since}")),
        sunset,
    ];
    line(
        "phase",
        "",
        &parts.into_iter().flatten().collect::<Vec<_>>(),
    )
}

/// What is owed, while something is.
fn debt(report: &Report) -> Option<String> {
    let debt = &report.debt;
    let parts = [
        format!("get an old proxy's headers: {}", debt.backends.join(", ")),
        format!(
            "clients with a key that depend on it {}",
            number(debt.clients)
        ),
        format!("that get none {}", number(debt.clients_not_served)),
    ];
    let is_owed = !debt.backends.is_empty();
    is_owed.then(|| line("debt", &number(debt.backends.len()), &parts))
}

fn forecast(forecast: &Forecast) -> String {
    match forecast {
        Forecast::Done => "none remains".to_owned(),
        Forecast::Between { earliest, latest } if earliest == latest => {
            format!("forecast: none remains about {earliest}, at the pace of the last four weeks")
        }
        Forecast::Between { earliest, latest } => format!(
            "forecast: none remains between {earliest} and {latest}, at the pace of the last two \
             and four weeks"
        ),
        Forecast::None { because } => format!("no forecast: {}", because.as_str()),
    }
}
