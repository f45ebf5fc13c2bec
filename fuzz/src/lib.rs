//! What is fuzzed: each target takes bytes that a stranger, a file or a store could hold, and checks
//! what must be true whatever they are. None may panic, and none may take nonsense for sense.
//!
//! `fuzz/targets` gives them to a fuzzer, `tests/fuzz` to the corpus and to changes of it.

use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri};
use keyferry::certificate::{
    self, Ca, Chain, Fingerprint, Handed, Lineage, ListFile, Revocation, Trust, Verifier,
    WhenUnknown,
};
use keyferry::client::ClientId;
use keyferry::clock::Timestamp;
use keyferry::config::Source;
use keyferry::credential::{Presented, PresentedCertificate, PresentedKey};
use keyferry::directory::Snapshot;
use keyferry::door::{hello, proxy_header};
use keyferry::framing;
use keyferry::front::{self, Arrival, Brought, Front, Fronts, Shows};
use keyferry::head::Head;
use keyferry::identity::Freshness;
use keyferry::import::{self, Found, Issued, Known, Place, Plan};
use keyferry::key::{ApiKey, Format, KeyId, Pepper, Peppers};
use keyferry::masquerade::{self, Masquerade};
use keyferry::secret::Secret;
use keyferry::sign::{self, Message, Names, Signer, SigningKey, VerifyingKey, jwks};
use keyferry::store::backup::{Backup, Line, Secrets};
use keyferry::store::{Actor, Epoch, RecordKeys, Versioned};
use keyferry::trace::{Began, Trace};
use keyferry::upstream::{Rules, rewrite};
use pingora::http::RequestHeader;
use tempfile::NamedTempFile;

#[path = "../../benches/compare/identities.rs"]
mod identities;
#[path = "../../tests/support/pki.rs"]
mod pki;
#[path = "../../benches/core/world.rs"]
mod world;

/// The example of RFC 9421 appendix B.1.4.
const PUBLIC_KEY: &[u8] = include_bytes!("../corpus/public_key/pem");

static FORMAT: LazyLock<Format> = LazyLock::new(|| Format::new("kf", "live").expect("a format"));
static PEPPERS: LazyLock<Peppers> =
    LazyLock::new(|| Peppers::new(Pepper::new(1, &Secret::new(vec![7; 32])), []));
static AUTHORITY: LazyLock<pki::Issued> = LazyLock::new(|| pki::root("Clients Root").self_signed());
static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| Verifier::new(Trust::new(1, vec![ca()]).expect("an authority")));
static GOOD: LazyLock<pki::Issued> = LazyLock::new(|| pki::leaf("client-1").signed_by(&AUTHORITY));

/// What backends can be told in forms that know the whole certificate or a name of it.
static TOLD: LazyLock<Masquerade> = LazyLock::new(|| {
    let values = [
        "$ssl_client_s_dn",
        "$ssl_client_i_dn_legacy",
        "$ssl_client_serial",
        "$ssl_client_v_end",
        "$ssl_client_escaped_cert",
        "%[ssl_c_s_dn]",
        "%[ssl_c_s_dn(cn)]",
        "%[ssl_c_notafter]",
        "%{SSL_CLIENT_S_DN}s",
        "Hash;Cert;Subject;URI;DNS",
        "rfc9440",
    ];
    let header = |value: &&str| {
        let value = value.parse().expect("a value");
        masquerade::Header::new("X-Told", value)
    };
    Masquerade::new(values.iter().map(header).collect())
});

/// A target, by its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 16] = [
    ("admit", admit),
    ("api_key", api_key),
    ("backup", backup),
    ("certificate", certificate),
    ("client_hello", client_hello),
    ("config", config),
    ("forwarded", forwarded),
    ("framing", framing),
    ("head", head),
    ("import", import),
    ("proxy_header", proxy_header),
    ("record", record),
    ("revocation_list", revocation_list),
    ("public_key", public_key),
    ("signature", signature),
    ("snapshot", snapshot),
];

