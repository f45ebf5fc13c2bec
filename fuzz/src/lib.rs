//! What is fuzzed: each target takes bytes that a stranger, a file or a store could hold, and checks
//! what must be true whatever they are. None may panic, and none may take nonsense for sense.
//!
//! `fuzz/targets` gives them to a fuzzer, `tests/fuzz` to the corpus and to changes of it.

use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};
use keyferry::certificate::{
    self, Ca, Chain, Handed, Lineage, ListFile, Revocation, Trust, Verifier, WhenUnknown,
};
use keyferry::clock::Timestamp;
use keyferry::config::Source;
use keyferry::credential::{Presented, PresentedCertificate, PresentedKey};
use keyferry::directory::Snapshot;
use keyferry::door::{hello, proxy_header};
use keyferry::head::Head;
use keyferry::key::{ApiKey, Format, KeyId, Pepper, Peppers};
use keyferry::secret::Secret;
use keyferry::sign::{self, Message, Names, SigningKey};
use keyferry::store::backup::{Backup, Line, Secrets};
use keyferry::store::{RecordKeys, Versioned};
use tempfile::NamedTempFile;

#[path = "../../tests/support/pki.rs"]
mod pki;

static FORMAT: LazyLock<Format> = LazyLock::new(|| Format::new("kf", "live").expect("a format"));
static PEPPERS: LazyLock<Peppers> =
    LazyLock::new(|| Peppers::new(Pepper::new(1, &Secret::new(vec![7; 32])), []));
static AUTHORITY: LazyLock<pki::Issued> = LazyLock::new(|| pki::root("Clients Root").self_signed());
static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| Verifier::new(Trust::new(1, vec![ca()]).expect("an authority")));
static GOOD: LazyLock<pki::Issued> = LazyLock::new(|| pki::leaf("client-1").signed_by(&AUTHORITY));

/// A target, by its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 11] = [
    ("api_key", api_key),
    ("backup", backup),
    ("certificate", certificate),
    ("client_hello", client_hello),
    ("config", config),
    ("head", head),
    ("proxy_header", proxy_header),
    ("record", record),
    ("revocation_list", revocation_list),
    ("signature", signature),
    ("snapshot", snapshot),
];

/// What to begin with, for targets whose good input is not to be kept in a repository, or is made of
/// secrets and dates.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let key = ApiKey::generate(KeyId::generate(), &FORMAT).expect("chance");
    let der = GOOD.x509.to_der().expect("a certificate");
    vec![
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

/// The head of a request, and the credentials in it. Lines as on the wire, with any bytes.
pub fn head(data: &[u8]) {
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
    let (request, ()) = request.into_parts();
    if let Ok(head) = Head::read(&request, target, &FORMAT) {
        assert!(head.path.starts_with('/') && head.canonical_path().starts_with('/'));
        let mut segments = head.canonical_path().split('/');
        assert!(segments.all(|segment| segment != "." && segment != ".."));
        assert!(!FORMAT.occurs_in(target));
        assert_eq!(head.host(), head.host().to_ascii_lowercase());
    }
    let presented = Presented::read(&request.headers, PresentedCertificate::Absent, &FORMAT);
    if let Ok(presented) = presented
        && request.headers.contains_key("x-api-key")
    {
        assert!(!matches!(presented.key(), PresentedKey::Absent));
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
        sign::Verifier::new(vec![key], Names::default())
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
