//! Which certificates and which reasons a revocation list is about (RFC 5280 sections 4.2.1.13 and
//! 5.2.5).

use crate::certificate::der::{NotDer, Reader, tag};
use crate::tls::error::ErrorStack;
use crate::tls::x509::X509Name;

/// `[0]` and `[1]`, with values inside: a full name, and one that is relative to the issuer's.
const FULL_NAME: u8 = 0xa0;
const RELATIVE_NAME: u8 = 0xa1;
/// `[4]`: a directory name among general names.
const DIRECTORY_NAME: u8 = 0xa4;

/// A set of reasons; one bit each, as in `ReasonFlags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reasons(u16);

impl Reasons {
    pub(super) const NONE: Self = Self(0);
    /// All there are; the first bit of `ReasonFlags` is not one.
    pub(super) const ALL: Self = Self(0x7f80);

    fn read(bits: &[u8]) -> Result<Self, NotDer> {
        let (_unused, bits) = bits.split_first().ok_or(NotDer)?;
        let byte = |place: usize| u16::from(bits.get(place).copied().unwrap_or(0));
        Ok(Self((byte(0) << 8 | byte(1)) & Self::ALL.0))
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn are_none(self) -> bool {
        self == Self::NONE
    }

    pub(super) fn are_all(self) -> bool {
        self == Self::ALL
    }
}

/// What a list is about: its issuing distribution point, or everything without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// The names of the point; none when it has none.
    names: Vec<Name>,
    /// Whether it is about certificates of users, and about those of authorities.
    users: bool,
    authorities: bool,
    pub(super) reasons: Reasons,
    pub(super) indirect: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            users: true,
            authorities: true,
            reasons: Reasons::ALL,
            indirect: false,
        }
    }
}

impl Scope {
    /// Reads the value of the extension; `issuer` is the list's.
    pub(super) fn read(der: &[u8], issuer: &[u8]) -> Result<Self, NotDer> {
        let mut outer = Reader(der);
        let mut fields = outer.enter(tag::SEQUENCE)?;
        outer.end()?;
        let mut scope = Self::default();
        while !fields.is_empty() {
            let field = fields.next()?;
            let is_true = field.content != [0];
            let only = |mine: bool| mine && !is_true;
            match field.tag {
                0xa0 => scope.names = names(field.content, issuer)?,
                0x81 => scope.authorities = only(scope.authorities),
                0x82 => scope.users = only(scope.users),
                0x83 => scope.reasons = Reasons::read(field.content)?,
                0x84 => scope.indirect = is_true,
                0x85 => {
                    scope.users = only(scope.users);
                    scope.authorities = only(scope.authorities);
                }
                _ => return Err(NotDer),
            }
        }
        Ok(scope)
    }

    /// Whether certificates of this kind are within it.
    pub(super) const fn takes(&self, authority: bool) -> bool {
        if authority {
            self.authorities
        } else {
            self.users
        }
    }
}

/// Where a certificate says that its revocation is published.
#[derive(Clone, Debug)]
pub(super) struct Point {
    names: Vec<Name>,
    reasons: Reasons,
    /// The names of other issuers, in DER; none when it is the certificate's own.
    issuers: Vec<Vec<u8>>,
}

impl Point {
    /// The points that the extension names; `issuer` is the certificate's.
    pub(super) fn read(der: &[u8], issuer: &[u8]) -> Result<Vec<Self>, NotDer> {
        let mut outer = Reader(der);
        let mut list = outer.enter(tag::SEQUENCE)?;
        outer.end()?;
        let mut points = Vec::new();
        while !list.is_empty() {
            points.push(Self::one(list.enter(tag::SEQUENCE)?, issuer)?);
        }
        Ok(points)
    }

    fn one(mut fields: Reader<'_>, issuer: &[u8]) -> Result<Self, NotDer> {
        let point = fields.optional(0xa0)?;
        let reasons = fields.optional(0x81)?;
        let issuers = fields.optional(0xa2)?;
        fields.end()?;
        let issuers = issuers.map(|issuers| directory_names(issuers.content));
        let issuers = issuers.transpose()?.unwrap_or_default();
        let relative_to = issuers.first().map_or(issuer, Vec::as_slice);
        let names = point.map(|point| names(point.content, relative_to));
        Ok(Self {
            names: names.transpose()?.unwrap_or_default(),
            reasons: reasons.map_or(Ok(Reasons::ALL), |reasons| Reasons::read(reasons.content))?,
            issuers,
        })
    }

