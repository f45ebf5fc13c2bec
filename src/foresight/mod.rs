//! What is to be expected, from what was seen: how the move went day by day, when it may end, what
//! ends before, and who would break without certificates.

mod burndown;
mod cliff;
mod forecast;
mod life;
mod what_if;

pub use burndown::{Burndown, DayStages};
pub use cliff::Cliff;
pub use forecast::{Forecast, Unforeseeable, forecast};
pub use life::{DaySet, Life};
pub use what_if::{Outcome, Used};
