//! What is read of a trace, what is not, and what goes on from there. The cases are those of the
//! validation suite of W3C Trace Context, and more.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::*;

pub(super) const TRACE: &str = "12345678901234567890123456789012";
pub(super) const GOOD: &str = "00-12345678901234567890123456789012-1234567890123456-01";

pub(super) fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&str, &str)| {
        let name: HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    };
    lines.iter().map(line).collect()
}

pub(super) fn format() -> Format {
    Format::new("kf", "live").unwrap()
}

pub(super) fn read(lines: &[(&str, &str)]) -> Option<Context> {
    Context::read(&headers(lines), &format())
}

fn state(lines: &[&str]) -> Option<String> {
    let lines = lines.iter().map(|line| ("tracestate", *line));
    let context = read(
        &[("traceparent", GOOD)]
            .into_iter()
            .chain(lines)
            .collect::<Vec<_>>(),
    );
    let context = context.expect("what is wrong with tracestate does not touch the rest");
    assert_eq!(context.parent.to_string(), GOOD);
    context
        .tracestate()
        .map(|state| state.to_str().unwrap().to_owned())
}

#[test]
fn what_can_be_read_is_read_and_kept_as_it_came() {
    for good in [
        GOOD,
        "00-12345678901234567890123456789012-1234567890123456-00",
        "00-12345678901234567890123456789012-1234567890123456-03",
        "00-12345678901234567890123456789012-1234567890123456-ff",
        "cc-12345678901234567890123456789012-1234567890123456-01",
        "cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
        "01-12345678901234567890123456789012-1234567890123456-01-",
    ] {
        let context = read(&[("TraceParent", good)]).expect(good);
        assert_eq!(context.parent.trace.to_string(), TRACE);
        assert_eq!(context.traceparent(), good);
        assert_eq!(
            context.parent.is_sampled(),
            !good.ends_with("-00"),
            "{good}"
        );
    }
}

#[test]
fn what_breaks_a_rule_is_not_read_at_all() {
    for bad in [
        "",
        "00",
        "00-12345678901234567890123456789012-1234567890123456-01.",
        "00-12345678901234567890123456789012-1234567890123456-01-",
        "00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
        "cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-be-like",
        "ff-12345678901234567890123456789012-1234567890123456-01",
        ".0-12345678901234567890123456789012-1234567890123456-01",
        "0.-12345678901234567890123456789012-1234567890123456-01",
        "000-12345678901234567890123456789012-1234567890123456-01",
        "0-12345678901234567890123456789012-1234567890123456-01",
        "CC-12345678901234567890123456789012-1234567890123456-01",
        "00-00000000000000000000000000000000-1234567890123456-01",
        "00-.2345678901234567890123456789012-1234567890123456-01",
        "00-1234567890123456789012345678901.-1234567890123456-01",
        "00-1234567890123456789012345678901A-1234567890123456-01",
        "00-123456789012345678901234567890123-1234567890123456-01",
        "00-1234567890123456789012345678901-1234567890123456-01",
        "00-12345678901234567890123456789012-0000000000000000-01",
        "00-12345678901234567890123456789012-.234567890123456-01",
        "00-12345678901234567890123456789012-123456789012345B-01",
        "00-12345678901234567890123456789012-12345678901234567-01",
        "00-12345678901234567890123456789012-123456789012345-01",
        "00-12345678901234567890123456789012-1234567890123456-.0",
        "00-12345678901234567890123456789012-1234567890123456-0.",
        "00-12345678901234567890123456789012-1234567890123456-001",
        "00-12345678901234567890123456789012-1234567890123456-1",
        "00-12345678901234567890123456789012-1234567890123456",
        "00_12345678901234567890123456789012_1234567890123456_01",
        "00-12345678901234567890123456789012-1234567890123456-01,00-12345678901234567890123456789012-1234567890123456-01",
    ] {
        assert_eq!(
            read(&[("traceparent", bad), ("tracestate", "a=1")]),
            None,
            "{bad}"
        );
    }
    let twice = [("traceparent", GOOD), ("traceparent", GOOD)];
    assert_eq!(read(&twice), None, "which of the two?");
    for other in ["trace-parent", "trace.parent", "trace_parent"] {
        assert_eq!(read(&[(other, GOOD)]), None);
    }
    assert_eq!(read(&[("tracestate", "foo=1")]), None, "of which trace?");
}

