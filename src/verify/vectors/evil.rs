//! What is not to be believed (ATTACKS S and H): what the gateway signed and somebody changed, and what
//! is signed with the right secret in another form than the gateway's.

use super::case::{
    Asked, Case, Change, DISGUISED, FORM, HEADER, INPUT, MISMATCH, NEXT, NOW, ORDERS,
    SIGNATURE as MAC, TIME, UNKNOWN,
};

const REQUEST: &str = "request_malformed";

/// A request with everything that can be covered.
const WHOLE: Asked = Asked {
    method: "POST",
    scopes: &["orders:read", "orders:write"],
    body: Some((
        "hello",
        "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:",
    )),
    ..ORDERS
};

/// Everything that is covered, as the headers have it.
const COVERED: [&str; 6] = [
    "X-Key-Id",
    "X-Client-Id",
    "X-Key-Scopes",
    "Content-Digest",
    INPUT,
    MAC,
];

/// S2: a covered part is another than was signed.
#[rustfmt::skip]
const CHANGED: &[Change] = &[
    ("another method", MISMATCH, |it| it.method = "PUT".to_owned()),
    ("a method in lower case", MISMATCH, |it| it.method = "post".to_owned()),
    ("another host", MISMATCH, |it| it.authority = Some("other.example.com".to_owned())),
    ("a dot after the host", MISMATCH, |it| it.authority = Some("api.example.com.".to_owned())),
    ("another port", MISMATCH, |it| it.authority = Some("api.example.com:8080".to_owned())),
    ("a port that looks like the default", MISMATCH, |it| it.authority = Some("api.example.com:0443".to_owned())),
    ("another path", MISMATCH, |it| it.target = "/v1/order?limit=10".to_owned()),
    ("a path in another case", MISMATCH, |it| it.target = "/V1/orders?limit=10".to_owned()),
    ("a path that is encoded otherwise", MISMATCH, |it| it.target = "/v1/%6frders?limit=10".to_owned()),
    ("a path with a slash more", MISMATCH, |it| it.target = "/v1/orders/?limit=10".to_owned()),
    ("a path with an empty segment more", MISMATCH, |it| it.target = "//v1/orders?limit=10".to_owned()),
    ("a path with a parameter", MISMATCH, |it| it.target = "/v1/orders;a?limit=10".to_owned()),
    ("another query", MISMATCH, |it| it.target = "/v1/orders?limit=11".to_owned()),
    ("a query in another order", MISMATCH, |it| it.target = "/v1/orders?&limit=10".to_owned()),
    ("a query that is encoded otherwise", MISMATCH, |it| it.target = "/v1/orders?limit=1%30".to_owned()),
    ("a query with one more", MISMATCH, |it| it.target = "/v1/orders?limit=10&admin=1".to_owned()),
    ("a fragment after the query", MISMATCH, |it| it.target = "/v1/orders?limit=10#a".to_owned()),
    ("no query any more", MISMATCH, |it| it.target = "/v1/orders".to_owned()),
    ("another key id", MISMATCH, |it| it.edit("X-Key-Id", "0197", "0198")),
    ("another client", MISMATCH, |it| it.set("X-Client-Id", "somebody-else")),
    ("a client in upper case", MISMATCH, |it| it.set("X-Client-Id", "ACME-PAYMENTS")),
    ("another scope", MISMATCH, |it| it.edit("X-Key-Scopes", "orders:read", "admin")),
    ("a scope more", MISMATCH, |it| it.edit("X-Key-Scopes", "orders:read", "orders:read admin")),
    ("scopes with two spaces between", MISMATCH, |it| it.edit("X-Key-Scopes", " ", "  ")),
    ("another digest", MISMATCH, |it| it.edit("Content-Digest", ":LPJN", ":LPJM")),
    ("another body", "body_mismatch", |it| it.body = Some("hallo".to_owned())),
    ("no body any more", "body_mismatch", |it| it.body = Some(String::new())),
    ("a body with more", "body_mismatch", |it| it.body = Some("hello\n".to_owned())),
    ("another time of signing", MISMATCH, |it| it.edit(INPUT, ";created=1795418999", ";created=1795418998")),
    ("another end", MISMATCH, |it| it.edit(INPUT, ";expires=1795419059", ";expires=1795419058")),
    ("another nonce", MISMATCH, |it| it.edit(INPUT, "nonce=\"0197", "nonce=\"0198")),
    ("the key id of the other secret", MISMATCH, |it| it.edit(INPUT, "2026-11", "2026-12")),
    ("the signature with another first byte", MISMATCH, |it| other_mac(it, 0)),
    ("the signature with another last byte", MISMATCH, |it| other_mac(it, 31)),
];

