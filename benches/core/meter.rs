//! How the cases of the benchmark are measured: in time, by criterion; or in instructions, by
//! callgrind, for benches/instructions.

use std::hint::black_box;
use std::io::{self, Write as _};

use anyhow::Result;
use criterion::Criterion;

/// How often a case is called while its instructions are counted. Where something lies in a map of
/// the world is left to chance, so a single call would say little.
const CALLS: usize = 1_000;

/// What measures the cases.
pub(crate) enum Meter {
    Time(Box<Criterion>),
    Instructions,
}

impl Meter {
    /// Time, unless `--instructions` is asked for.
    pub(crate) fn from_arguments() -> Self {
        if std::env::args().any(|argument| argument == "--instructions") {
            Self::Instructions
        } else {
            Self::Time(Box::new(Criterion::default().configure_from_args()))
        }
    }

    /// Measures one case. For callgrind it says which, and how many calls were counted.
    pub(crate) fn measure<T>(&mut self, name: &str, mut case: impl FnMut() -> T) -> Result<()> {
        match self {
            Self::Time(criterion) => {
                criterion.bench_function(name, |bencher| bencher.iter(&mut case));
            }
            Self::Instructions => {
                // What is made by the first call alone is not counted.
                black_box(case());
                counted(&mut case);
                writeln!(io::stdout(), "{name} {CALLS}")?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) {
        if let Self::Time(criterion) = self {
            criterion.final_summary();
        }
    }
}

/// What callgrind counts: it knows this function by its name.
#[inline(never)]
fn counted<T>(case: &mut impl FnMut() -> T) {
    for _ in 0..CALLS {
        black_box(case());
    }
}