#[test]
fn the_state_is_one_list_in_the_order_in_which_it_came() {
    assert_eq!(state(&["foo=1,bar=2"]).as_deref(), Some("foo=1,bar=2"));
    assert_eq!(
        state(&["foo=1,bar=2", "rojo=1,congo=2", "baz=3"]).as_deref(),
        Some("foo=1,bar=2,rojo=1,congo=2,baz=3")
    );
    for empty in [
        &["foo=1", ""][..],
        &["", "foo=1"],
        &[" foo=1 \t , ,\t"],
        &["\tfoo=1"],
    ] {
        assert_eq!(state(empty).as_deref(), Some("foo=1"), "{empty:?}");
    }
    assert_eq!(state(&[""]), None, "an empty one is not sent on");
    let all: String = (' '..='~').filter(|c| ![',', '='].contains(c)).collect();
    for key in [
        "abcdefghijklmnopqrstuvwxyz0123456789_-*/",
        "0tenant@a-z0-9_-*/",
    ] {
        let member = format!("{key}={all}");
        assert_eq!(state(&[&member]).as_deref(), Some(member.as_str()));
    }
    let longest = format!("{}={}", "k".repeat(256), "v".repeat(254));
    assert_eq!(state(&[&longest]).as_deref(), Some(longest.as_str()));
    let most: Vec<_> = (0..32).map(|n| format!("bar{n}=1")).collect();
    assert_eq!(state(&[&most.join(",")]), Some(most.join(",")));
}

#[test]
fn a_state_that_breaks_a_rule_is_dropped_as_a_whole() {
    let (key, value) = ("k".repeat(257), "v".repeat(257));
    let many: Vec<_> = (0..33).map(|n| format!("bar{n}=1")).collect();
    for bad in [
        "foo=1,foo=1",
        "foo=1,foo=2",
        "foo =1",
        "FOO=1",
        "foo.bar=1",
        "@foo=1,bar=2",
        "foo",
        "foo=",
        "=1",
        "foo=1=2",
        "foo=bar=baz,baz=1",
        "_a=1",
        &format!("{key}=1"),
        &format!("foo={value}"),
        &many.join(","),
    ] {
        assert_eq!(state(&[bad]), None, "{bad}");
    }
    assert_eq!(state(&["foo=1", "foo=2"]), None, "also over several lines");
    // H7: no key goes on under another name.
    let key = "kf_live_0197f3c2a1b27c3d8e4f5a6b7c8d9e0f";
    for hidden in [
        format!("foo={key}"),
        format!("{key}=1"),
        format!("a=1,b=x{key}y"),
    ] {
        assert_eq!(state(&[&hidden]), None, "{hidden}");
    }
    let bytes = HeaderValue::from_bytes(b"foo=\xff").unwrap();
    let mut headers = headers(&[("traceparent", GOOD)]);
    headers.insert(TRACESTATE, bytes);
    assert_eq!(
        Context::read(&headers, &format()).unwrap().tracestate(),
        None
    );
}

#[test]
fn of_a_state_that_is_too_long_whole_members_stay() {
    let long = format!("long={}", "v".repeat(200));
    let short: Vec<_> = (0..30)
        .map(|n| format!("member{n:02}={}", "v".repeat(11)))
        .collect();
    let kept = state(&[&format!("{long},{}", short.join(","))]).unwrap();
    assert_eq!(
        kept,
        short.get(..24).unwrap().join(","),
        "the long one first, then the last"
    );
    assert!(kept.len() <= 512, "{}", kept.len());
}

/// H7: a version that is not known yet may end in anything.
#[test]
fn no_key_goes_on_as_a_part_of_a_trace() {
    let newer = GOOD.replacen("00", "cc", 1);
    let key = format!("kf_live_{}_{}", "0".repeat(32), "a".repeat(43));
    assert!(format().occurs_in(key.as_bytes()));
    assert!(read(&[("traceparent", &format!("{newer}-what"))]).is_some());
    assert_eq!(read(&[("traceparent", &format!("{newer}-{key}"))]), None);
}

#[test]
fn headers_of_other_systems_are_known() {
    for other in [
        "b3",
        "x-b3-traceid",
        "x-datadog-parent-id",
        "baggage",
        "uber-trace-id",
        "x-amzn-trace-id",
        "x_b3_traceid",
        "uber~trace~id",
        "jaeger-debug-id",
        "x-instana-t",
    ] {
        assert!(is_another(&other.parse().unwrap()), "{other}");
    }
    for own in [
        "x-request-id",
        "accept",
        "origin",
        "other",
        "traceparent",
        "b30",
    ] {
        assert!(!is_another(&own.parse().unwrap()), "{own}");
    }
}

#[test]
fn a_part_of_all_traces_is_about_that_part() {
    for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(Sampler::new(bad), Err(NoRatio));
    }
    let kept = |ratio| {
        let sampler = Sampler::new(ratio).unwrap();
        let trace = |n: u32| {
            let mut bytes = [1; 16];
            bytes[9..13].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
            TraceId::from_bytes(bytes).unwrap()
        };
        (0..10_000).filter(|n| sampler.keeps(&trace(*n))).count()
    };
    assert_eq!((kept(0.0), kept(1.0)), (0, 10_000));
    assert!((950..1050).contains(&kept(0.1)), "{}", kept(0.1));
}
