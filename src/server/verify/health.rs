//! What the verifier tells of itself.

use super::super::health::Tells;
use crate::verify::Metrics;

impl Tells for Metrics {
    /// It does not begin without a secret, and never goes without one.
    fn is_ready(&self) -> Result<(), &'static str> {
        if self.draining.get() == 0 {
            Ok(())
        } else {
            Err("draining: this verifier stops")
        }
    }

    fn metrics(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.expose()
    }
}