/// S8: something is not there, or there and not covered.
#[rustfmt::skip]
const MISSING: &[Change] = &[
    ("none of the headers", "signature_missing", |it| it.headers.clear()),
    ("no key id", HEADER, |it| it.drop("X-Key-Id")),
    ("no client", HEADER, |it| it.drop("X-Client-Id")),
    ("no signature", HEADER, |it| it.drop(MAC)),
    ("no signature input", HEADER, |it| it.drop(INPUT)),
    ("neither signature nor its input", HEADER, |it| { it.drop(MAC); it.drop(INPUT); }),
    ("the client alone", HEADER, |it| it.headers.retain(|(name, _)| name == "X-Client-Id")),
    ("scopes left out", FORM, |it| it.drop("X-Key-Scopes")),
    ("the digest left out", FORM, |it| it.drop("Content-Digest")),
    ("an empty key id", MISMATCH, |it| it.set("X-Key-Id", "")),
    ("an empty client", MISMATCH, |it| it.set("X-Client-Id", "")),
    ("empty scopes", MISMATCH, |it| it.set("X-Key-Scopes", "")),
    ("an empty signature input", FORM, |it| it.set(INPUT, "")),
    ("an empty signature", FORM, |it| it.set(MAC, "")),
];

/// Of two digests, the second is that of another body; the gateway signs what the client sent.
const TWO_DIGESTS: Asked = Asked {
    body: Some((
        "hello",
        "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:, sha-512=:z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==:",
    )),
    ..WHOLE
};

/// The same where there were no scopes and no digest.
#[rustfmt::skip]
const ADDED: &[Change] = &[
    ("scopes that were not signed", FORM, |it| it.add("X-Key-Scopes", "admin")),
    ("empty scopes that were not signed", FORM, |it| it.add("X-Key-Scopes", "")),
    ("a digest that was not signed", FORM, |it| it.add("Content-Digest", "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:")),
    ("scopes under the name X_Key_Scopes", DISGUISED, |it| it.add("X_Key_Scopes", "admin")),
    ("a digest under the name Content_Digest", DISGUISED, |it| it.add("Content_Digest", "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:")),
];

