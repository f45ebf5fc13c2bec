//! How requests are traced, and where spans go.

use super::{Folder, MINIMAL};
use crate::trace::Believe;

fn with_tracing(lines: &str) -> String {
    format!("{MINIMAL}\n[telemetry.tracing]\n{lines}\n")
}

#[test]
fn without_the_table_everything_goes_on_as_it_came_and_with_it_nobody_is_believed() {
    let folder = Folder::new();
    let believed = |text: &str| folder.load(text).unwrap().telemetry.tracing.requests;
    let (without, with) = (believed(MINIMAL), believed(&with_tracing("")));
    assert_eq!(
        (without.believe, with.believe),
        (Believe::Everybody, Believe::Nobody)
    );
    assert!(
        without.sampler.is_none() && with.sampler.is_none(),
        "nothing is recorded"
    );
}

#[test]
fn a_part_that_is_none_is_said() {
    let folder = Folder::new();
    let said = folder.problems(&with_tracing("sample = 1.5"));
    assert!(
        said.ends_with(
            "telemetry.tracing.sample: 1.5 is out of range: a part of all traces is a number from 0 \
             to 1; write for instance 0.1 for every tenth"
        ),
        "{said}"
    );
    let said = folder.problems(&with_tracing("believe = \"clients\""));
    assert!(
        said.contains("unknown value \"clients\"; use \"nobody\", \"fronts\" or \"everybody\""),
        "{said}"
    );
}

/// What a collector has to look like is tested in tests/otlp.
#[cfg(not(feature = "otlp"))]
#[test]
fn a_program_that_sends_nothing_takes_no_collector() {
    let said = Folder::new().problems(&with_tracing(
        "collector = \"http://127.0.0.1:4318/v1/traces\"",
    ));
    assert!(
        said.contains(
            "built without what sends spans; build it with: cargo build --release --features otlp"
        ),
        "{said}"
    );
}
