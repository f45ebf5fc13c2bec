//! A burndown as text: a bar a week.

use super::report::Remaining;
use crate::operation::table::number;

/// How many characters the longest bar has.
const WIDTH: usize = 40;
/// How many days lie between two bars.
const STEP: usize = 7;

/// One line a week and one for today, the first first.
pub(super) fn bars(days: &[Remaining]) -> Vec<String> {
    let mut shown: Vec<_> = days.iter().rev().step_by(STEP).collect();
    shown.reverse();
    let most = shown.iter().map(|day| day.remaining).max().unwrap_or(0);
    let line = |day: &&Remaining| {
        let bar = "█".repeat(bar(day.remaining, most));
        let line = format!("{} {:>9}  {bar}", day.stages.day, number(day.remaining));
        line.trim_end().to_owned()
    };
    shown.iter().map(line).collect()
}

/// How long the bar of `count` is; whoever is there has one.
fn bar(count: usize, most: usize) -> usize {
    let length = count.saturating_mul(WIDTH).div_ceil(most.max(1));
    length.min(WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_its_share_and_the_last_client_too() {
        assert_eq!(bar(100, 100), WIDTH);
        assert_eq!(bar(50, 100), WIDTH / 2);
        assert_eq!(bar(1, 100_000), 1);
        assert_eq!((bar(0, 100), bar(0, 0)), (0, 0));
    }
}
