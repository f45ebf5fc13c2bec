//! How the story is told: commands as anybody could type them, run for real, and what matters of
//! their answers.

use std::process::{Command, Output};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::scene::Scene;
use super::stop::Stop;
use crate::cli::Out;
use crate::operation::paint::heading;

/// How often something is asked again that takes a moment to come true.
const ATTEMPTS: usize = 200;

pub(super) struct Teller<'a> {
    scene: &'a Scene,
    stop: &'a mut Stop,
    out: &'a mut Out,
    chapter: usize,
    /// Keys, and the variables of the shell that stand for them from then on.
    variables: Vec<(String, &'static str)>,
}

impl<'a> Teller<'a> {
    pub(super) const fn new(scene: &'a Scene, stop: &'a mut Stop, out: &'a mut Out) -> Self {
        Self {
            scene,
            stop,
            out,
            chapter: 0,
            variables: Vec::new(),
        }
    }

    pub(super) fn chapter(&mut self, title: &str) -> anyhow::Result<()> {
        self.chapter = self.chapter.saturating_add(1);
        let title = heading(format_args!("── {}. {title}", self.chapter));
        self.say(&format!("\n{title}\n"))
    }

    pub(super) fn say(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(self.out.line(text)?)
    }

    /// Shows `secret` as `$name` in the commands to come.
    pub(super) fn keep(&mut self, secret: &str, name: &'static str) {
        self.variables.push((secret.to_owned(), name));
    }

    /// Asks the gateway with curl; shows the command.
    pub(super) fn curl(&mut self, options: &[&str], path: &str) -> anyhow::Result<String> {
        self.curl_until(options, path, |_| true)
    }

    /// Asks the gateway with curl until the answer is as `done` has it: gateways follow a phase
    /// within a second. Shows the command once.
    pub(super) fn curl_until(
        &mut self,
        options: &[&str],
        path: &str,
        done: impl Fn(&str) -> bool,
    ) -> anyhow::Result<String> {
        let url = if path.starts_with('/') {
            format!("https://localhost:{}{path}", self.scene.port)
        } else {
            path.to_owned()
        };
        let own = url.starts_with("https:");
        let authority: &[&str] = if own { &["--cacert", "ca.pem"] } else { &[] };
        let args = [&["-sS"], authority, options, &[&url]].concat();
        let shown: Vec<_> = args.iter().map(|arg| self.quoted(arg)).collect();
        self.say(&heading(format_args!("$ curl {}", shown.join(" "))))?;
        let mut answer = String::new();
        for _ in 0..ATTEMPTS {
            let mut command = Command::new("curl");
            command.args(["--max-time", "20"]).args(&args);
            answer = succeeded(&self.output(&mut command, "curl")?, "curl")?;
            if done(&answer) {
                return Ok(answer);
            }
            self.stop.pause()?;
        }
        bail!("the answer stays another than the story says: {answer}")
    }

    /// Runs this program; shows the command and what it prints. It must end with `status`.
    pub(super) fn keyferry(&mut self, args: &[&str], status: i32) -> anyhow::Result<String> {
        let shown: Vec<_> = args.iter().map(|arg| self.quoted(arg)).collect();
        self.say(&heading(format_args!("$ keyferry {}", shown.join(" "))))?;
        let output = self.run_keyferry(args)?;
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        if output.status.code() != Some(status) {
            bail!("keyferry ended otherwise ({}): {printed}", output.status);
        }
        self.say(printed.trim_end())?;
        Ok(printed.into_owned())
    }

    /// Waits until so many clients are known to be at `stage`: the gateway writes down when
    /// clients were seen every other second.
    pub(super) fn wait_for_stage(&mut self, stage: &str, clients: u64) -> anyhow::Result<()> {
        let at = format!("/clients/by_stage/{stage}");
        for _ in 0..ATTEMPTS {
            let output = self.run_keyferry(&["status", "--output", "json"])?;
            let status: Value = serde_json::from_str(&succeeded(&output, "keyferry")?)?;
            if status.pointer(&at) == Some(&Value::from(clients)) {
                return Ok(());
            }
            self.stop.pause()?;
        }
        bail!("not {clients} client(s) came to the stage {stage}")
    }

    /// Shows the first line of `answer`, and those that begin with one of `names`.
    pub(super) fn lines(&mut self, answer: &str, names: &[&str]) -> anyhow::Result<()> {
        for (at, line) in answer.lines().enumerate() {
            if at == 0 || names.iter().any(|name| line.starts_with(name)) {
                self.say(line)?;
            }
        }
        self.say("…")
    }

    /// Shows these fields of an answer in JSON.
    pub(super) fn fields(&mut self, answer: &str, names: &[&str]) -> anyhow::Result<()> {
        let answer: Value = serde_json::from_str(answer).context("the answer is no JSON")?;
        for name in names {
            let value = answer.get(name);
            let value = value.with_context(|| format!("the answer has no {name}"))?;
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            self.say(&format!("{name}: {text}"))?;
        }
        self.say("…")
    }

    fn run_keyferry(&mut self, args: &[&str]) -> anyhow::Result<Output> {
        let program = std::env::current_exe().context("cannot find this program")?;
        self.output(Command::new(program).args(args), "keyferry")
    }

    fn output(&mut self, command: &mut Command, name: &str) -> anyhow::Result<Output> {
        let output = command.current_dir(self.scene.folder()).output();
        // Ctrl-C ends it as well, which is no failure of its own.
        self.stop.check()?;
        output.with_context(|| {
            format!("cannot run {name}; the demonstration needs it: apt-get install {name}")
        })
    }

    /// As a shell would have to be given it.
    fn quoted(&self, arg: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=".contains(c);
        let kept = self.variables.iter().find(|(key, _)| arg.contains(key));
        match kept {
            Some((key, name)) => format!("\"{}\"", arg.replace(key, &format!("${name}"))),
            None if arg.chars().all(plain) => arg.to_owned(),
            None => format!("'{arg}'"),
        }
    }
}

fn succeeded(output: &Output, name: &str) -> anyhow::Result<String> {
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed ({}): {errors}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
