//! What the directory costs: memory and time to load, look-ups, and a day of changes.
//!
//! `cargo bench --bench directory -- 1000000`, and the same with `redis` for loading them from a
//! Redis; docs/RELIABILITY.md says what the figures mean.

#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "a tool that measures, prints, and fails loudly"
)]

mod identities;
mod redis;

use std::hint::black_box;

use identities::{Identity, NOW, Writer, resident};
use keyferry::directory::View;

/// How many identities are asked for in turn.
const SAMPLE: u32 = 50_000;
const LOOK_UPS: u32 = 1_000_000;
/// Of so many clients one is renewed a day, and one more is new.
const ONE_IN: u32 = 10;
const DAYS: u32 = 3;

fn main() {
    // Cargo adds words of its own.
    let asked = std::env::args().find_map(|text| text.parse().ok());
    let many: u32 = asked.unwrap_or(100_000);
    if std::env::args().any(|text| text == "redis") {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(redis::load(many));
    }
    let few = nanoseconds(&load(1000).0, 1000);
    let (view, mut writer) = load(many);
    let ratio = nanoseconds(&view, many) / few;
    println!("look-ups: {ratio:.2} times as long as among 1000");

    view.share();
    counted(&view);
    for day in 1..=DAYS {
        let (before, begun) = (resident(), cpu());
        let changed = many / ONE_IN;
        for number in 0..changed {
            writer.renew(&view, number * ONE_IN, day);
            writer.enrol(&view, many + day * changed + number);
        }
        told(
            "a day's changes, each a renewal or a new client",
            2 * changed,
            before,
        );
        println!("  in {:.1} s", cpu() - begun);
    }

    let before = resident();
    for number in 0..many {
        writer.twin(&view, Identity::new(number, 0).certificate);
    }
    told("twins of ECDSA certificates", many, before);
}

fn load(number: u32) -> (View, Writer) {
    let (before, begun) = (resident(), cpu());
    let (view, mut writer) = (View::default(), Writer::new());
    writer.load(&view, number);
    told("identities", number, before);
    println!("  in {:.1} s", cpu() - begun);
    (view, writer)
}

fn told(what: &str, number: u32, before: usize) {
    let grown = resident().saturating_sub(before);
    let each = grown as f64 / f64::from(number);
    println!("{number} {what}: {} MB, {each:.0} bytes each", grown >> 20);
}

/// What it takes to go over all clients, as counting their stages does.
fn counted(view: &View) {
    let (begun, mut with_key) = (cpu(), 0u32);
    view.clients(NOW, |_, _, has_key, _| with_key += u32::from(has_key));
    println!("{with_key} clients counted in {:.2} s", cpu() - begun);
}

/// The CPU time of this thread so far, in seconds: other work on the machine does not count.
fn cpu() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds: u64 = schedstat.split(' ').next().unwrap().parse().unwrap();
    nanoseconds as f64 / 1e9
}

/// What it takes to find a client's key, its certificate, and whether it is active.
fn nanoseconds(view: &View, among: u32) -> f64 {
    let spread = |n: u32| Identity::new(n.wrapping_mul(0x9e37_79b1) % among, 0);
    let sample: Vec<_> = (0..SAMPLE).map(spread).collect();
    let begun = cpu();
    for one in sample.iter().cycle().take(LOOK_UPS as usize) {
        assert!(view.key(black_box(&one.key)).is_some());
        assert!(view.certificate(black_box(&one.certificate)).is_some());
        assert_eq!(view.is_client_active(black_box(&one.client)), Some(true));
    }
    let each = (cpu() - begun) * 1e9 / f64::from(LOOK_UPS);
    println!("look-ups of key, certificate and client among {among}: {each:.0} ns");
    each
}
