//! The real curl, as a sentence: `Curl::get(url).certificate(&alice).send().expect_status(200)`.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::backend::values;
use super::world::Identity;

/// Settings of OpenSSL under which a program uses any certificate.
const WEAK: &str = "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = \
                    weak\n[weak]\nCipherString = DEFAULT@SECLEVEL=0\n";

/// One request, not sent yet.
#[must_use]
pub(crate) struct Curl {
    arguments: Vec<String>,
    url: String,
    body: Option<Vec<u8>>,
    upload: Option<u64>,
    output: Output,
    weak: bool,
}

/// Where an answer's body goes.
enum Output {
    Kept,
    Discarded,
    Streamed,
}

/// An answer's body on its way.
pub(crate) struct Stream {
    lines: BufReader<ChildStdout>,
    child: Child,
    _folder: TempDir,
}

impl Stream {
    /// The next line that is not empty; nothing when the body is over.
    pub(crate) fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).expect("text from curl") == 0 {
                return None;
            }
            let text = line.trim_end();
            if !text.is_empty() {
                return Some(text.to_owned());
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 0 when there was no answer.
    pub(crate) status: u16,
    /// `1.1` or `2`.
    pub(crate) version: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// How many bytes the body had, also when it was thrown away.
    pub(crate) body_bytes: u64,
    /// How many connections this request opened: 0 when it went over one that was open.
    pub(crate) connects: u64,
    /// What curl says of a failure; empty when there was none.
    pub(crate) error: String,
}

impl Curl {
    pub(crate) fn get(url: &str) -> Self {
        Self {
            arguments: Vec::new(),
            url: url.to_owned(),
            body: None,
            upload: None,
            output: Output::Kept,
            weak: false,
        }
    }

    pub(crate) fn method(self, method: &str) -> Self {
        self.with(&["--request", method])
    }

    /// Sends the answer's head only, as curl has to know.
    pub(crate) fn head(self) -> Self {
        self.with(&["--head"])
    }

    /// Adds a header line, as it stands: `Name: value`. Order and doubles are kept.
    pub(crate) fn header(self, line: &str) -> Self {
        self.with(&["--header", line])
    }

    /// Shows this API key.
    pub(crate) fn key(self, key: &str) -> Self {
        self.header(&format!("Authorization: Bearer {key}"))
    }

    /// Shows this client certificate.
    pub(crate) fn certificate(self, client: &Identity) -> Self {
        self.with(&["--cert", text(&client.chain), "--key", text(&client.key)])
    }

    /// Trusts this authority for the server's certificate.
    pub(crate) fn authority(self, file: &Path) -> Self {
        self.with(&["--cacert", text(file)])
    }

    /// Finds `host` at `address`, as if DNS said so.
    pub(crate) fn resolve(self, host: &str, address: SocketAddr) -> Self {
        let entry = format!("{host}:{}:{}", address.port(), address.ip());
        self.with(&["--resolve", &entry])
    }

    pub(crate) fn http1(self) -> Self {
        self.with(&["--http1.1"])
    }

    pub(crate) fn http2(self) -> Self {
        self.with(&["--http2"])
    }

    /// Speaks this version of TLS and no other: `1.2` or `1.3`.
    pub(crate) fn tls(self, version: &str) -> Self {
        self.with(&[&format!("--tlsv{version}"), "--tls-max", version])
    }

    /// Sends these bytes as the body, by POST unless another method was named.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends that many bytes of zero by PUT, without holding them in memory.
    pub(crate) fn upload(mut self, bytes: u64) -> Self {
        self.upload = Some(bytes);
        self
    }

    /// Throws the answer's body away and only counts it.
    pub(crate) fn discard_body(mut self) -> Self {
        self.output = Output::Discarded;
        self
    }

    /// Takes certificates that its TLS library holds to be too weak.
    pub(crate) fn weak(mut self) -> Self {
        self.weak = true;
        self
    }

    /// Any other option of curl.
    pub(crate) fn option(self, option: &str) -> Self {
        self.with(&[option])
    }

    fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Sends it and reads the answer's body as it comes, line by line.
    pub(crate) fn stream(mut self) -> Stream {
        self.output = Output::Streamed;
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = Command::new("curl");
        command.args(["--disable", "--no-buffer"]);
        self.arguments_into(&mut command, folder.path(), 0);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl; `make setup` installs it");
        Stream {
            lines: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
            _folder: folder,
        }
    }

    /// Sends it on a connection of its own.
    pub(crate) fn send(self) -> Answer {
        let mut answers = Self::send_on_one_connection([self]);
        answers.pop().expect("one answer for one request")
    }

