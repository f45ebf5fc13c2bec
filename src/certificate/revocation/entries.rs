//! The entries of a revocation list, as they are encoded and by serial number: a million of them
//! take little more than the list itself, and one is found by twenty comparisons.

use std::cmp::Ordering;

use super::list::{extensions, value};
use super::scope::{directory_name, same_name};
use crate::certificate::der::{self, NotDer, Reader, tag};
use crate::clock::Timestamp;

const REASON_CODE: &[u8] = &[0x55, 0x1d, 21];
const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 29];

/// `removeFromCRL`, which only a delta has.
const REMOVED: u8 = 8;

/// All entries of a list. Every one of them was read once.
#[derive(Default)]
pub(super) struct Entries {
    der: Box<[u8]>,
    /// Where each begins, by serial number.
    order: Box<[u32]>,
    /// The issuers whose certificates the entries from there on are about; until then it is the
    /// list's own.
    issuers: Vec<(u32, Box<[u8]>)>,
    /// Whether one has a critical extension that we do not know.
    pub(super) strange: bool,
}

/// One certificate on a list.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    reason: Option<u8>,
}

/// An entry as it is encoded.
struct Fields<'a> {
    serial: &'a [u8],
    at: Timestamp,
    reason: Option<u8>,
    issuer: Option<Vec<u8>>,
    strange: bool,
}

impl Entries {
    /// Reads the content of `revokedCertificates`.
    pub(super) fn read(der: &[u8]) -> Result<Self, NotDer> {
        let mut entries = Self::default();
        // The end of each serial number decides mostly, and is at hand then.
        let mut order: Vec<(u64, u32)> = Vec::new();
        let mut rest = Reader(der);
        while !rest.is_empty() {
            let place = der.len().saturating_sub(rest.0.len());
            let place = u32::try_from(place).map_err(|_| NotDer)?;
            let fields = Fields::read(&mut rest)?;
            entries.strange |= fields.strange;
            if let Some(issuer) = fields.issuer {
                entries.issuers.push((place, issuer.into()));
            }
            order.push((tail(fields.serial), place));
        }
        let serial = |place| serial_at(der, place);
        order.sort_unstable_by(|one, other| {
            let by_tail = one.0.cmp(&other.0);
            by_tail.then_with(|| serial(one.1).cmp(serial(other.1)))
        });
        entries.order = order.into_iter().map(|(_, place)| place).collect();
        entries.der = der.into();
        Ok(entries)
    }

    pub(super) const fn len(&self) -> usize {
        self.order.len()
    }

    /// What they say of the certificate with this serial number and issuer; `own` is the list's. Of
    /// several entries one that takes a revocation back counts last.
    pub(super) fn find(&self, serial: &[u8], issuer: &[u8], own: &[u8]) -> Option<Entry> {
        let wanted = value(serial);
        let compare = |place: u32| {
            let serial = serial_at(&self.der, place);
            tail(serial)
                .cmp(&tail(wanted))
                .then_with(|| serial.cmp(wanted))
        };
        let begin = self
            .order
            .partition_point(|place| compare(*place) == Ordering::Less);
        let found = self.order.get(begin..).unwrap_or_default().iter();
        let found = found.take_while(|place| compare(**place) == Ordering::Equal);
        let about = found.filter(|place| same_name(self.issuer(**place).unwrap_or(own), issuer));
        let entries = about.filter_map(|place| {
            let fields = Fields::read(&mut Reader(at(&self.der, *place))).ok()?;
            Some(Entry {
                at: fields.at,
                reason: fields.reason,
            })
        });
        entries.min_by_key(Entry::is_removal)
    }

    /// An entry is about certificates of the issuer that was named last (section 5.3.3).
    fn issuer(&self, place: u32) -> Option<&[u8]> {
        let named = self.issuers.partition_point(|(from, _)| *from <= place);
        let (_, issuer) = self.issuers.get(named.checked_sub(1)?)?;
        Some(issuer)
    }
}

impl<'a> Fields<'a> {
    fn read(list: &mut Reader<'a>) -> Result<Self, NotDer> {
        let mut fields = list.enter(tag::SEQUENCE)?;
        let mut read = Self {
            serial: value(fields.expect(tag::INTEGER)?.content),
            at: der::time(fields.next()?)?,
            reason: None,
            issuer: None,
            strange: false,
        };
        if let Some(of_entry) = fields.optional(tag::SEQUENCE)? {
            for extension in extensions(of_entry.content)? {
                match extension.oid {
                    REASON_CODE => read.reason = Some(code(extension.value)?),
                    CERTIFICATE_ISSUER => read.issuer = Some(directory_name(extension.value)?),
                    _ => read.strange |= extension.critical,
                }
            }
        }
        fields.end()?;
        Ok(read)
    }
}

impl Entry {
    /// Whether it takes a revocation back, when it stands in a delta (section 5.3.1).
    pub(super) fn is_removal(&self) -> bool {
        self.reason == Some(REMOVED)
    }

    /// Why, in words (section 5.3.1).
    pub(super) fn why(&self) -> &'static str {
        match self.reason {
            Some(1) => "its key was compromised",
            Some(2) => "its authority was compromised",
            Some(3) => "its holder's affiliation changed",
            Some(4) => "it was superseded",
            Some(5) => "it is no longer needed",
            Some(6) => "it is on hold",
            Some(9) => "its privileges were withdrawn",
            Some(10) => "its attribute authority was compromised",
            _ => "no reason is given",
        }
    }
}

fn code(der: &[u8]) -> Result<u8, NotDer> {
    let mut reader = Reader(der);
    let code = reader.expect(tag::ENUMERATED)?.content;
    reader.end()?;
    match code {
        [code] => Ok(*code),
        _ => Err(NotDer),
    }
}

/// What is encoded from this place on.
fn at(der: &[u8], place: u32) -> &[u8] {
    let place = usize::try_from(place).ok();
    place.and_then(|place| der.get(place..)).unwrap_or_default()
}

/// The serial number of the entry that begins at this place.
fn serial_at(der: &[u8], place: u32) -> &[u8] {
    let mut entry = Reader(at(der, place));
    let serial = entry
        .enter(tag::SEQUENCE)
        .and_then(|mut fields| fields.expect(tag::INTEGER));
    serial.map_or(&[], |serial| value(serial.content))
}

/// The last eight bytes as a number: they differ, however serial numbers are given.
fn tail(serial: &[u8]) -> u64 {
    let bytes = serial.iter().rev().take(8).rev();
    bytes.fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
