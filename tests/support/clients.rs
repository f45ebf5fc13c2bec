//! Real clients, as their users run them, for what they print when something is wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openssl::pkcs12::Pkcs12;
use openssl::stack::Stack;

use super::world::{Identity, World};

/// A request with everything that it is made with.
#[derive(Clone, Default)]
pub(crate) struct Call {
    url: String,
    authority: Option<PathBuf>,
    /// Certificate, key, and both in PKCS #12 where they belong together.
    identity: Option<(PathBuf, PathBuf, Option<PathBuf>)>,
    /// The newest version of TLS, and the cipher suites in OpenSSL's words.
    limits: Option<(&'static str, &'static str)>,
}

impl Call {
    pub(crate) fn to(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }

    /// Trusts this authority for the server's certificate.
    pub(crate) fn trusting(mut self, authority: &Path) -> Self {
        self.authority = Some(authority.to_owned());
        self
    }

    /// Shows this certificate.
    pub(crate) fn showing(mut self, world: &World, client: &Identity) -> Self {
        let issued = &client.issued;
        let mut builder = Pkcs12::builder();
        builder.name("client").pkey(&issued.key).cert(&issued.x509);
        let mut intermediates = Stack::new().expect("a stack");
        for certificate in &issued.intermediates {
            intermediates.push(certificate.clone()).expect("room");
        }
        builder.ca(intermediates);
        let whole = builder.build2("changeit").expect("PKCS #12");
        let path = world.path(&format!("{}.p12", uuid::Uuid::now_v7()));
        std::fs::write(&path, whole.to_der().expect("DER")).expect("our own folder");
        self.identity = Some((client.chain.clone(), client.key.clone(), Some(path)));
        self
    }

    /// Shows this certificate with that key, which belong to different clients.
    pub(crate) fn with_files(mut self, certificate: &Path, key: &Path) -> Self {
        self.identity = Some((certificate.to_owned(), key.to_owned(), None));
        self
    }

    /// Speaks no newer version than `tls`, with these cipher suites.
    pub(crate) fn limited(mut self, tls: &'static str, ciphers: &'static str) -> Self {
        self.limits = Some((tls, ciphers));
        self
    }

    /// All that `client` prints: curl, openssl, Python, Node or Java. The last three also come
    /// again: four connections one after the other, each resuming the session before, of whose
    /// answers they print the statuses.
    #[track_caller]
    pub(crate) fn print_by(&self, client: &str) -> String {
        let mut command = Command::new("timeout");
        command.arg("60");
        match client {
            "curl" => self.curl(&mut command, &[]),
            "curl --http1.1" => self.curl(&mut command, &["--http1.1"]),
            "openssl" => self.s_client(&mut command),
            "Python" => self.script(&mut command, "target/venv/bin/python", "client.py"),
            "Node" => self.script(&mut command, "node", "client.mjs"),
            "Java" => self.script(&mut command, "java", "Client.java"),
            "Python again" => self.script(&mut command, "target/venv/bin/python", "again.py"),
            "Node again" => self.script(&mut command, "node", "again.mjs"),
            "Java again" => self.script(&mut command, "java", "Again.java"),
            other => panic!("there is no client {other}"),
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {client}: {error}; run: make setup"));
        let mut stdin = child.stdin.take().expect("a pipe");
        if client == "openssl" {
            let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            // It may be gone already.
            let _gone = std::io::Write::write_all(&mut stdin, request.as_bytes());
        } else {
            drop(stdin);
        }
        let output = child.wait_with_output().expect("our own child");
        let text = [output.stdout, output.stderr].concat();
        assert_ne!(
            output.status.code(),
            Some(127),
            "{client} is missing; run: make setup"
        );
        String::from_utf8_lossy(&text).into_owned()
    }

    fn curl(&self, command: &mut Command, options: &[&str]) {
        command.args(["curl", "--disable", "--silent", "--show-error"]);
        command.args(options);
        command.args(["--fail-with-body", &self.url]);
        if let Some(authority) = &self.authority {
            command.arg("--cacert").arg(authority);
        }
        if let Some((certificate, key, _)) = &self.identity {
            command.arg("--cert").arg(certificate);
            command.arg("--key").arg(key);
        }
        if let Some((tls, ciphers)) = self.limits {
            command.args(["--tlsv1.0", "--tls-max", tls, "--ciphers", ciphers]);
        }
    }

    fn s_client(&self, command: &mut Command) {
        let (_, address) = self.url.split_once("://").expect("a URL");
        let address = address.trim_end_matches('/');
        command.args(["openssl", "s_client", "-connect", address, "-ign_eof"]);
        command.args(["-verify_return_error", "-verify_hostname", "localhost"]);
        if let Some(authority) = &self.authority {
            command.arg("-CAfile").arg(authority);
        }
        if let Some((certificate, key, _)) = &self.identity {
            command.arg("-cert").arg(certificate);
            command.arg("-cert_chain").arg(certificate);
            command.arg("-key").arg(key);
        }
        if let Some((tls, ciphers)) = self.limits {
            command.arg(format!("-tls{}", tls.replace('.', "_")));
            command.args(["-cipher", ciphers]);
        }
    }

    fn script(&self, command: &mut Command, program: &str, script: &str) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        command.arg(if program.contains('/') {
            root.join(program)
        } else {
            PathBuf::from(program)
        });
        command.arg(root.join("tests/support/clients").join(script));
        command.arg(&self.url);
        command.arg(self.authority.as_deref().unwrap_or_else(|| Path::new("")));
        match &self.identity {
            Some((certificate, key, both)) => {
                command.arg(certificate).arg(key);
                command.arg(both.as_deref().unwrap_or_else(|| Path::new("")));
            }
            None => {
                command.args(["", "", ""]);
            }
        }
        let (tls, ciphers) = self.limits.unwrap_or_default();
        command.args([tls, ciphers]);
    }
}