    /// The point of a list that its certificates do not name: the issuer's name is its own
    /// (section 6.3.3, last paragraph).
    pub(super) fn of_issuer(issuer: &[u8]) -> Self {
        Self {
            names: vec![Name::directory(issuer)],
            reasons: Reasons::ALL,
            issuers: Vec::new(),
        }
    }

    /// Which reasons of this point a list covers, by its issuer and its scope: steps (b) and (d)
    /// of section 6.3.3. `issuer` is the certificate's.
    pub(super) fn covered_by(&self, list: &[u8], scope: &Scope, issuer: &[u8]) -> Reasons {
        let right_issuer = if self.issuers.is_empty() {
            same_name(list, issuer)
        } else {
            scope.indirect && self.issuers.iter().any(|name| same_name(name, list))
        };
        let named = |name: &Name| scope.names.iter().any(|other| name.is(other));
        let right_point = scope.names.is_empty()
            || if self.names.is_empty() {
                self.issuers
                    .iter()
                    .any(|name| named(&Name::directory(name)))
            } else {
                self.names.iter().any(named)
            };
        if right_issuer && right_point {
            self.reasons.and(scope.reasons)
        } else {
            Reasons::NONE
        }
    }
}

/// A general name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    tag: u8,
    content: Vec<u8>,
}

impl Name {
    fn directory(name: &[u8]) -> Self {
        Self {
            tag: DIRECTORY_NAME,
            content: name.to_vec(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.tag == other.tag
            && if self.tag == DIRECTORY_NAME {
                same_name(&self.content, &other.content)
            } else {
                self.content == other.content
            }
    }
}

/// The names of a distribution point; one that is relative is completed with `issuer`.
fn names(der: &[u8], issuer: &[u8]) -> Result<Vec<Name>, NotDer> {
    let mut outer = Reader(der);
    let point = outer.next()?;
    outer.end()?;
    match point.tag {
        FULL_NAME => {
            let mut list = Reader(point.content);
            let mut names = Vec::new();
            while !list.is_empty() {
                let name = list.next()?;
                names.push(Name {
                    tag: name.tag,
                    content: name.content.to_vec(),
                });
            }
            Ok(names)
        }
        RELATIVE_NAME => {
            let mut outer = Reader(issuer);
            let above = outer.expect(tag::SEQUENCE)?.content;
            let last = encode(tag::SET, point.content);
            let whole = encode(tag::SEQUENCE, &[above, &last].concat());
            Ok(vec![Name::directory(&whole)])
        }
        _ => Err(NotDer),
    }
}

/// The directory names among general names, in DER.
fn directory_names(der: &[u8]) -> Result<Vec<Vec<u8>>, NotDer> {
    let mut list = Reader(der);
    let mut names = Vec::new();
    while !list.is_empty() {
        let name = list.next()?;
        if name.tag == DIRECTORY_NAME {
            names.push(name.content.to_vec());
        }
    }
    Ok(names)
}

/// The directory name of an entry's certificate issuer.
pub(super) fn directory_name(der: &[u8]) -> Result<Vec<u8>, NotDer> {
    let mut outer = Reader(der);
    let list = outer.expect(tag::SEQUENCE)?.content;
    outer.end()?;
    directory_names(list)?.into_iter().next().ok_or(NotDer)
}

fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let length = length.get(zeros..).unwrap_or_default();
    let mut der = vec![tag];
    match length {
        [] => der.push(0),
        [short @ 0..=0x7f] => der.push(*short),
        // A length has at most eight bytes.
        long => {
            der.push(0x80 | u8::try_from(long.len()).unwrap_or(0));
            der.extend(long);
        }
    }
    der.extend(content);
    der
}

/// Whether two names in DER are the same, as section 7.1 compares them: neither case, nor blanks,
/// nor the type of a string makes a difference. Otherwise a list could be overlooked.
pub(super) fn same_name(one: &[u8], other: &[u8]) -> bool {
    let canonical = || {
        let (one, other) = (
            X509Name::from_der(one).ok()?,
            X509Name::from_der(other).ok()?,
        );
        one.try_cmp(&other).ok().map(std::cmp::Ordering::is_eq)
    };
    let same = one == other || canonical().unwrap_or(false);
    let _ = ErrorStack::get();
    same
}
