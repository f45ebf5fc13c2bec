//! What was looked at, how it is, and what to do.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::operation::paint;
use crate::operation::table::printable;

/// How something is, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "FindingOutcome")]
pub(crate) enum Outcome {
    /// As it should be.
    Ok,
    /// Nothing is wrong, and there is something to know.
    Note,
    /// It works, and will not always.
    Warning,
    /// It does not work, or is not safe.
    Error,
}

/// What is looked at. docs/DOCTOR.md has a row for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, JsonSchema)]
#[value(rename_all = "snake_case")]
#[schemars(rename_all = "snake_case")]
pub(crate) enum Check {
    /// configuration
    ConfigurationReads,
    /// unsigned records
    ConfigurationUnsignedRecords,
    /// time without a store
    ConfigurationMaxStale,
    /// enforcing
    ConfigurationObserve,
    /// headers of an old proxy
    ConfigurationMasquerade,
    /// sessions
    ConfigurationSessions,
    /// configuration file
    FileConfiguration,
    /// secrets
    FileSecrets,
    /// folders of secrets
    FileFolders,
    /// files that are mounted alone
    FileMounts,
    /// snapshot
    FileSnapshot,
    /// dates
    CertificateDates,
    /// server's chain
    CertificateChain,
    /// server's names
    CertificateNames,
    /// strength of authorities
    CertificateStrength,
    /// revocation lists
    CertificateLists,
    /// Redis
    RedisPrimary,
    /// protection
    RedisProtection,
    /// its certificate
    RedisCertificate,
    /// answer time
    RedisLatency,
    /// version
    RedisVersion,
    /// leave for what is needed
    RedisRights,
    /// leave for more
    RedisUnneededRights,
    /// saving
    RedisPersistence,
    /// last saving
    RedisLastSave,
    /// eviction policy
    RedisEvictionPolicy,
    /// memory
    RedisMemory,
    /// replicas
    RedisReplicas,
    /// replicas that a change needs
    RedisMinReplicas,
    /// sentinels
    RedisSentinels,
    /// cluster
    RedisCluster,
    /// clock
    RedisClock,
    /// store
    StoreReads,
    /// records
    StoreRecords,
    /// webhooks
    StoreWebhooks,
    /// connection
    BackendConnects,
    /// certificate
    BackendCertificate,
    /// health
    BackendHealth,
    /// clock
    BackendClock,
    /// without a signature
    BackendUnsigned,
    /// with a stranger's signature
    BackendForged,
    /// running gateway
    GatewayRuns,
    /// version
    GatewayVersion,
    /// configuration in use
    GatewayConfiguration,
    /// its store
    GatewayStore,
    /// lost revocations
    GatewayTombstones,
    /// refused records
    GatewayRefusedRecords,
    /// certificate in use
    GatewayCertificate,
}

impl Check {
    /// What programs call it.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What people call it.
    pub(crate) fn title(self) -> String {
        let value = self.to_possible_value();
        let help = value.as_ref().and_then(|value| value.get_help());
        help.map(ToString::to_string).unwrap_or_default()
    }

    /// The part of the report that it stands in, and the page that tells more.
    pub(crate) fn group(self) -> (&'static str, &'static str) {
        let name = self.name();
        match name.split('_').next().unwrap_or_default() {
            "configuration" => ("configuration", "docs/DOCTOR.md"),
            "file" => ("files", "docs/DOCTOR.md"),
            "certificate" => ("certificates", "docs/CERTIFICATES.md"),
            "backend" => ("backends", "docs/SIGNATURE.md"),
            "gateway" => ("gateway", "docs/RELIABILITY.md"),
            _ => ("store", "docs/STORE.md"),
        }
    }

    /// It is as it should be.
    pub(super) fn ok(self, found: impl Into<String>) -> Finding {
        Finding::new(self, Outcome::Ok, found.into(), None)
    }

    /// Nothing is wrong; `advice` says what to know or to do.
    pub(super) fn note(self, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding::new(self, Outcome::Note, found.into(), Some(advice.into()))
    }

    /// It will not always work; `advice` says what to do.
    pub(super) fn warning(self, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding::new(self, Outcome::Warning, found.into(), Some(advice.into()))
    }

    /// It does not work, or is not safe; `advice` says what to do.
    pub(super) fn error(self, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding::new(self, Outcome::Error, found.into(), Some(advice.into()))
    }

    /// It is so; `advice` is for what is not as it should be.
    pub(super) fn judged(
        self,
        outcome: Outcome,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        let advice = (outcome != Outcome::Ok).then(|| advice.into());
        Finding::new(self, outcome, found.into(), advice)
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// What came of a look.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Finding {
    pub(crate) check: Check,
    pub(crate) outcome: Outcome,
    /// Of which file, address and so on, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    pub(crate) found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<String>,
    /// What to do. Only what is as it should be has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

impl Finding {
    const fn new(check: Check, outcome: Outcome, found: String, advice: Option<String>) -> Self {
        Self {
            check,
            outcome,
            subject: None,
            found,
            expected: None,
            advice,
        }
    }

    /// It is about this one.
    pub(super) fn of(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// This would be right.
    pub(super) fn expecting(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// The line for people, without its advice.
    pub(super) fn line(&self) -> String {
        let mark = match self.outcome {
            Outcome::Ok => paint::good("ok      "),
            Outcome::Note => "note    ".to_owned(),
            Outcome::Warning => paint::warning("warning "),
            Outcome::Error => paint::bad("ERROR   "),
        };
        format!("  {mark}{}", printable(&self.told()))
    }

    fn told(&self) -> String {
        let mut line = format!("{}: ", self.check.title());
        if let Some(subject) = &self.subject {
            line.push_str(subject);
            line.push_str(": ");
        }
        line.push_str(&self.found);
        if let Some(expected) = &self.expected {
            line.push_str(" (expected: ");
            line.push_str(expected);
            line.push(')');
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/DOCTOR.md says of each check what it means and what to do.
    #[test]
    fn the_page_has_a_row_for_each_check_and_no_others() {
        let page = include_str!("../../docs/DOCTOR.md");
        let cells = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let rows: Vec<_> = cells.filter_map(|cells| cells.split('`').next()).collect();
        let checks: Vec<_> = Check::value_variants()
            .iter()
            .map(|check| check.name())
            .collect();
        assert_eq!(rows, checks);
    }

    #[test]
    fn a_line_tells_what_was_found_and_what_should_have_been() {
        let policy = Check::RedisEvictionPolicy.error("allkeys-lru", "set it");
        let policy = policy.of("10.0.0.1:6379").expecting("noeviction");
        assert_eq!(
            policy.told(),
            "eviction policy: 10.0.0.1:6379: allkeys-lru (expected: noeviction)"
        );
        let json = serde_json::to_value(&policy).unwrap();
        assert_eq!(json["check"], "redis_eviction_policy");
        assert_eq!(json["outcome"], "error");
        assert_eq!(json["advice"], "set it");
    }
}