/// What to begin with, for targets whose good input is not to be kept in a repository, or is made of
/// secrets and dates.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let key = ApiKey::generate(KeyId::generate(), &FORMAT).expect("chance");
    let der = GOOD.x509.to_der().expect("a certificate");
    let certificate = BASE64_STANDARD.encode(&der);
    vec![
        ("forwarded", format!("a:{certificate}:").into_bytes()),
        ("forwarded", format!("bCert=\"{certificate}\"").into_bytes()),
        ("forwarded", format!("e{certificate}").into_bytes()),
        ("api_key", key.reveal().as_bytes().to_vec()),
        ("certificate", der),
        ("certificate", GOOD.chain_pem()),
    ]
}

/// What claims to be an API key: what is one has one form.
pub fn api_key(data: &[u8]) {
    if let Ok(key) = ApiKey::parse(data, &FORMAT) {
        assert_eq!(key.reveal().as_bytes(), data);
        assert!(FORMAT.claims(data) && FORMAT.occurs_in(data));
        assert!(!key.matches(None, &PEPPERS));
    }
}

/// A backup, and a line of one that reads.
pub fn backup(data: &[u8]) {
    let record_keys = RecordKeys::none();
    let secrets = Secrets {
        record_keys: &record_keys,
        peppers: &PEPPERS,
    };
    let file = file_of(data);
    let open = file.reopen().expect("a file");
    assert!(Backup::of(open, file.path(), &secrets).is_err(), "not ours");
    if let Ok(line) = serde_json::from_slice::<Line>(data) {
        let text = serde_json::to_vec(&line).expect("a line");
        let again: Line = serde_json::from_slice(&text).expect("a line");
        assert_eq!(text, serde_json::to_vec(&again).expect("a line"));
    }
}

/// A certificate as a client, a front or a file gives it. Only the one that was issued is good.
pub fn certificate(data: &[u8]) {
    let _ = Handed::read(data);
    let ders = certificate::certificates(data).unwrap_or_else(|_| vec![data.to_vec()]);
    let Some((leaf, others)) = ders.split_first() else {
        return;
    };
    let chain = Chain::from_der(leaf, others);
    let now = Timestamp::from_unix(pki::now());
    let verdict = VERIFIER.verify(&chain, now);
    let good = GOOD.x509.to_der().expect("a certificate");
    assert!(verdict.at(now).is_err() || *leaf == good);
    let explanation = VERIFIER.explain(&chain, Lineage::Unknown, now);
    let json = serde_json::to_string(&explanation).expect("an explanation");
    let text = explanation.to_string();
    assert!(!json.contains('\0') && !text.contains(['\0', '\u{1b}', '\u{202e}']));
    // Backends are told what the authority signed, whatever it is: in one line each.
    if let Ok(read) = masquerade::Certificate::read(leaf) {
        for (_, value) in TOLD.headers(&read, now) {
            assert!(!value.as_bytes().iter().any(|byte| b"\0\r\n".contains(byte)));
        }
    }
}

/// The beginning of a connection: no more is asked for than a hello can have.
pub fn client_hello(data: &[u8]) {
    let whole = hello::Reader::default().read(data);
    if whole == hello::Reading::Unfinished {
        assert!(data.len() < hello::LONGEST);
    }
    // In pieces it reads as at once.
    let mut reader = hello::Reader::default();
    let mut pieces = (0..=data.len()).step_by(7).chain([data.len()]);
    let known = pieces.find_map(|end| {
        let reading = reader.read(data.get(..end).unwrap_or_default());
        (reading != hello::Reading::Unfinished).then_some(reading)
    });
    assert_eq!(known.unwrap_or(hello::Reading::Unfinished), whole);
}

/// A configuration: it is right, or every problem is told in words.
pub fn config(data: &[u8]) {
    let file = file_of(data);
    let source = Source::new(file.path().to_owned(), std::iter::empty());
    match source.read().config {
        Ok(_) => {}
        Err(problems) => assert!(
            problems
                .iter()
                .all(|problem| !problem.to_string().is_empty())
        ),
    }
}

/// A request out of lines as on the wire, with any bytes; and its target.
fn request(data: &[u8]) -> (Parts, Vec<u8>) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let mut words = first.splitn(2, |byte| *byte == b' ');
    let method = Method::from_bytes(words.next().unwrap_or_default()).unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::try_from(target).unwrap_or_default();
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(parts.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            request.headers_mut().append(name, value);
        }
    }
    (request.into_parts().0, target.to_vec())
}

