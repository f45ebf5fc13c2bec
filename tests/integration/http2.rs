//! HTTP/2: what it forbids reaches no backend, and no flood of frames costs anybody else anything
//! (ATTACKS H8, H9, R13, O13).

use serde_json::{Value, json};

use super::framing::Setting;
use crate::support::gateway::secret;
use crate::support::python::run;
use crate::support::signature::verify;
use crate::support::world::HOST;

impl Setting {
    fn client(&self, script: &str, what: &Value) -> Value {
        let mut input = json!({
            "address": self.gateway.address(),
            "host": HOST,
            "authority": self.world.authority,
            "certificate": self.alice.chain,
            "key": self.alice.key,
        });
        let all = input.as_object_mut().unwrap();
        all.extend(what.as_object().unwrap().clone());
        run(script, &input)
    }

    /// One request, header by header; its answer.
    fn request(&self, headers: &[(&str, &str)], body: &str) -> Value {
        let request = json!({ "headers": headers, "body": body });
        self.client("h2_client.py", &json!({ "requests": [request] }))["answers"][0].clone()
    }

    fn flood(&self, attack: &str, count: u32) -> Value {
        self.client("h2_flood.py", &json!({ "attack": attack, "count": count }))
    }

    fn closed(&self, reason: &str) -> f64 {
        let series = format!("keyferry_http2_closed_total{{reason=\"{reason}\"}}");
        self.gateway.metric(&series)
    }
}

fn head<'a>(method: &'a str, further: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let own = [
        (":method", method),
        (":scheme", "https"),
        (":authority", HOST),
        (":path", "/first"),
    ];
    own.iter().chain(further).copied().collect()
}

