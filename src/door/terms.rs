//! How the door shakes hands, replaced as a whole while it runs: connections that are open keep what
//! they began with.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::acceptor::{AcceptorError, Recipe};
use super::settings::{ServerCertificate, Settings};
use super::ticket::TicketKey;
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
    ticket_key: Arc<TicketKey>,
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
        let key = TicketKey::new(settings.ticket_key.as_ref(), now)?;
        let first = Prepared::make(settings, &verifier.trust(), &verifier, Arc::new(key))?;
        first.show(&metrics);
        Ok(Self {
            verifier,
            metrics,
            current: ArcSwap::from_pointee(first),
        })
    }

    /// Makes other terms. Tickets that were given stay good where they can.
    ///
    /// # Errors
    ///
    /// [`AcceptorError`]; the terms stay as they are.
    pub fn prepare(&self, settings: Settings, now: Timestamp) -> Result<Prepared, AcceptorError> {
        let shared = settings.ticket_key.as_ref();
        let key = Arc::clone(&self.current.load().ticket_key);
        let key = if key.is_for(shared, now) {
            key
        } else {
            Arc::new(TicketKey::new(shared, now)?)
        };
        Prepared::make(settings, &self.verifier.trust(), &self.verifier, key)
    }

    /// Goes by the terms that were prepared, from the next connection on.
    pub fn commit(&self, prepared: Prepared) {
        prepared.show(&self.metrics);
        self.current.store(Arc::new(prepared));
    }

    /// Makes the same terms anew when it is time for another key of tickets, or others are trusted.
    ///
    /// # Errors
    ///
    /// [`AcceptorError`]; the terms stay as they are.
    pub fn refresh(&self, now: Timestamp) -> Result<(), AcceptorError> {
        let (current, trust) = (self.current.load_full(), self.verifier.trust());
        let settings = &current.settings;
        let same_key = current.ticket_key.is_for(settings.ticket_key.as_ref(), now);
        if same_key && current.trust == *trust.content() {
            return Ok(());
        }
        let next = self.prepare(settings.clone(), now)?;
        // Whatever was committed meanwhile is newer, and is looked at next time.
        self.current.compare_and_swap(&current, Arc::new(next));
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
        ticket_key: Arc<TicketKey>,
    ) -> Result<Self, AcceptorError> {
        let recipe = Recipe {
            settings: &settings,
            trust,
            verifier,
            ticket_key: &ticket_key,
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
            ticket_key,
            settings,
        })
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