/// S6, S7: signed with the right secret, in a form that the gateway never gives. Each is signed again
/// after the change, so that the form alone is what is wrong.
#[rustfmt::skip]
const AGAIN: &[Change] = &[
    ("nothing covered", FORM, |it| components(it, "")),
    ("method not covered", FORM, |it| it.edit(INPUT, "\"@method\" ", "")),
    ("authority not covered", FORM, |it| it.edit(INPUT, "\"@authority\" ", "")),
    ("path not covered", FORM, |it| it.edit(INPUT, "\"@path\" ", "")),
    ("query not covered", FORM, |it| it.edit(INPUT, "\"@query\" ", "")),
    ("key id not covered", FORM, |it| it.edit(INPUT, "\"x-key-id\" ", "")),
    ("client not covered", FORM, |it| it.edit(INPUT, "\"x-client-id\" ", "")),
    ("scopes not covered", FORM, |it| it.edit(INPUT, " \"x-key-scopes\"", "")),
    ("digest not covered", FORM, |it| it.edit(INPUT, " \"content-digest\"", "")),
    ("components in another order", FORM, |it| it.edit(INPUT, "\"@method\" \"@authority\"", "\"@authority\" \"@method\"")),
    ("scopes and digest in another order", FORM, |it| it.edit(INPUT, "\"x-key-scopes\" \"content-digest\"", "\"content-digest\" \"x-key-scopes\"")),
    ("a component twice", FORM, |it| it.edit(INPUT, "(\"@method\"", "(\"@method\" \"@method\"")),
    ("a component more", FORM, |it| { it.add("X-Request-Id", "a"); it.edit(INPUT, "\"content-digest\"", "\"content-digest\" \"x-request-id\""); }),
    ("a component with a parameter", FORM, |it| it.edit(INPUT, "\"x-key-id\"", "\"x-key-id\";bs")),
    ("two spaces between components", FORM, |it| it.edit(INPUT, "\"@method\" ", "\"@method\"  ")),
    ("a space in the list", FORM, |it| it.edit(INPUT, "(\"@method\"", "( \"@method\"")),
    ("a component in upper case", FORM, |it| it.edit(INPUT, "\"x-key-id\"", "\"X-Key-Id\"")),
    ("another label", FORM, |it| it.edit(INPUT, "gw=", "gw2=")),
    ("a tab in the client", FORM, |it| it.edit("X-Client-Id", "-", "\t")),
    ("a label in upper case", FORM, |it| it.edit(INPUT, "gw=", "GW=")),
    ("another tag", FORM, |it| it.edit(INPUT, "tag=\"keyferry\"", "tag=\"other\"")),
    ("no tag", FORM, |it| it.edit(INPUT, ";tag=\"keyferry\"", "")),
    ("a tag that begins like ours", FORM, |it| it.edit(INPUT, "tag=\"keyferry\"", "tag=\"keyferry2\"")),
    ("no alg", FORM, |it| it.edit(INPUT, ";alg=\"hmac-sha256\"", "")),
    ("alg none", FORM, |it| it.edit(INPUT, "hmac-sha256", "none")),
    ("alg of another kind", FORM, |it| it.edit(INPUT, "hmac-sha256", "rsa-v1_5-sha256")),
    ("alg in upper case", FORM, |it| it.edit(INPUT, "hmac-sha256", "HMAC-SHA256")),
    ("alg empty", FORM, |it| it.edit(INPUT, "hmac-sha256", "")),
    ("alg twice", FORM, |it| it.edit(INPUT, ";keyid=", ";alg=\"none\";keyid=")),
    ("keyid twice", FORM, |it| it.edit(INPUT, ";tag=", ";keyid=\"orders-2026-11\";tag=")),
    ("no keyid", FORM, |it| it.edit(INPUT, ";keyid=\"orders-2026-11\"", "")),
    ("an empty keyid", UNKNOWN, |it| it.edit(INPUT, "orders-2026-11", "")),
    ("an unknown keyid", UNKNOWN, |it| it.edit(INPUT, "orders-2026-11", "orders-2026-10")),
    ("a keyid in upper case", UNKNOWN, |it| it.edit(INPUT, "orders-2026-11", "ORDERS-2026-11")),
    ("a keyid that objects have", UNKNOWN, |it| it.edit(INPUT, "orders-2026-11", "__proto__")),
    ("a keyid that is a path", UNKNOWN, |it| it.edit(INPUT, "orders-2026-11", "..")),
    ("parameters in another order", FORM, |it| it.edit(INPUT, ";keyid=\"orders-2026-11\";tag=\"keyferry\"", ";tag=\"keyferry\";keyid=\"orders-2026-11\"")),
    ("a parameter more", FORM, |it| it.edit(INPUT, ";tag=", ";a=1;tag=")),
    ("a parameter after the last", FORM, |it| it.edit(INPUT, "tag=\"keyferry\"", "tag=\"keyferry\";a")),
    ("a space between parameters", FORM, |it| it.edit(INPUT, ";keyid", "; keyid")),
    ("created as a text", FORM, |it| it.edit(INPUT, "1795418999", "\"1795418999\"")),
    ("created with a fraction", FORM, |it| it.edit(INPUT, "1795418999", "1795418999.0")),
    ("created with a zero before it", FORM, |it| it.edit(INPUT, "=1795418999", "=01795418999")),
    ("created with a plus", FORM, |it| it.edit(INPUT, "=1795418999", "=+1795418999")),
    ("created that is no number", FORM, |it| it.edit(INPUT, "1795418999", "now")),
    ("created that is empty", FORM, |it| it.edit(INPUT, "1795418999", "")),
    ("no created", FORM, |it| it.edit(INPUT, ";created=1795418999", "")),
    ("no expires", FORM, |it| it.edit(INPUT, ";expires=1795419059", "")),
    ("expires with more digits than there are", FORM, |it| it.edit(INPUT, "1795419059", "99999999999999999999")),
    ("expires of nineteen digits", FORM, |it| it.edit(INPUT, "1795419059", "9223372036854775807")),
    ("an empty nonce", FORM, |it| nonce(it, "")),
    ("no nonce", FORM, |it| { let old = the_nonce(it); it.edit(INPUT, &format!(";nonce=\"{old}\""), ""); }),
    ("a nonce with a quote in it", FORM, |it| nonce(it, "a\\\"b")),
    ("a second later than is believed", TIME, |it| window(it, -66, -6)),
    ("a second earlier than is believed", TIME, |it| window(it, 6, 66)),
    ("long ago", TIME, |it| window(it, -86_400, -86_340)),
    ("in a year", TIME, |it| window(it, 31_536_000, 31_536_060)),
    ("good for longer than a minute", TIME, |it| window(it, 0, 61)),
    ("good for ever", TIME, |it| it.edit(INPUT, "1795419059", "999999999999999")),
    ("ending before it begins", TIME, |it| window(it, 4, 0)),
    ("signed in 1970", TIME, |it| { it.edit(INPUT, "=1795418999", "=0"); it.edit(INPUT, "1795419059", "60"); }),
];

