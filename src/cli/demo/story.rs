//! The story: each command is one that anybody could type, and what is claimed of its answer is
//! checked.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::scene::Scene;
use super::stop::Stop;
use super::teller::Teller;
use crate::cli::Out;
use crate::clock;

const SELF_SERVICE: &str = "/.well-known/keyferry";
const ORDERS: &str = "/v1/orders?limit=10";
const ACME: &[&str] = &["--cert", "acme.pem", "--key", "acme.key"];
const GLOBEX: &[&str] = &["--cert", "globex.pem", "--key", "globex.key"];
/// What matters of what the backend was sent.
const IDENTITY: &[&str] = &["x-key-id", "x-client-id", "signature:"];
/// How long before their end certificates are announced to end.
const NOTICE: Duration = Duration::from_hours(90 * 24);

/// Who the backend saw.
#[derive(PartialEq, Eq)]
struct Seen {
    client: String,
    key_id: String,
}

/// Tells the story. Ends with an error when an answer is not what the story says, or when it is
/// stopped.
pub(super) fn tell(scene: &Scene, stop: &mut Stop, out: &mut Out) -> anyhow::Result<()> {
    let mut teller = Teller::new(scene, stop, out);
    let acme = by_certificate(&mut teller)?;
    cannot_connect(&mut teller, scene)?;
    let key = claim(&mut teller, &acme)?;
    old_backend(&mut teller, &key)?;
    announce(&mut teller)?;
    retire(&mut teller, &key)?;
    undo(&mut teller)?;
    rotate(&mut teller, &key, &acme)?;

    teller.chapter("The operator sees how the move goes")?;
    teller.wait_for_stage("dual", 2)?;
    expect_words(&teller.keyferry(&["status"], 0)?, "debt")?;
    teller.keyferry(&["client", "list"], 0)?;
    Ok(())
}

fn by_certificate(teller: &mut Teller<'_>) -> anyhow::Result<Seen> {
    teller.chapter("A client calls with its certificate, as it always did")?;
    let echo = teller.curl(ACME, ORDERS)?;
    teller.lines(&echo, IDENTITY)?;
    let acme = seen(&echo)?;
    header(&echo, "signature")?;
    teller.say(
        "That was the backend's echo: it sees a key id, a client id, and a signature over both.",
    )?;

    teller.chapter("It forges the headers that the backend trusts")?;
    let forged = ["-H", "X-Key-Id: forged", "-H", "X_Client_Id: forged"];
    let echo = teller.curl(&[ACME, &forged].concat(), ORDERS)?;
    teller.lines(&echo, IDENTITY)?;
    if echo.contains("forged") || seen(&echo)? != acme {
        bail!("a forged header reached the backend");
    }
    teller.say("None of them arrived.")?;
    Ok(acme)
}

fn cannot_connect(teller: &mut Teller<'_>, scene: &Scene) -> anyhow::Result<()> {
    teller.chapter("A second client forgets its intermediate certificate. It is told which one is missing, instead of being cut off")?;
    let alone = ["--cert", "globex-alone.pem", "--key", "globex.key"];
    let refused = teller.curl(&alone, ORDERS)?;
    teller.fields(&refused, &["reason", "detail"])?;
    expect(&refused, "reason", "certificate_chain_incomplete")?;
    let echo = teller.curl(GLOBEX, ORDERS)?;
    teller.lines(&echo, IDENTITY)?;
    seen(&echo)?;

    teller.chapter("A third speaks no TLS at all. It is told, and so is the operator")?;
    let plain = format!("http://localhost:{}/v1/orders", scene.port);
    let told = teller.curl(&[], &plain)?;
    teller.say(told.trim_end())?;
    expect_words(&teller.keyferry(&["failures"], 0)?, "plain_http")
}

fn claim(teller: &mut Teller<'_>, acme: &Seen) -> anyhow::Result<String> {
    teller.chapter("The first client fetches its key, with the certificate that it has")?;
    let claim = format!("{SELF_SERVICE}/key");
    let claimed = teller.curl(&[ACME, &["-X", "POST"]].concat(), &claim)?;
    teller.fields(&claimed, &["key", "key_id", "client_id"])?;
    expect(&claimed, "key_id", &acme.key_id)?;
    let key = field(&claimed, "key")?;
    teller.keep(&key, "ACME_KEY");

    teller.chapter(
        "It sends the key along with the certificate for a while, and then the key alone",
    )?;
    let bearer = bearer(&key);
    for options in [&[ACME, &["-H", &bearer]].concat()[..], &["-H", &bearer]] {
        let echo = teller.curl(options, ORDERS)?;
        teller.lines(&echo, IDENTITY)?;
        if seen(&echo)? != *acme {
            bail!("the backend saw another identity by key than by certificate");
        }
    }
    let Seen { client, key_id } = acme;
    teller.say(&format!(
        "The backend saw {client} and {key_id}, by certificate, by both and by key."
    ))?;
    Ok(key)
}