/// Fields that HTTP/2 forbids, with the body that comes after.
const FORBIDDEN: &[((&str, &str), &str)] = &[
    (("connection", "close"), ""),
    (("connection", "x-key-id"), ""),
    (("keep-alive", "timeout=5"), ""),
    (("proxy-connection", "keep-alive"), ""),
    (("upgrade", "h2c"), ""),
    (("upgrade", "websocket"), ""),
    (
        ("transfer-encoding", "chunked"),
        "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    ),
    (("te", "gzip"), ""),
    ((":protocol", "websocket"), ""),
    ((":method", "POST"), ""),
    ((":path", "/second"), ""),
    ((":authority", HOST), ""),
    ((":status", "200"), ""),
    (("content-length", "10"), "four"),
    (("content-length", "1"), "four"),
    (("content-length", "4"), ""),
    (("content-length", "4, 4"), "four"),
    (("content-length", "+4"), "four"),
    (("content-length", "-4"), "four"),
    (("app", " x"), ""),
    (("app", "x\t"), ""),
    (("app", "x\u{1}"), ""),
    (("app", "x\r\nx-key-id: forged"), ""),
    (("app", "x\0"), ""),
];

/// Heads that HTTP/2 forbids, with the body that comes after.
fn forbidden() -> Vec<(Vec<(&'static str, &'static str)>, &'static str)> {
    let own = |method, path, further| {
        let mut head = vec![(":method", method), (":scheme", "https"), (":path", path)];
        head.extend([(":authority", HOST), further]);
        head
    };
    let mut attacks: Vec<_> = FORBIDDEN
        .iter()
        .map(|(field, body)| (own("POST", "/first", *field), *body))
        .collect();
    let app = ("app", "x");
    attacks.extend([
        (own("POST", "", app), ""),
        (own("POST", "*", app), ""),
        (own("POST", "first", app), ""),
        (own("POST", "/a b", app), ""),
        (own("POST", "/a HTTP/1.1\r\nX-Key-Id: forged", app), ""),
        (own("POST /a HTTP/1.1", "/first", app), ""),
        (own("CONNECT", "/first", app), ""),
        (vec![(":method", "CONNECT"), (":authority", HOST)], ""),
        (own("TRACE", "/first", app), ""),
        (
            vec![(":method", "GET"), (":path", "/"), (":authority", HOST)],
            "",
        ),
        (
            vec![(":method", "GET"), (":scheme", "https"), (":path", "/")],
            "",
        ),
        (
            vec![
                (":method", "GET"),
                (":scheme", "ftp"),
                (":path", "/"),
                (":authority", HOST),
            ],
            "",
        ),
        (
            vec![
                (":method", "GET"),
                (":scheme", "https"),
                app,
                (":path", "/"),
                (":authority", HOST),
            ],
            "",
        ),
    ]);
    attacks
}

/// H8 (RFC 9113 section 8): what has no meaning in HTTP/2, or another one in HTTP/1, does not come down.
#[test]
fn h8_what_http2_forbids_reaches_no_backend() {
    let setting = Setting::new();
    for (head, body) in &forbidden() {
        let answer = setting.request(head, body);
        let status = answer["status"].as_u64().unwrap();
        assert!(matches!(status, 0 | 400 | 405), "{head:?}: {answer:#}");
        let arrived = setting.backend.requests();
        assert!(arrived.is_empty(), "{head:?}: {arrived:#?}");
    }
    let twice = head("POST", &[("content-length", "4"), ("content-length", "4")]);
    assert_eq!(setting.request(&twice, "four")["status"], 400);
    assert!(setting.backend.requests().is_empty());

    // The control: this client does send such heads, and what is allowed of them arrives.
    for further in [
        &[("app", "x")][..],
        &[("te", "trailers")],
        &[("content-length", "4")],
        &[("host", HOST)],
        &[("app", "x\ty")],
    ] {
        let answer = setting.request(&head("POST", further), "four");
        assert_eq!(answer["status"], 200, "{further:?}: {answer:#}");
        let request = setting.backend.last();
        assert_eq!(request.body, "four");
        assert_eq!(verify(&request, &secret("echo")), Ok(()));
    }
}

/// H8: no name in disguise frames a body, also where HTTP/2 has framed it.
#[test]
fn h8_no_header_in_disguise_frames_a_body_from_http2() {
    let setting = Setting::new();
    let further = [
        ("content!length", "9"),
        ("content_length", "9"),
        ("transfer~encoding", "chunked"),
        ("app!length", "9"),
    ];
    let answer = setting.request(&head("POST", &further), "four");
    assert_eq!(answer["status"], 200, "{answer:#}");
    let request = setting.backend.last();
    let arrived = String::from_utf8_lossy(&request.head).to_ascii_lowercase();
    assert!(arrived.contains("app!length: 9"), "{arrived}");
    assert!(
        !arrived.contains("content") && !arrived.contains("encoding: chunked\r\ntransfer~"),
        "{arrived}"
    );
    assert_eq!(request.body, "four");
}

/// RFC 9113 section 8.2.3: clients send cookies in pieces, and a backend over HTTP/1 knows one header.
#[test]
fn h9_cookies_in_pieces_arrive_as_one() {
    let setting = Setting::new();
    let pieces = [
        ("cookie", "a=1"),
        ("app", "x"),
        ("cookie", "b=2"),
        ("cookie", "c=3"),
    ];
    let answer = setting.request(&head("GET", &pieces), "");
    assert_eq!(answer["status"], 200, "{answer:#}");
    let request = setting.backend.last();
    assert_eq!(request.header("cookie"), "a=1; b=2; c=3");
    assert_eq!(verify(&request, &secret("echo")), Ok(()));
}

/// H8: a body that ends late, with an empty frame, ends once for the backend: nothing is left on the
/// connection for whoever comes next.
#[test]
fn h8_a_body_that_ends_late_leaves_nothing_for_the_next_request() {
    let setting = Setting::new();
    let late = json!({ "headers": head("POST", &[]), "ends": "late" });
    let next = json!({ "headers": head("GET", &[("te", "trailers")]) });
    let both = json!({ "requests": [late, next, late, next] });
    let told = setting.client("h2_client.py", &both);
    let statuses: Vec<_> = { told["answers"].as_array().unwrap() }
        .iter()
        .map(|answer| answer["status"].clone())
        .collect();
    assert_eq!(statuses, [200, 200, 200, 200], "{told:#}");
    assert_eq!(setting.backend.requests().len(), 4);
}

/// A body of no bytes is none, also while its stream has not ended: nobody waits for that.
#[test]
fn a_request_that_promises_no_body_waits_for_no_end() {
    let setting = Setting::new();
    let headers = head("POST", &[("content-length", "0")]);
    let endless = json!({ "headers": headers, "ends": "never" });
    let told = setting.client("h2_client.py", &json!({ "requests": [endless] }));
    assert_eq!(told["answers"][0]["status"], 200, "{told:#}");
    assert_eq!(setting.backend.last().header("content-length"), "0");
}

/// What a flood ends with.
const ENHANCE_YOUR_CALM: u32 = 11;
/// How much memory no attack takes, of a single connection.
const FLAT: u64 = 8 << 20;

/// O13: floods of frames that ask for nothing end their connection, before they cost memory or reach
/// a backend, and everybody else is served meanwhile.
#[test]
fn o13_floods_of_http2_frames_are_cut_off() {
    let setting = Setting::new();
    setting
        .gateway
        .curl("/")
        .certificate(&setting.alice)
        .send()
        .expect_status(200);
    for (attack, count, reason, goaway) in [
        // CVE-2023-44487.
        ("rapid_reset", 5000, "flood", Some(ENHANCE_YOUR_CALM)),
        // CVE-2024-27316.
        ("continuation", 5000, "flood", Some(ENHANCE_YOUR_CALM)),
        ("empty_continuation", 5000, "flood", Some(ENHANCE_YOUR_CALM)),
        // CVE-2019-9518.
        ("empty_data", 5000, "flood", Some(ENHANCE_YOUR_CALM)),
        ("small_data", 60_000, "flood", Some(ENHANCE_YOUR_CALM)),
        // CVE-2016-1544: forty megabytes in ten thousand bytes.
        ("bomb", 10_000, "protocol", None),
        // More requests at a time than were offered.
        ("streams", 300, "flood", Some(ENHANCE_YOUR_CALM)),
        // RFC 9113 section 6.9.1: FLOW_CONTROL_ERROR.
        ("window", 5, "protocol", Some(3)),
        ("malformed", 40, "malformed", Some(ENHANCE_YOUR_CALM)),
    ] {
        let (before, closed) = (setting.gateway.resident_bytes(), setting.closed(reason));
        let arrived = setting.backend.requests().len();
        let told = setting.flood(attack, count);
        if let Some(goaway) = goaway {
            assert_eq!(told["goaway"], goaway, "{attack}: {told}");
        }
        let ended = told["closed"] == true || told["goaway"].as_u64().is_some_and(|code| code > 0);
        assert!(ended, "{attack}: {told}");
        crate::support::wait_for("the flood to be counted", || {
            (setting.closed(reason) > closed).then_some(())
        });
        let grown = setting.gateway.resident_bytes().saturating_sub(before);
        assert!(grown < FLAT, "{attack}: {grown} bytes");
        // Of a thousand, no more came through than may be under way at a time.
        let arrived = setting.backend.requests().len() - arrived;
        assert!(arrived <= 101, "{attack}: {arrived} at the backend");
        for _ in 0..arrived {
            setting.backend.proceed();
        }
        setting
            .gateway
            .curl("/")
            .certificate(&setting.alice)
            .send()
            .expect_status(200);
    }
    let log = setting.gateway.log();
    assert!(log.contains("closed an HTTP/2 connection for what it sent"));

    // The control: the same frames in a number that honest clients send are answered.
    for (attack, count) in [
        ("rapid_reset", 5),
        ("settings", 10),
        ("ping", 10),
        ("empty_data", 5),
    ] {
        let (floods, told) = (setting.closed("flood"), setting.flood(attack, count));
        assert_eq!(told["goaway"], Value::Null, "{attack}: {told}");
        assert!((setting.closed("flood") - floods).abs() < 0.5, "{attack}");
        setting.backend.proceed();
    }
}

/// O13: what has to be answered is answered as fast as it is taken, and is not heaped up: as many
/// answers as questions, in flat memory.
#[test]
fn o13_questions_are_answered_in_flat_memory() {
    let setting = Setting::new();
    let curl = || setting.gateway.curl("/").certificate(&setting.alice).send();
    curl().expect_status(200);
    for attack in ["settings", "ping"] {
        let before = setting.gateway.resident_bytes();
        let told = setting.flood(attack, 100_000);
        assert!(told["acks"].as_u64().unwrap() >= 100_000, "{told}");
        let grown = setting.gateway.resident_bytes().saturating_sub(before);
        assert!(grown < FLAT, "{attack}: {grown} bytes");
        curl().expect_status(200);
    }
}

/// O13: who asks for a gigabyte and takes none of it (a window of zero) holds no more than the buffers
/// of as many requests as may be under way.
#[test]
fn o13_answers_that_nobody_takes_are_not_heaped_up() {
    let setting = Setting::new();
    let curl = || setting.gateway.curl("/").certificate(&setting.alice).send();
    curl().expect_status(200);
    let before = setting.gateway.resident_bytes();
    let told = setting.client(
        "h2_flood.py",
        &json!({ "attack": "zero_window", "count": 100, "hold": 3 }),
    );
    assert_eq!(told["sent"], 101, "{told}");
    setting.backend.wait_for_requests(101);
    curl().expect_status(200);
    let grown = setting.gateway.resident_bytes().saturating_sub(before);
    // A hundred times ten megabytes were asked for; half a megabyte of each is on its way.
    assert!(grown < 64 << 20, "{grown} bytes");
}
