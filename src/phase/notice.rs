//! What clients are told of the end of certificates, as headers.

use http::HeaderValue;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::Setting;
use crate::clock::Timestamp;

/// The values of the headers that go with answers to certificates from [`Phase::Announce`] on, made
/// once for each setting.
///
/// [`Phase::Announce`]: super::Phase::Announce
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `Deprecation` (RFC 9745): since when certificates are being given up.
    pub deprecation: HeaderValue,
    /// `Sunset` (RFC 8594): from when on they will be refused.
    pub sunset: Option<HeaderValue>,
    /// `Link` (RFC 8288) to the operator's guide.
    pub guide: Option<HeaderValue>,
}

impl Notice {
    /// The notice that `setting` gives; none while nothing was announced.
    #[must_use]
    pub fn of(setting: &Setting) -> Option<Self> {
        let announced = setting.announced?;
        let value = |text: String| HeaderValue::try_from(text).ok();
        let guide = setting.guide.as_ref().map(|guide| {
            let guide = guide.as_str();
            format!("<{guide}>; rel=\"deprecation\"; type=\"text/html\"")
        });
        Some(Self {
            deprecation: value(format!("@{}", announced.as_unix()))?,
            sunset: setting.sunset.and_then(http_date).and_then(value),
            guide: guide.and_then(value),
        })
    }
}

/// A moment as HTTP writes it (RFC 9110 section 5.6.7, IMF-fixdate).
fn http_date(at: Timestamp) -> Option<String> {
    let at = jiff::Timestamp::from_second(at.as_unix()).ok()?;
    DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phase::Step;
    use crate::store::Actor;

    #[test]
    fn the_notice_is_as_the_rfcs_write_it() {
        let at = Timestamp::from_unix(1_688_169_599);
        let mut setting = Setting::new(Step::Announce, Actor::Gateway, at);
        setting.sunset = Some(Timestamp::from_unix(1_814_457_600));
        setting.guide = "https://a.example/move".parse().ok();
        let notice = Notice::of(&setting).unwrap();
        assert_eq!(notice.deprecation, "@1688169599");
        assert_eq!(notice.sunset.unwrap(), "Thu, 01 Jul 2027 16:00:00 GMT");
        let link = "<https://a.example/move>; rel=\"deprecation\"; type=\"text/html\"";
        assert_eq!(notice.guide.unwrap(), link);

        let accept = Setting::new(Step::Accept, Actor::Gateway, at);
        assert_eq!(Notice::of(&accept), None);
    }
}