fn old_backend(teller: &mut Teller<'_>, key: &str) -> anyhow::Result<()> {
    let bearer = bearer(key);
    let by_key = ["-H", bearer.as_str()];
    teller.chapter("An old backend knows clients only by the header of the old proxy, X-SSL-Client-S-DN. It goes on getting it (masquerade)")?;
    let by_certificate = teller.curl(ACME, "/old")?;
    teller.say(by_certificate.trim_end())?;
    let greeted = teller.curl(&by_key, "/old")?;
    teller.say(greeted.trim_end())?;
    expect_words(&greeted, "CN=acme-payments")?;
    if greeted != by_certificate {
        bail!("the old backend took the client by key for another than by certificate");
    }
    teller
        .say("By certificate and by key it got the same bytes. Without masquerade it is lost:")?;
    let untold = teller.curl(&by_key, "/untold")?;
    teller.say(untold.trim_end())?;
    expect_words(&untold, "I know nobody")
}

fn announce(teller: &mut Teller<'_>) -> anyhow::Result<()> {
    teller
        .chapter("The operator announces the end of certificates. Every answer to one says when")?;
    teller.wait_for_stage("dual", 1)?;
    teller.wait_for_stage("cert-only", 1)?;
    let sunset = clock::now().plus(NOTICE).to_string();
    let day = sunset.split('T').next().unwrap_or_default();
    teller.keyferry(&["phase", "announce", "--all", "--sunset", day], 0)?;
    let answer = teller.curl_until(&[GLOBEX, &["-i"]].concat(), ORDERS, |answer| {
        answer.contains("\nsunset: ")
    })?;
    teller.lines(&answer, &["deprecation:", "sunset:", "link:"])
}

fn retire(teller: &mut Teller<'_>, key: &str) -> anyhow::Result<()> {
    teller
        .chapter("The operator wants to refuse certificates, and is told who would be cut off")?;
    let told = teller.keyferry(&["phase", "retire", "--all"], 1)?;
    expect_words(&told, "globex-reports")?;

    teller.chapter("The operator insists, and says why")?;
    let reason = "everybody was told twice";
    let insist = ["phase", "retire", "--all", "--force", "--reason", reason];
    teller.keyferry(&insist, 0)?;

    teller.chapter("Who has not moved is refused, and not asked for a certificate any more; who has a key notices nothing")?;
    let refused = teller.curl_until(GLOBEX, ORDERS, |answer| {
        expect(answer, "reason", "credential_missing").is_ok()
    })?;
    teller.fields(&refused, &["status", "reason", "detail"])?;
    let echo = teller.curl(&["-H", &bearer(key)], ORDERS)?;
    teller.lines(&echo, IDENTITY)
}

fn undo(teller: &mut Teller<'_>) -> anyhow::Result<()> {
    teller.chapter("One command takes it back: what was announced before holds again")?;
    teller.keyferry(&["phase", "undo"], 0)?;
    let echo = teller.curl_until(GLOBEX, ORDERS, |answer| seen(answer).is_ok())?;
    teller.lines(&echo, IDENTITY)?;
    let globex = seen(&echo)?;

    teller.chapter("The latecomer fetches its key, and uses it")?;
    let claim = format!("{SELF_SERVICE}/key");
    let claimed = teller.curl(&[GLOBEX, &["-X", "POST"]].concat(), &claim)?;
    teller.fields(&claimed, &["key", "key_id", "client_id"])?;
    let key = field(&claimed, "key")?;
    teller.keep(&key, "GLOBEX_KEY");
    let echo = teller.curl(&["-H", &bearer(&key)], ORDERS)?;
    teller.lines(&echo, IDENTITY)?;
    if seen(&echo)? != globex {
        bail!("the backend saw another identity by key than by certificate");
    }
    Ok(())
}

fn rotate(teller: &mut Teller<'_>, key: &str, acme: &Seen) -> anyhow::Result<()> {
    teller.chapter("A client replaces its key by itself. The old one works for another day")?;
    let old = bearer(key);
    let rotate = format!("{SELF_SERVICE}/key/rotate");
    let rotated = teller.curl(&["-H", &old, "-X", "POST"], &rotate)?;
    teller.fields(&rotated, &["key", "key_id", "replaces"])?;
    let key = field(&rotated, "key")?;
    teller.keep(&key, "NEW_KEY");
    for bearer in [&old, &bearer(&key)] {
        let echo = teller.curl(&["-H", bearer], ORDERS)?;
        teller.lines(&echo, IDENTITY)?;
        if seen(&echo)?.client != acme.client {
            bail!("the backend saw another client after the key was replaced");
        }
    }
    Ok(())
}

/// What to try while everything stays up.
pub(super) fn farewell(scene: &Scene) -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "keyferry".into());
    let (folder, program) = (scene.folder().display(), program.display());
    let base = format!("https://localhost:{}", scene.port);
    format!(
        "\nEverything stays up until Ctrl-C. To try:\n\n  cd {folder}\n  \
         curl --cacert ca.pem --cert acme.pem --key acme.key {base}{SELF_SERVICE}/whoami\n  \
         curl --cacert ca.pem -H 'Authorization: Bearer kf_live_…' {base}/anything\n  \
         curl --cacert ca.pem {base}/\n  \
         {program} explain globex-alone.pem\n  \
         {program} phase list\n\nThe console is at http://{console}/ and takes the token in console.token\n",
        console = scene.console
    )
}

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

fn seen(echo: &str) -> anyhow::Result<Seen> {
    Ok(Seen {
        client: header(echo, "x-client-id")?,
        key_id: header(echo, "x-key-id")?,
    })
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

fn expect_words(printed: &str, words: &str) -> anyhow::Result<()> {
    if !printed.contains(words) {
        bail!("nothing of {words} was printed: {printed}");
    }
    Ok(())
}
