//! How the door shakes hands, replaced as a whole while it runs: connections that are open keep what
//! they began with.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::acceptor::{AcceptorError, Recipe};
use super::resumption::Resuming;
use super::settings::{ServerCertificate, Settings};
use crate::certificate::{Fingerprint, Trust, Verifier};
use crate::clock::Timestamp;
use crate::front::Fronts;
use crate::policy::{ByName, ClientCertificates, NamePattern, Network, ServerNames};
use crate::telemetry::Metrics;
use crate::tls::asn1::Asn1Time;
use crate::tls::ssl::SslAcceptor;
use crate::tls::x509::X509;

/// The terms of the day. Who holds them may replace them; the door takes them once a connection.
pub struct Terms {
    verifier: Arc<Verifier>,
    metrics: Metrics,
    current: ArcSwap<Prepared>,
}

/// Terms that are made and not in use yet, or in use.
pub struct Prepared {
    settings: Settings,
    /// Whom clients are shown as trusted.
    trust: Fingerprint,
    resuming: Arc<Resuming>,
    /// Which of our certificates is for which name; the first for all others.
    certificates: ByName<usize>,
    acceptors: HashMap<(usize, ClientCertificates), SslAcceptor>,
}

impl Terms {
    /// The terms to begin with.
    ///
    /// # Errors
    ///
    /// [`AcceptorError`] when TLS cannot be spoken so.
    pub fn new(
        settings: Settings,
        verifier: Arc<Verifier>,
        metrics: Metrics,
        now: Timestamp,
    ) -> Result<Self, AcceptorError> {
        let resuming = Arc::new(Resuming::new(&settings.resumption, now)?);
        let first = Prepared::make(settings, &verifier.trust(), &verifier, resuming)?;
        first.show(&metrics);
        Ok(Self {
            verifier,
            metrics,
            current: ArcSwap::from_pointee(first),
        })
    }

    /// Makes other terms. Sessions stay good where they can.
    ///
    /// # Errors
    ///
    /// [`AcceptorError`]; the terms stay as they are.
    pub fn prepare(&self, settings: Settings, now: Timestamp) -> Result<Prepared, AcceptorError> {
        let resuming = Arc::clone(&self.current.load().resuming);
        let resuming = if resuming.is_for(&settings.resumption, now) {
            resuming
        } else {
            Arc::new(Resuming::new(&settings.resumption, now)?)
        };
        Prepared::make(settings, &self.verifier.trust(), &self.verifier, resuming)
    }

    /// Goes by the terms that were prepared, from the next connection on.
    pub fn commit(&self, prepared: Prepared) {
        prepared.show(&self.metrics);
        let next = Arc::new(prepared);
        let before = self.current.swap(Arc::clone(&next));
        before.give_way(&next);
    }

    /// Makes the same terms anew when a period of sessions is over, or others are trusted.
    ///
    /// # Errors
    ///
    /// [`AcceptorError`]; the terms stay as they are.
    pub fn refresh(&self, now: Timestamp) -> Result<(), AcceptorError> {
        let (current, trust) = (self.current.load_full(), self.verifier.trust());
        let settings = &current.settings;
        let goes_on = current.resuming.is_for(&settings.resumption, now);
        if goes_on && current.trust == *trust.content() {
            return Ok(());
        }
        let next = Arc::new(self.prepare(settings.clone(), now)?);
        let before = self.current.compare_and_swap(&current, Arc::clone(&next));
        // Whatever was committed meanwhile is newer, and is looked at next time.
        if Arc::ptr_eq(&before, &current) {
            current.give_way(&next);
        }
        Ok(())
    }

    pub(super) fn current(&self) -> Arc<Prepared> {
        self.current.load_full()
    }
}

impl Prepared {
    fn make(
        settings: Settings,
        trust: &Trust,
        verifier: &Arc<Verifier>,
        resuming: Arc<Resuming>,
    ) -> Result<Self, AcceptorError> {
        let recipe = Recipe {
            settings: &settings,
            trust,
            verifier,
            resuming: &resuming,
        };
        let (mut acceptors, mut names) = (HashMap::new(), Vec::new());
        for (index, certificate) in settings.certificates.iter().enumerate() {
            // Where nobody is left who could show one, nobody is asked; and fronts always are.
            let further = [ClientCertificates::NeverAsk, ClientCertificates::Explain];
            for policy in settings.names.policies().chain(further) {
                if let Entry::Vacant(entry) = acceptors.entry((index, policy)) {
                    entry.insert(recipe.make(certificate, policy)?);
                }
            }
            names.extend(names_of(certificate)?.into_iter().map(|name| (name, index)));
        }
        if acceptors.is_empty() {
            return Err(AcceptorError::NoCertificate);
        }
        Ok(Self {
            trust: *trust.content(),
            certificates: names.into_iter().collect(),
            acceptors,
            resuming,
            settings,
        })
    }