/// S6: two signatures, and a signature in another spelling.
#[rustfmt::skip]
const SPELLED: &[Change] = &[
    ("a second signature after ours", FORM, |it| it.both(|one| format!("{one}, {}", one.replacen("gw=", "gw2=", 1)))),
    ("a second signature before ours", FORM, |it| it.both(|one| format!("{}, {one}", one.replacen("gw=", "gw2=", 1)))),
    ("our label twice in one header", FORM, |it| it.both(|one| format!("{one}, {one}"))),
    ("a second input alone", FORM, |it| { let input = it.value(INPUT); it.set(INPUT, &format!("{input}, {input}")); }),
    ("another label for the input alone", FORM, |it| it.edit(INPUT, "gw=", "gw2=")),
    ("another label for the signature alone", FORM, |it| it.edit(MAC, "gw=", "gw2=")),
    ("signed with another secret", MISMATCH, |it| it.sign_again("nobody's")),
    ("signed with the other secret", MISMATCH, |it| it.sign_again(NEXT)),
    ("an unknown keyid without a signature", UNKNOWN, |it| { it.edit(INPUT, "orders-2026-11", "orders-2026-10"); it.set(MAC, "gw=::"); }),
    ("the signature cut to half", MISMATCH, |it| it.change_bytes(|mac| mac.truncate(16))),
    ("the signature cut by a byte", MISMATCH, |it| it.change_bytes(|mac| mac.truncate(31))),
    ("an empty byte sequence", MISMATCH, |it| it.set(MAC, "gw=::")),
    ("the signature with a byte more", MISMATCH, |it| it.change_bytes(|mac| mac.push(0))),
    ("the signature without colons", FORM, |it| { let old = it.value(MAC); it.set(MAC, &old.replace(':', "")); }),
    ("the signature without its last colon", FORM, |it| { let old = it.value(MAC); it.set(MAC, old.strip_suffix(':').unwrap()); }),
    ("the signature as a text", FORM, |it| { let old = it.value(MAC); it.set(MAC, &old.replace(':', "\"")); }),
    ("the signature without padding", FORM, |it| { let old = it.value(MAC); it.set(MAC, &format!("{}:", &old[..old.len() - 2])); }),
    ("the signature with padding more", FORM, |it| { let old = it.value(MAC); it.set(MAC, &format!("{}=:", &old[..old.len() - 1])); }),
    ("the signature in the alphabet of URLs", FORM, |it| { let old = it.value(MAC); it.set(MAC, &old.replace('+', "-").replace('/', "_")); }),
    ("the signature with other unused bits", FORM, unused_bits),
    ("the signature with a space in it", FORM, |it| { let old = it.value(MAC); it.set(MAC, &format!("{} {}", &old[..20], &old[20..])); }),
    ("the signature with a parameter", FORM, |it| { let old = it.value(MAC); it.set(MAC, &format!("{old};a=1")); }),
    ("the signature in hexadecimal", MISMATCH, |it| it.put(&hex::encode(it.bytes()))),
    ("an input with a comma after it", FORM, |it| { let old = it.value(INPUT); it.set(INPUT, &format!("{old},")); }),
];