/// The head of a request, and the credentials in it.
pub fn head(data: &[u8]) {
    let (request, target) = request(data);
    if let Ok(head) = Head::read(&request, &target, &FORMAT) {
        assert!(head.path.starts_with('/') && head.canonical_path().starts_with('/'));
        let mut segments = head.canonical_path().split('/');
        assert!(segments.all(|segment| segment != "." && segment != ".."));
        assert!(!FORMAT.occurs_in(&target));
        assert_eq!(head.host(), head.host().to_ascii_lowercase());
    }
    let presented = Presented::read(&request.headers, PresentedCertificate::Absent, &FORMAT);
    if let Ok(presented) = presented
        && request.headers.contains_key("x-api-key")
    {
        assert!(!matches!(presented.key(), PresentedKey::Absent));
    }
}

/// The whole decision about a request, and what its backend would get. The word `KEY` stands for the
/// key of a client, which is made at run time; a first byte `C` for its certificate.
pub fn admit(data: &[u8]) {
    static WORLD: LazyLock<world::World> =
        LazyLock::new(|| world::World::new().expect("a gateway"));
    static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
        let key = SigningKey::new("orders", &Secret::new(vec![9; 32])).expect("a key");
        Signer::new(key, Names::default())
    });
    let client = WORLD.first().expect("a client");
    let key = client.key.reveal();
    let (connection, data) = match data.strip_prefix(b"C") {
        Some(rest) => (&WORLD.with_certificate, rest),
        None => (&WORLD.without_certificate, data),
    };
    let text = String::from_utf8_lossy(data).replace("KEY", key);
    let (request, target) = request(text.as_bytes());
    let Ok(head) = Head::read(&request, &target, &WORLD.format) else {
        return;
    };
    let (live, now) = (&WORLD.live, WORLD.now);
    let admitted = WORLD
        .gateway
        .admit(&head, connection, live, Freshness::Following, now);
    let Ok(permit) = admitted else { return };
    let by_key = text.contains(key);
    if let Some(identity) = permit.identity() {
        assert_eq!(*identity.client(), client.client);
        assert!(by_key || Arc::ptr_eq(connection, &WORLD.with_certificate));
    }
    let built = RequestHeader::build(head.method.clone(), head.path.as_bytes(), None);
    let Ok(mut sent) = built else { return };
    for (name, value) in &request.headers {
        let _ = sent.append_header(name.clone(), value);
    }
    let began = Began {
        format: &WORLD.format,
        names: None,
        by_front: false,
    };
    let trace = Trace::begin(&request.headers, live.tracing, began);
    let mut made = None;
    let rules = Rules {
        names: &live.names,
        format: &WORLD.format,
        keep_ambiguous: false,
        peer: None,
        trace: trace.onward(&mut made),
        told: Vec::new(),
    };
    let id = "0197f3c2-a1b2-7c3d-8e4f-5a6b7c8d9e10";
    if rewrite(&mut sent, &head, &permit, Some(&SIGNER), &rules, id, now).is_err() {
        return;
    }
    for name in ["x-key-id", "x-client-id", "signature", "signature-input"] {
        let there = sent.headers.get_all(name).iter().count();
        assert_eq!(there, usize::from(permit.identity().is_some()), "{name}");
    }
    let mut values = sent.headers.values();
    assert!(values.all(|value| !WORLD.format.occurs_in(value.as_bytes())));
}

/// Where a request over HTTP/1 ends: however its bytes come in, it is read the same.
pub fn framing(data: &[u8]) {
    const LIMITS: framing::Limits = framing::Limits {
        bytes: 4096,
        fields: 32,
    };
    let at_once = framing::Reader::new(LIMITS).more(data);
    let mut reader = framing::Reader::new(LIMITS);
    let bit_by_bit = (1..=data.len()).map(|end| reader.more(data.get(..end).unwrap_or_default()));
    let mut said = bit_by_bit.skip_while(|said| matches!(said, Ok(None)));
    match (at_once, said.next()) {
        (Ok(Some(whole)), Some(Ok(Some(same)))) => {
            assert_eq!((whole.end, whole.chunked), (same.end, same.chunked));
            assert!(whole.end <= data.len() && whole.end <= LIMITS.bytes);
            let body = data.get(whole.end..).unwrap_or_default();
            let at_once = framing::Chunks::default().more(body).is_ok();
            let mut chunks = framing::Chunks::default();
            let bit_by_bit = body.iter().all(|byte| chunks.more(&[*byte]).is_ok());
            assert_eq!(at_once, bit_by_bit);
        }
        (Ok(None), None) | (Err(_), Some(Err(_))) => {}
        (at_once, other) => panic!("{at_once:?} and {other:?}"),
    }
}

