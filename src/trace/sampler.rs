//! Which traces are recorded, of those that begin here.

use super::TraceId;

/// Records a part of all traces, by what is random in their names: whoever goes by the same rule
/// and the same part records the same ones (OpenTelemetry, consistent probability sampling).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    ratio: f64,
}

/// The part is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a part of all traces is a number from 0 to 1")]
pub struct NoRatio;

impl Sampler {
    /// Records this part: nothing of 0, everything of 1.
    ///
    /// # Errors
    ///
    /// [`NoRatio`].
    pub fn new(ratio: f64) -> Result<Self, NoRatio> {
        let fits = (0.0..=1.0).contains(&ratio);
        fits.then_some(Self { ratio }).ok_or(NoRatio)
    }

    /// Whether this trace is recorded.
    #[must_use]
    pub fn keeps(&self, trace: &TraceId) -> bool {
        // The first four of the last seven bytes, which are the random ones.
        let [.., a, b, c, d, _, _, _] = *trace.as_bytes();
        let random = f64::from(u32::from_be_bytes([a, b, c, d])) / 2_f64.powi(32);
        random >= 1.0 - self.ratio
    }
}