    /// Sends the requests one after another; curl keeps the connection as long as both sides can.
    pub(crate) fn send_on_one_connection(requests: impl IntoIterator<Item = Self>) -> Vec<Answer> {
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = Command::new("curl");
        command.arg("--disable");
        let mut count = 0;
        for request in requests {
            if count > 0 {
                command.arg("--next");
            }
            request.arguments_into(&mut command, folder.path(), count);
            count += 1;
        }
        let output = command
            .stdin(Stdio::null())
            .output()
            .expect("curl; `make setup` installs it");
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        let facts: Vec<Value> = said
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON from curl"))
            .collect();
        assert_eq!(facts.len(), count, "curl failed: {errors}");
        (0..count)
            .map(|number| Answer::read(folder.path(), number, &facts[number]))
            .collect()
    }

    fn arguments_into(self, command: &mut Command, folder: &Path, number: usize) {
        let file = |kind: &str| folder.join(format!("{number}.{kind}"));
        if self.weak {
            fs::write(file("cnf"), WEAK).expect("a file for the settings");
            command.env("OPENSSL_CONF", file("cnf"));
        }
        command.args(["--silent", "--show-error", "--globoff", "--path-as-is"]);
        command.args(["--max-time", "120", "--noproxy", "*"]);
        command.arg("--dump-header").arg(file("head"));
        let body = match self.output {
            Output::Kept => file("body"),
            Output::Discarded => PathBuf::from("/dev/null"),
            Output::Streamed => PathBuf::from("-"),
        };
        command.arg("--output").arg(body);
        if !matches!(self.output, Output::Streamed) {
            command.args(["--write-out", "%{json}\n"]);
        }
        if let Some(body) = self.body {
            fs::write(file("sent"), body).expect("a file for the body");
            let at = format!("@{}", text(&file("sent")));
            command.args(["--data-binary", &at]);
        }
        if let Some(bytes) = self.upload {
            let sparse = File::create(file("sent")).expect("a file for the body");
            sparse.set_len(bytes).expect("a sparse file");
            command.arg("--upload-file").arg(file("sent"));
        }
        command.args(self.arguments).arg(self.url);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

impl Answer {
    fn read(folder: &Path, number: usize, facts: &Value) -> Self {
        let file = |kind: &str| fs::read(folder.join(format!("{number}.{kind}")));
        let head = file("head").unwrap_or_default();
        let (headers, trailers) = fields(&String::from_utf8_lossy(&head));
        let whole = |name: &str| facts[name].as_u64().unwrap_or_default();
        Self {
            status: u16::try_from(whole("response_code")).expect("a status"),
            version: facts["http_version"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            headers,
            trailers,
            body: file("body").unwrap_or_default(),
            body_bytes: whole("size_download"),
            connects: whole("num_connects"),
            error: facts["errormsg"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Goes on when the status is this one.
    #[track_caller]
    pub(crate) fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{self:#?}", self.text());
        self
    }

    /// Goes on when this is a refusal in full form (PROTOCOL 4, RFC 9457) for this reason.
    #[track_caller]
    pub(crate) fn expect_refusal(self, status: u16, reason: &str) -> Self {
        let answer = self.expect_status(status);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("cache-control"), "no-store");
        let problem = answer.json();
        assert_eq!(problem["reason"], reason, "{problem:#}");
        assert_eq!(problem["status"], status, "{problem:#}");
        for member in ["type", "title", "detail", "request_id", "next_step"] {
            assert!(
                problem[member]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "the problem says nothing as {member}: {problem:#}"
            );
        }
        let challenged = !answer.all("www-authenticate").is_empty();
        assert_eq!(
            challenged,
            status == 401,
            "WWW-Authenticate goes with every 401 and nothing else"
        );
        answer
    }

    /// The values of all headers of that name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        values(&self.headers, name)
    }

    /// The one value of the header.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.all(name);
        assert_eq!(found.len(), 1, "{name} once in {:#?}", self.headers);
        found[0]
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("the body is not JSON: {error}\n{}", self.text());
        })
    }
}

type Fields = Vec<(String, String)>;

/// Headers of the final answer, and its trailers, from what curl writes of all heads.
fn fields(text: &str) -> (Fields, Fields) {
    let (mut headers, mut trailers) = (Fields::new(), Fields::new());
    let mut in_head = false;
    for line in text.lines() {
        if line.starts_with("HTTP/") {
            (headers, trailers, in_head) = (Fields::new(), Fields::new(), true);
        } else if line.is_empty() {
            in_head = false;
        } else if let Some((name, value)) = line.split_once(':') {
            let field = (name.to_owned(), value.trim().to_owned());
            if in_head { &mut headers } else { &mut trailers }.push(field);
        }
    }
    (headers, trailers)
}