/// H: names that some take for ours, and values that cannot be.
#[rustfmt::skip]
const DISGUISES: &[Change] = &[
    ("X_Client_Id beside", DISGUISED, |it| it.add("X_Client_Id", "admin")),
    ("X_Client_Id before", DISGUISED, |it| it.headers.insert(0, ("X_Client_Id".to_owned(), "admin".to_owned()))),
    ("X_Client_Id in its place", DISGUISED, |it| { it.drop("X-Client-Id"); it.add("X_Client_Id", "acme-payments"); }),
    ("X-Client_Id beside", DISGUISED, |it| it.add("X-Client_Id", "admin")),
    ("X.Client.Id beside", DISGUISED, |it| it.add("X.Client.Id", "admin")),
    ("X_Key_Id beside", DISGUISED, |it| it.add("X_Key_Id", "0197f3c2a1b27c3d8e4f5a6b7c8d9e0e")),
    ("X_Key_Scopes beside", DISGUISED, |it| it.add("X_Key_Scopes", "admin")),
    ("Signature_Input beside", DISGUISED, |it| it.add("Signature_Input", "gw=()")),
    ("Content_Digest beside", DISGUISED, |it| it.add("Content_Digest", "sha-256=:AAAA:")),
    ("a list of clients", MISMATCH, |it| it.edit("X-Client-Id", "acme", "admin, acme")),
    ("a tab in the client", FORM, |it| it.edit("X-Client-Id", "-", "\t")),
    ("a client that is not ASCII", HEADER, |it| it.edit("X-Client-Id", "acme", "acm\u{e9}")),
    ("a client in UTF-8", HEADER, |it| it.edit("X-Client-Id", "acme", "acm\u{c3}\u{a9}")),
    ("an input that is not ASCII", HEADER, |it| it.edit(INPUT, "orders", "\u{f6}rders")),
    ("a client of four thousand characters", MISMATCH, |it| it.set("X-Client-Id", &"a".repeat(4000))),
    ("a nonce of four thousand characters", MISMATCH, |it| { let old = the_nonce(it); it.edit(INPUT, &old, &"a".repeat(4000)); }),
    ("NUL in the client", REQUEST, |it| it.edit("X-Client-Id", "-", "\0")),
    ("a line folded before the client's end", REQUEST, |it| it.edit("X-Client-Id", "acme-", "acme-\r\n ")),
    ("a space before the colon of a second client", REQUEST, |it| it.add("X-Client-Id ", "admin")),
    ("a carriage return within the client", REQUEST, |it| it.edit("X-Client-Id", "-", "\r")),
    ("a header within the client", REQUEST, |it| it.edit("X-Client-Id", "acme-", "acme-\nX-Client-Id: ")),
    ("two hosts", REQUEST, |it| it.add("Host", "other.example.com")),
    ("the host twice", REQUEST, |it| it.add("Host", "api.example.com")),
    ("no host", REQUEST, |it| it.authority = None),
    ("no host over HTTP/1.0", REQUEST, |it| { it.authority = None; it.version = Some("HTTP/1.0"); }),
    ("an absolute target of another host", REQUEST, |it| it.target = "http://other.example.com/v1/orders?limit=10".to_owned()),
    ("a target without a slash", REQUEST, |it| it.target = "v1/orders?limit=10".to_owned()),
    ("a path in UTF-8", REQUEST, |it| it.target = "/v1/\u{c3}\u{a9}?limit=10".to_owned()),
    ("NUL in the path", REQUEST, |it| it.target = "/v1/orders\0?limit=10".to_owned()),
];