/// A file of another gateway, in the format that the first byte names: whoever is found has an id, and
/// is made with all that he has at once.
pub fn import(data: &[u8]) {
    let Some((format, mut file)) = data.split_first() else {
        return;
    };
    let Some(format) = import::Format::ALL.get(usize::from(format.wrapping_sub(b'a'))) else {
        return;
    };
    let now = Timestamp::from_unix(1_800_000_000);
    let mut issued = Issued::new(now);
    issued.take(Handed::read(&GOOD.pem()).expect("a certificate"));
    let mut plan = Plan::new(issued);
    let mut sink = |line: u32, found: Found| plan.take(Place { file: 0, line }, found);
    let lines = import::read(*format, "client-1.pem", now, &mut file, &mut sink).expect("memory");
    plan.count_lines(lines);
    plan.close();
    plan.settle();
    let pieces: Vec<_> = plan.pieces().filter(|piece| !piece.goes_on()).collect();
    for piece in &pieces {
        assert!(piece.id().as_str().parse::<ClientId>().is_ok());
        let writes = piece.writes(Known::default(), true, &Actor::Gateway, now);
        let writes = writes.expect("nobody is in the way");
        assert!(writes.iter().all(|write| write.expected == Epoch::NONE));
    }
    assert_eq!(pieces.len() as u64, plan.counts().new_clients);
    assert!(plan.misread().is_sorted_by_key(|one| one.place));
}

/// What a front forwards, in the format that the first byte names. Only the certificate that was
/// issued is good.
pub fn forwarded(data: &[u8]) {
    static FRONTS: LazyLock<Vec<(Fronts, &'static str)>> = LazyLock::new(|| {
        let pem = HeaderName::from_static("x-ssl-client-cert");
        let formats = [
            (front::Format::Rfc9440, "client-cert"),
            (front::Format::Xfcc, "x-forwarded-client-cert"),
            (front::Format::Alb, "x-amzn-mtls-clientcert"),
            (front::Format::Pem(pem), "x-ssl-client-cert"),
            (front::Format::Traefik, "x-forwarded-tls-client-cert"),
        ];
        let fronts = formats.map(|(format, header)| {
            let front = Front {
                name: "edge".to_owned(),
                from: vec!["192.0.2.0/24".parse().expect("a network")],
                shows: Shows::Secret(vec![Secret::new(b"a secret of the front".to_vec())]),
                format,
                may_claim: false,
                client_address: None,
                asks: None,
            };
            (Fronts::new(vec![front]), header)
        });
        fronts.into()
    });
    let Some((first, value)) = data.split_first() else {
        return;
    };
    let number = usize::from(*first).wrapping_sub(usize::from(b'a'));
    let (fronts, header) = FRONTS.get(number).unwrap_or(&FRONTS[0]);
    let mut request = Request::get("/").header("host", "api.example.com");
    request = request.header("x-front-secret", "a secret of the front");
    for value in value.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            request = request.header(*header, value);
        }
    }
    let (request, ()) = request.body(()).expect("a request").into_parts();
    let head = Head::read(&request, b"/", &FORMAT).expect("a head");
    let arrival = Arrival {
        addresses: ["192.0.2.1".parse().ok(), None],
        sent: None,
        told: None,
        head: &head,
        is_question: false,
    };
    let now = Timestamp::from_unix(pki::now());
    let Brought::By(believed) = fronts.brought(arrival, now) else {
        panic!("it shows the secret");
    };
    if let Ok(Some(sent)) = fronts.forwarded(believed.front(), arrival, &VERIFIER, now) {
        let good = Fingerprint::of(&GOOD.x509.to_der().expect("a certificate"));
        let is_good = sent.verified(&VERIFIER, now).is_some();
        assert!(!is_good || *sent.chain().fingerprint() == good);
    }
}

