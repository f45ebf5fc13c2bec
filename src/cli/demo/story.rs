//! The story: each request is a command that anybody could type, and what is claimed of its answer
//! is checked.

use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::scene::Scene;
use crate::cli::Out;

const SELF_SERVICE: &str = "/.well-known/keyferry";

/// Tells the story. Ends with an error when an answer is not what the story says.
pub(super) fn tell(scene: &Scene, out: &mut Out) -> anyhow::Result<()> {
    let mut teller = Teller {
        scene,
        out,
        chapter: 0,
    };

    teller.chapter("A client calls with its certificate, as it always did")?;
    let by_certificate = teller.curl(
        &["--cert", "acme.pem", "--key", "acme.key"],
        "/v1/orders?limit=10",
    )?;
    let key_id = header(&by_certificate, "x-key-id")?;
    let client = header(&by_certificate, "x-client-id")?;
    header(&by_certificate, "signature")?;
    teller.say("That was the backend's echo: it sees one client id, one key id, and a signature over both.")?;

    teller.chapter("Somebody forges the headers, in three spellings")?;
    let forged = teller.curl(
        &[
            "--cert",
            "acme.pem",
            "--key",
            "acme.key",
            "-H",
            "X-Key-Id: forged",
            "-H",
            "X_Client_Id: forged",
            "-H",
            "X-SSL-Client-S-DN: CN=forged",
        ],
        "/v1/orders",
    )?;
    if forged.contains("forged") || header(&forged, "x-key-id")? != key_id {
        bail!("a forged header reached the backend");
    }
    teller.say("None of them arrived.")?;

    teller.chapter(
        "Another client's certificate has expired. It is told, instead of being cut off",
    )?;
    let expired = teller.curl(
        &["--cert", "globex.pem", "--key", "globex.key"],
        "/v1/orders",
    )?;
    expect(&expired, "reason", "certificate_expired")?;

    teller.chapter("The first client fetches its key, with the certificate that it has")?;
    let claimed = teller.curl(
        &["--cert", "acme.pem", "--key", "acme.key", "-X", "POST"],
        &format!("{SELF_SERVICE}/key"),
    )?;
    expect(&claimed, "key_id", &key_id)?;
    let key = field(&claimed, "key")?;

    teller.chapter("From now on the key is enough")?;
    let bearer = format!("Authorization: Bearer {key}");
    let by_key = teller.curl(&["-H", &bearer], "/v1/orders?limit=10")?;
    if header(&by_key, "x-key-id")? != key_id || header(&by_key, "x-client-id")? != client {
        bail!("the backend saw another identity by key than by certificate");
    }
    teller.say(&format!(
        "The backend saw {client} and {key_id}, both times."
    ))?;

    teller.chapter("The operator sees who has moved")?;
    teller.wait_for_sightings()?;
    teller.keyferry(&["status"])?;
    teller.keyferry(&["client", "list"])
}

/// What to try while everything stays up.
pub(super) fn farewell(scene: &Scene) -> String {
    let (folder, base) = (
        scene.folder().display(),
        format!("https://localhost:{}", scene.port),
    );
    format!(
        "\nEverything stays up until Ctrl-C. To try:\n\n  cd {folder}\n  \
         curl --cacert ca.pem --cert acme.pem --key acme.key {base}{SELF_SERVICE}/whoami\n  \
         curl --cacert ca.pem -H 'Authorization: Bearer kf_live_…' {base}/anything\n  \
         curl --cacert ca.pem {base}/\n"
    )
}

struct Teller<'a> {
    scene: &'a Scene,
    out: &'a mut Out,
    chapter: usize,
}

impl Teller<'_> {
    fn chapter(&mut self, title: &str) -> anyhow::Result<()> {
        self.chapter = self.chapter.saturating_add(1);
        let line = format!("\n── {}. {title}\n", self.chapter);
        self.say(&line)
    }

    fn say(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(self.out.line(text)?)
    }

    /// Asks the gateway with curl; shows the command and the answer.
    fn curl(&mut self, options: &[&str], path: &str) -> anyhow::Result<String> {
        let url = format!("https://localhost:{}{path}", self.scene.port);
        let mut args = vec!["-sS", "--cacert", "ca.pem", "--max-time", "20"];
        args.extend_from_slice(options);
        args.push(&url);
        let shown: Vec<_> = args.iter().map(|arg| quoted(arg)).collect();
        self.say(&format!("$ curl {}", shown.join(" ")))?;
        let answer = self.output(Command::new("curl").args(&args), "curl")?;
        let pretty = serde_json::from_str::<Value>(&answer)
            .and_then(|value| serde_json::to_string_pretty(&value));
        self.say(pretty.as_deref().unwrap_or(&answer).trim_end())?;
        Ok(answer)
    }

    /// Runs this program; shows the command and what it prints.
    fn keyferry(&mut self, args: &[&str]) -> anyhow::Result<()> {
        self.say(&format!("$ keyferry {}", args.join(" ")))?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let printed = self.output(Command::new(program).args(args), "keyferry")?;
        self.say(printed.trim_end())
    }

    /// The gateway writes down when clients were seen every other second.
    fn wait_for_sightings(&self) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("cannot find this program")?;
        for _ in 0..100 {
            let args = ["status", "--output", "json"];
            let status: Value =
                serde_json::from_str(&self.output(Command::new(&program).args(args), "keyferry")?)?;
            if status.pointer("/clients/by_stage/dual") == Some(&Value::from(1)) {
                return Ok(());
            }
            super::scene::pause();
        }
        bail!("the client is not shown as one that used both")
    }

    fn output(&self, command: &mut Command, name: &str) -> anyhow::Result<String> {
        let output = command.current_dir(self.scene.folder()).output();
        let output = output.with_context(|| {
            format!("cannot run {name}; the demonstration needs it: apt-get install {name}")
        })?;
        if !output.status.success() {
            bail!(
                "{name} failed ({}): {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=".contains(c);
    if arg.chars().all(plain) {
        arg.to_owned()
    } else {
        format!("'{arg}'")
    }
}

/// The value of the header `name` in the backend's echo.
fn header(echo: &str, name: &str) -> anyhow::Result<String> {
    let value = echo
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Ok(value
        .with_context(|| format!("the backend saw no {name}"))?
        .to_owned())
}

fn field(answer: &str, name: &str) -> anyhow::Result<String> {
    let answer: Value = serde_json::from_str(answer).context("the answer is no JSON")?;
    let value = answer.get(name).and_then(Value::as_str);
    Ok(value
        .with_context(|| format!("the answer has no {name}"))?
        .to_owned())
}

fn expect(answer: &str, name: &str, value: &str) -> anyhow::Result<()> {
    match field(answer, name)? {
        found if found == value => Ok(()),
        found => bail!("the answer's {name} is {found}, and not {value}"),
    }
}
