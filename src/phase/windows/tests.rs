//! Windows on ordinary days, and on those on which the clocks are changed.

use proptest::prelude::*;

use super::*;

fn at(moment: &str) -> Timestamp {
    let moment: jiff::Timestamp = moment.parse().unwrap();
    Timestamp::from_unix(moment.as_second())
}

fn windows(zone: &str, list: &[&str]) -> Windows {
    let list = list.iter().map(|window| window.parse().unwrap()).collect();
    Windows::new(zone.parse().unwrap(), list).unwrap()
}

/// When the window ends that `moment` is in.
fn end(windows: &Windows, moment: &str) -> Option<String> {
    windows.end_of(at(moment)).map(|end| end.to_string())
}

/// How many minutes are in a window, of the week from Wednesday noon on: clocks are changed at
/// weekends.
#[expect(clippy::arithmetic_side_effects, reason = "small numbers")]
fn minutes_in(windows: &Windows, week: i64) -> usize {
    let begin = week * 7 * 86_400 + 6 * 86_400 + 43_200;
    let minutes = (0..7 * 24 * 60).map(|minute| Timestamp::from_unix(begin + minute * 60));
    minutes
        .filter(|minute| windows.end_of(*minute).is_some())
        .count()
}

#[test]
fn a_window_is_a_time_on_its_days() {
    let windows = windows("UTC", &["Tue 10:00-11:00"]);
    // 2026-11-24 is a Tuesday.
    assert_eq!(end(&windows, "2026-11-24T09:59:59Z"), None);
    assert_eq!(
        end(&windows, "2026-11-24T10:00:00Z").unwrap(),
        "2026-11-24T11:00:00Z"
    );
    assert_eq!(
        end(&windows, "2026-11-24T10:59:59Z").unwrap(),
        "2026-11-24T11:00:00Z"
    );
    assert_eq!(end(&windows, "2026-11-24T11:00:00Z"), None);
    assert_eq!(end(&windows, "2026-11-25T10:30:00Z"), None);
    let next = |moment| windows.next(at(moment)).unwrap().to_string();
    assert_eq!(next("2026-11-24T10:30:00Z"), "2026-11-24T10:30:00Z");
    assert_eq!(next("2026-11-24T11:00:00Z"), "2026-12-01T10:00:00Z");
}

#[test]
fn a_zone_moves_the_window() {
    let windows = windows("Asia/Kolkata", &["Mon-Wed 00:30-01:00"]);
    assert_eq!(
        end(&windows, "2026-11-22T19:00:00Z").unwrap(),
        "2026-11-22T19:30:00Z"
    );
    assert_eq!(end(&windows, "2026-11-25T19:00:00Z"), None);
}

#[test]
fn windows_without_a_pause_between_them_end_together() {
    let windows = windows(
        "UTC",
        &["Tue 23:00-24:00", "Wed 00:00-01:00", "Tue 23:30-24:00"],
    );
    assert_eq!(
        end(&windows, "2026-11-24T23:10:00Z").unwrap(),
        "2026-11-25T01:00:00Z"
    );
}

#[test]
fn o7_when_clocks_go_forward_a_window_takes_place_once_and_whole() {
    // In Berlin, at 02:00 on 2027-03-28 (01:00 UTC), the clocks go to 03:00.
    let skipped = windows("Europe/Berlin", &["Sun 02:15-02:45"]);
    assert_eq!(
        skipped.next(at("2027-03-28T00:00:00Z")),
        Some(at("2027-03-28T01:15:00Z"))
    );
    assert_eq!(
        end(&skipped, "2027-03-28T01:15:00Z").unwrap(),
        "2027-03-28T01:45:00Z"
    );
    assert_eq!(end(&skipped, "2027-03-28T00:30:00Z"), None);
    let across = windows("Europe/Berlin", &["Sun 01:30-02:30"]);
    assert_eq!(
        end(&across, "2027-03-28T00:30:00Z").unwrap(),
        "2027-03-28T01:30:00Z"
    );
    // The week before and after, the clocks show what they say.
    assert_eq!(
        skipped.next(at("2027-03-20T12:00:00Z")),
        Some(at("2027-03-21T01:15:00Z"))
    );
    assert_eq!(
        skipped.next(at("2027-03-29T00:00:00Z")),
        Some(at("2027-04-04T00:15:00Z"))
    );
}

#[test]
fn o7_when_clocks_go_back_a_window_takes_place_once_and_is_no_longer() {
    // In Berlin, at 03:00 on 2026-10-25 (01:00 UTC), the clocks go to 02:00.
    let twice = windows("Europe/Berlin", &["Sun 02:15-02:45"]);
    assert_eq!(
        end(&twice, "2026-10-25T00:15:00Z").unwrap(),
        "2026-10-25T00:45:00Z"
    );
    assert_eq!(end(&twice, "2026-10-25T01:15:00Z"), None);
    let across = windows("Europe/Berlin", &["Sun 01:30-03:30"]);
    assert_eq!(
        end(&across, "2026-10-24T23:30:00Z").unwrap(),
        "2026-10-25T01:30:00Z"
    );
    assert_eq!(end(&across, "2026-10-25T01:30:00Z"), None);
}

#[test]
fn only_what_is_meant_is_read() {
    for text in [
        "Tue 10:00-11:00",
        "Mon-Fri 00:00-24:00",
        "Sat-Sun 22:30-23:00",
    ] {
        assert_eq!(text.parse::<Window>().unwrap().to_string(), text);
    }
    for bad in [
        "",
        "Tue",
        "10:00-11:00",
        "tue 10:00-11:00",
        "Tue 11:00-10:00",
        "Tue 10:00-10:00",
        "Tue 10:00-25:00",
        "Tue 10-11",
        "Tue 10:00-11:00 ",
        "Tue  10:00-11:00",
        "Tue 22:00-02:00",
        "Tue 1:000-11:00",
        "Tue 24:00-24:00",
    ] {
        assert!(bad.parse::<Window>().is_err(), "{bad:?}");
    }
    for bad in ["", "Mars/Olympus", "../etc/passwd"] {
        assert!(bad.parse::<Zone>().is_err(), "{bad:?}");
    }
    assert!(Windows::new(Zone::UTC, Vec::new()).is_err());
    let windows = windows("America/New_York", &["Tue 10:00-11:00"]);
    let stored = serde_json::to_string(&windows).unwrap();
    assert_eq!(
        stored,
        r#"{"zone":"America/New_York","windows":["Tue 10:00-11:00"]}"#
    );
    assert_eq!(serde_json::from_str::<Windows>(&stored).unwrap(), windows);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Within any week, whatever the zone and its changes, the minutes that refuse are as many as
    /// the windows say.
    #[test]
    fn a_day_of_the_week_has_its_window_once(
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York",
            "Australia/Lord_Howe", "America/Havana", "Asia/Beirut"]),
        from in 0i16..1439,
        length in 1i16..600,
        week in 2900i64..3000,
    ) {
        let to = from.saturating_add(length).min(1440);
        let text = format!("Sun {:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60);
        let expected = usize::try_from(to.saturating_sub(from)).unwrap();
        prop_assert_eq!(minutes_in(&windows(zone, &[&text]), week), expected);
    }
}
