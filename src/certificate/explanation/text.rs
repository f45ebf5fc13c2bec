//! An explanation as text for people. All names in it are escaped already.

use std::fmt;

use super::{CheckOutcome, Explanation, Judgement, Origin, Shown};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<_> = self.reasons.iter().map(|reason| reason.code()).collect();
        match self.verdict {
            Judgement::Verified => writeln!(f, "verified")?,
            Judgement::Rejected => writeln!(f, "rejected: {}", reasons.join(", "))?,
        }
        for (place, shown) in self.chain.iter().enumerate() {
            let what = match (place, shown.origin) {
                (0, _) => "certificate",
                (_, Origin::Trusted) => "authority",
                (_, Origin::Sent) => "intermediate",
                (_, Origin::Remembered) => "intermediate, from an earlier connection",
            };
            write!(f, "\n{what}\n{shown}")?;
        }
        for shown in self.sent.iter().filter(|shown| !shown.used) {
            write!(f, "\nsent, and not part of the chain\n{shown}")?;
        }
        writeln!(f, "\nchecks")?;
        for checked in &self.checks {
            let outcome = match checked.outcome {
                CheckOutcome::Ok => "ok",
                CheckOutcome::Failed => "FAILED",
                CheckOutcome::NotChecked => "not checked",
            };
            let check = checked.check.as_str().replace('_', " ");
            writeln!(f, "  {check:<18} {outcome:<11}  {}", checked.detail)?;
        }
        Ok(())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(facts) = &self.facts {
            writeln!(f, "  subject   {}", facts.subject)?;
            writeln!(f, "  issuer    {}", facts.issuer)?;
            writeln!(f, "  serial    {}", facts.serial)?;
            writeln!(f, "  valid     {} to {}", facts.not_before, facts.not_after)?;
            writeln!(f, "  key       {} (SHA-256)", facts.spki_sha256)?;
        } else {
            writeln!(f, "  cannot be read")?;
        }
        writeln!(f, "  SHA-256   {}", self.sha256)
    }
}