pub(super) fn all(good: usize) -> Vec<Case> {
    let mut all = Vec::new();
    let mut add_to = |asked: Asked, name: &str, reason, change: &dyn Fn(&mut Case)| {
        // A change that needs '+' or '/' in the signature gets another nonce until there is one.
        let numbers = (good + all.len()..).step_by(1000).take(100);
        let changed = { numbers }.find_map(|number| {
            let signed = asked.signed(name, number);
            let mut case = signed.clone();
            change(&mut case);
            (format!("{case:?}") != format!("{signed:?}")).then_some(case)
        });
        all.push(changed.expect(name).refused(reason));
    };
    for (name, reason, change) in ADDED {
        add_to(ORDERS, name, reason, change);
    }
    let two = "two digests of two bodies";
    add_to(TWO_DIGESTS, two, "body_mismatch", &|it| {
        it.add("Accept", "*/*");
    });
    let mut add =
        |name: &str, reason, change: &dyn Fn(&mut Case)| add_to(WHOLE, name, reason, change);
    for (name, reason, change) in [CHANGED, MISSING, SPELLED, DISGUISES].concat() {
        add(name, reason, &change);
    }
    for (name, reason, change) in AGAIN {
        add(&format!("signed again: {name}"), reason, &|it| {
            change(it);
            it.sign_again(super::case::KEY);
            it.is_signed_again = true;
        });
    }
    for name in COVERED {
        add(&format!("{name} twice"), HEADER, &|it| {
            it.add(name, &it.value(name));
        });
        add(&format!("another {name} after it"), HEADER, &|it| {
            it.add(name, "a");
        });
        add(&format!("another {name} before it"), HEADER, &|it| {
            it.headers.insert(0, (name.to_owned(), "a".to_owned()));
        });
        add(&format!("an empty {name} after it"), HEADER, &|it| {
            it.add(name, "");
        });
    }
    all
}

fn components(case: &mut Case, list: &str) {
    let input = case.value(INPUT);
    let (_, parameters) = input.split_once(')').unwrap();
    case.set(INPUT, &format!("gw=({list}){parameters}"));
}

fn the_nonce(case: &Case) -> String {
    let input = case.value(INPUT);
    input.split("nonce=\"").nth(1).unwrap()[..36].to_owned()
}

fn nonce(case: &mut Case, new: &str) {
    let old = the_nonce(case);
    case.edit(INPUT, &old, new);
}

/// In seconds from now.
fn window(case: &mut Case, created: i64, expires: i64) {
    let at = |seconds: i64| (NOW.as_unix() + seconds).to_string();
    case.edit(INPUT, "1795418999", &at(created));
    case.edit(INPUT, "1795419059", &at(expires));
}

fn other_mac(case: &mut Case, at: usize) {
    case.change_bytes(|mac| mac[at] ^= 1);
}

/// The last character before the padding has two bits that stand for nothing.
fn unused_bits(case: &mut Case) {
    let old = case.value(MAC);
    let at = old.len() - 3;
    let last = old.as_bytes()[at] + 1;
    case.set(MAC, &format!("{}{}=:", &old[..at], char::from(last)));
}