    /// Ends what `next` does not go on with.
    fn give_way(&self, next: &Self) {
        if !Arc::ptr_eq(&self.resuming, &next.resuming) {
            self.resuming.end();
        }
    }

    /// How to shake hands with whoever asks for `name`, under `policy`.
    pub(super) fn acceptor(
        &self,
        name: Option<&str>,
        policy: ClientCertificates,
    ) -> Option<&SslAcceptor> {
        let index = name.and_then(|name| self.certificates.get(name));
        let index = index.copied().unwrap_or_default();
        self.acceptors.get(&(index, policy))
    }

    pub(super) const fn names(&self) -> &ServerNames {
        &self.settings.names
    }

    pub(super) fn fronts(&self) -> &Fronts {
        &self.settings.fronts
    }

    pub(super) const fn deadline(&self) -> Duration {
        self.settings.handshake_timeout
    }

    pub(super) fn balancers(&self) -> Option<&[Network]> {
        self.settings.balancers.as_deref()
    }

    /// Shows when our certificates end; of several by one name, the first that does.
    fn show(&self, metrics: &Metrics) {
        let mut ends: HashMap<String, i64> = HashMap::new();
        for certificate in &self.settings.certificates {
            if let Ok(Some((name, end))) = end_of(certificate) {
                let known = ends.entry(name).or_insert(end);
                *known = end.min(*known);
            }
        }
        let gauge = &metrics.tls_certificate_not_after;
        gauge.reset();
        for (name, end) in ends {
            gauge.with_label_values(&[name]).set(end);
        }
    }
}

/// The names that a certificate is for: those of its subject alternative name (RFC 6125 section
/// 6.4.4: never the common name beside it).
fn names_of(certificate: &ServerCertificate) -> Result<Vec<NamePattern>, AcceptorError> {
    let leaf = X509::from_pem(&certificate.chain_pem)?;
    let names = leaf.subject_alt_names().into_iter().flatten();
    let names = names.filter_map(|name| name.dnsname()?.parse().ok());
    Ok(names.collect())
}

/// The first name of a certificate and when it ends.
fn end_of(certificate: &ServerCertificate) -> Result<Option<(String, i64)>, AcceptorError> {
    const DAY: i64 = 86_400;
    let name = names_of(certificate)?.into_iter().next();
    let name = name.map_or_else(|| "none".to_owned(), |name| name.to_string());
    let leaf = X509::from_pem(&certificate.chain_pem)?;
    let since = Asn1Time::from_unix(0)?.diff(leaf.not_after())?;
    let days = i64::from(since.days).checked_mul(DAY);
    let end = days.and_then(|days| days.checked_add(since.secs.into()));
    Ok(end.map(|end| (name, end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::{MinimumTls, Resumption};
    use crate::pki::{root, server};
    use crate::secret::Secret;
    use crate::tls::KEEPS_SESSIONS;

    const BYTES: u32 = 1 << 20;

    fn settings(bytes: u32) -> Settings {
        let own = server("localhost").signed_by(&root("Servers").self_signed());
        Settings {
            fronts: Arc::new(Fronts::new(Vec::new())),
            names: ServerNames::new(ClientCertificates::Explain, std::iter::empty().collect()),
            ca_names: true,
            resumption: Resumption::Memory(bytes),
            handshake_timeout: Duration::from_secs(1),
            balancers: None,
            minimum_tls: MinimumTls::Tls12,
            http2: false,
            certificates: vec![ServerCertificate {
                chain_pem: own.chain_pem(),
                key_pem: Secret::new(own.key_pem()),
            }],
        }
    }

    /// Connections that are open hold on to the terms that they began with: what those keep must go
    /// when others take their place.
    #[test]
    fn r3_sessions_in_memory_go_with_the_terms_that_they_began_under() {
        if !KEEPS_SESSIONS {
            return;
        }
        let now = Timestamp::from_unix(0);
        let later = Timestamp::from_unix(12 * 3600);
        for (bytes, refreshed_at, is_gone) in [
            (BYTES, later, true),
            (BYTES * 2, now, true),
            (BYTES, now, false),
        ] {
            let verifier = Arc::new(Verifier::new(Trust::new(1, Vec::new()).unwrap()));
            let metrics = Metrics::new().unwrap();
            let terms = Terms::new(settings(BYTES), verifier, metrics, now).unwrap();
            let began = terms.current();
            let Resuming::Memory(kept) = &*began.resuming else {
                panic!("sessions in memory");
            };
            kept.keep(&[1; 32], vec![2], None);
            assert!(kept.find(&[1; 32]).is_some());
            terms.refresh(refreshed_at).unwrap();
            terms.commit(terms.prepare(settings(bytes), refreshed_at).unwrap());
            kept.keep(&[3; 32], vec![4], None);
            for id in [[1; 32], [3; 32]] {
                assert_eq!(kept.find(&id).is_none(), is_gone);
            }
        }
    }
}