/// A header of the PROXY protocol: a longer input reads the same.
pub fn proxy_header(data: &[u8]) {
    let Ok(Some(header)) = proxy_header::read(data) else {
        return;
    };
    let (whole, _) = data.split_at(header.length);
    assert_eq!(proxy_header::read(whole), Ok(Some(header)));
    for end in 0..whole.len() {
        let part = whole.get(..end).unwrap_or_default();
        assert_eq!(proxy_header::read(part), Ok(None), "{end} bytes of it");
    }
}

/// A record of the store: it says the same once it was written.
pub fn record(data: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<Versioned>(data) {
        let text = serde_json::to_vec(&record).expect("a record");
        let again: Versioned = serde_json::from_slice(&text).expect("a record");
        assert_eq!(text, serde_json::to_vec(&again).expect("a record"));
        assert_eq!(record.record.id(), again.record.id());
        let id = record.record.id();
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}

/// A file of revocation lists, and a certificate that is looked up in it.
pub fn revocation_list(data: &[u8]) {
    let Ok(file) = ListFile::read(data) else {
        return;
    };
    let revocation = Revocation {
        files: vec![("list".into(), Arc::new(file))],
        when_unknown: WhenUnknown::Refuse,
    };
    let trust = Trust::new(
        1,
        vec![Ca {
            revocation: Some(revocation),
            ..ca()
        }],
    );
    let verifier = Verifier::new(trust.expect("an authority"));
    let now = Timestamp::from_unix(pki::now());
    let verdict = verifier.verify(&Chain::new(&GOOD.x509, []), now);
    assert!(
        verdict.at(now).is_err(),
        "a list that nobody signed clears nobody"
    );
}

/// What a backend gets that claims to be signed by us. Nobody else can sign.
pub fn signature(data: &[u8]) {
    static BACKEND: LazyLock<sign::Verifier> = LazyLock::new(|| {
        let key = SigningKey::new("orders", &Secret::new(vec![9; 32])).expect("a key");
        let public = VerifyingKey::ed25519("public", PUBLIC_KEY).expect("a key");
        sign::Verifier::new([key.into(), public], Names::default())
    });
    let names = [
        "signature-input",
        "signature",
        "x-key-id",
        "x-client-id",
        "x-key-scopes",
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in names.iter().zip(data.split(|byte| *byte == b'\n')) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(*name, value);
        }
    }
    let message = Message {
        method: "GET",
        authority: "api.example.com",
        path: "/",
        query: None,
        content_digest: None,
    };
    let now = Timestamp::from_unix(1_795_419_000);
    assert!(BACKEND.verify(&message, &headers, now).is_err());
}

/// Public keys that a backend is given, in PEM or as a JWK set: what is taken comes back as it is.
pub fn public_key(data: &[u8]) {
    if let Ok(key) = VerifyingKey::ed25519("orders", data) {
        let pem = key.to_pem().expect("a public key");
        let again = VerifyingKey::ed25519("orders", pem.as_bytes()).expect("what we write");
        assert!(again.is_same(&key));
    }
    if let Ok(keys) = jwks::read(data) {
        let again = jwks::read(jwks::write(&keys).as_bytes()).expect("what we write");
        assert!(again.len() == keys.len() && again.iter().zip(&keys).all(|(a, b)| a.is_same(b)));
        assert!(SigningKey::new("orders", &Secret::new(data.to_vec())).is_err());
    }
    // A private key is never taken for a public one.
    let private = SigningKey::ed25519("orders", &Secret::new(data.to_vec()));
    assert!(private.is_err() || VerifyingKey::ed25519("orders", data).is_err());
}

/// A snapshot of the directory: what we did not seal does not open.
pub fn snapshot(data: &[u8]) {
    let file = file_of(data);
    let snapshot = Snapshot::new(file.path().to_owned(), Secret::new(vec![3; 32]));
    assert!(snapshot.inspect(Timestamp::from_unix(pki::now())).is_err());
}

fn ca() -> Ca {
    Ca {
        name: "clients".to_owned(),
        pem: AUTHORITY.pem(),
        max_depth: 4,
        ..Ca::default()
    }
}

fn file_of(data: &[u8]) -> NamedTempFile {
    let memory = Path::new("/dev/shm");
    let file = if memory.is_dir() {
        NamedTempFile::new_in(memory)
    } else {
        NamedTempFile::new()
    };
    let mut file = file.expect("a file");
    file.write_all(data).expect("room for it");
    file
}
