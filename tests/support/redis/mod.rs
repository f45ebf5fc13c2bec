//! Redis of a test's own: one server, or several in some shape.

#![allow(
    dead_code,
    unused_imports,
    clippy::allow_attributes,
    reason = "each test uses some of the tools"
)]

mod shapes;

pub(crate) use shapes::{Deployment, Rule, USER, certificates};

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyferry::clock;
use keyferry::secret::Secret;
use keyferry::store::redis::{Address, Settings, Shape};
use keyferry::store::{RecordKey, RecordKeys};
use tempfile::TempDir;

/// The secret that the tests' records in Redis are authenticated with.
pub(crate) const RECORD_SECRET: &[u8] = b"only those who have this write records";

/// What the stores of the tests believe.
pub(crate) fn record_keys() -> RecordKeys {
    let secret = Secret::new(RECORD_SECRET.to_vec());
    RecordKeys::new(RecordKey::new(1, &secret), [])
}

/// How a program that has the record key uses a Redis of this shape.
pub(crate) fn settings(shape: Shape) -> Settings {
    Settings {
        record_keys: record_keys(),
        ..Settings::new(shape)
    }
}

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The one that is installed.
    Installed,
    /// The oldest that docs/STORE.md speaks of.
    Oldest,
    Valkey,
}

impl Program {
    fn path(self) -> PathBuf {
        let name = match self {
            Self::Oldest if cfg!(target_arch = "x86_64") => "redis-6.2",
            Self::Valkey if cfg!(target_arch = "x86_64") => "valkey",
            _ => return "redis-server".into(),
        };
        std::path::absolute(format!("target/suites/servers/{name}")).unwrap()
    }
}

/// A `redis-server` process in a folder of its own, on a port that the system gave. It ends with
/// this value.
pub(crate) struct RedisServer {
    program: Program,
    child: Option<Child>,
    port: u16,
    /// Those that its options name as `PORT`.
    further_ports: Vec<u16>,
    folder: TempDir,
    options: Vec<String>,
    environment: Vec<(String, String)>,
}

/// In an option: a port that the system gives.
pub(crate) const PORT: &str = "PORT";
const CONFIGURATION: &str = "redis.conf";

impl RedisServer {
    /// A server that keeps everything in memory, with further `options` as on its command line.
    pub(crate) async fn start(options: &[&str]) -> Self {
        Self::start_configured("", options).await
    }

    /// A server with this file of configuration, which it may write to.
    pub(crate) async fn start_configured(configuration: &str, options: &[&str]) -> Self {
        Self::start_program(Program::Installed, configuration, options).await
    }

    /// The same of another program.
    pub(crate) async fn start_program(
        program: Program,
        configuration: &str,
        options: &[&str],
    ) -> Self {
        Self::start_as(program, &[], configuration, options).await
    }

    /// Like [`Self::start`], in this environment.
    pub(crate) async fn start_in(environment: &[(String, String)], options: &[&str]) -> Self {
        Self::start_as(Program::Installed, environment, "", options).await
    }

    async fn start_as(
        program: Program,
        environment: &[(String, String)],
        configuration: &str,
        options: &[&str],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(CONFIGURATION), configuration).unwrap();
        let mut server = Self {
            program,
            child: None,
            port: 0,
            further_ports: Vec::new(),
            folder,
            options: Vec::new(),
            environment: environment.to_vec(),
        };
        // Between the look for a free port and the start another process may take it.
        for _ in 0..5 {
            server.port = free_port();
            server.further_ports.clear();
            let options = options.iter().map(|option| {
                if *option != PORT {
                    return option.to_string();
                }
                let port = free_port();
                server.further_ports.push(port);
                port.to_string()
            });
            server.options = options.collect();
            if server.start_again().await {
                return server;
            }
        }
        panic!("redis-server does not start: {}", server.log());
    }

    /// Starts the server after [`Self::stop`], on its old port and with what it saved; tells
    /// whether it answers.
    pub(crate) async fn start_again(&mut self) -> bool {
        let log = File::create(self.folder.path().join("log")).unwrap();
        let child = Command::new(self.program.path())
            .arg(self.folder.path().join(CONFIGURATION))
            .args(["--port", &self.port.to_string()])
            .args(["--bind", "127.0.0.1", "--save", ""])
            .args(["--repl-diskless-sync-delay", "0"])
            .args(["--repl-ping-replica-period", "1", "--dir"])
            .arg(self.folder.path())
            .args(&self.options)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .expect("the servers that this test needs come with make setup");
        self.child = Some(child);
        let begun: Instant = clock::monotonic();
        while begun.elapsed() < PATIENCE {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            if ended.is_some() {
                return false;
            }
            if self.is_ready() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not answer: {}", self.log());
    }

    /// Ends the server as a crash would.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it where it is, as a machine that hangs would: its connections stay.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        // The shell's own kill: the program of that name is not on every machine.
        let told = Command::new("sh")
            .args(["-c", "kill -\"$0\" \"$1\"", signal])
            .arg(self.child.as_ref().unwrap().id().to_string())
            .status();
        assert!(told.unwrap().success());
    }

    /// Where it is, for a client without a password.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where it saves what it has.
    pub(crate) fn dump(&self) -> PathBuf {
        self.folder.path().join("dump.rdb")
    }

    /// Where it is.
    pub(crate) fn address(&self) -> Address {
        address(self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Begins with these options the next time, in addition.
    pub(crate) fn add_options(&mut self, options: &[&str]) {
        let options = options.iter().map(ToString::to_string);
        self.options.extend(options);
    }

    /// The first of the ports that its options named.
    pub(crate) fn further_port(&self) -> u16 {
        self.further_ports[0]
    }

    /// For a store in it, without a password.
    pub(crate) fn settings(&self) -> Settings {
        settings(Shape::Single(self.address()))
    }

    /// Tells it a command of words, behind the store's back.
    pub(crate) fn tell(&self, command: &str) -> redis::Value {
        let mut words = command.split(' ');
        let mut told = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            told.arg(word);
        });
        told.query(&mut self.connection())
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// The connections on which gateways wait for events, by their number.
    pub(crate) fn followers(&self) -> Vec<String> {
        let listed: String = redis::from_redis_value(self.tell("CLIENT LIST")).unwrap();
        let waiting = listed.lines().filter(|line| line.contains(" cmd=xread "));
        let number = |line: &str| Some(line.split(' ').next()?.strip_prefix("id=")?.to_owned());
        waiting.filter_map(number).collect()
    }

    /// Cuts a connection, if there still is one of that number.
    pub(crate) fn cut(&self, number: &str) {
        self.tell(&format!("CLIENT KILL ID {number}"));
    }

    /// Whether a line of its `INFO` says so.
    pub(crate) fn informs(&self, line: &str) -> bool {
        let told = self.tell("INFO");
        let told: String = redis::from_redis_value(told).unwrap();
        told.lines().any(|found| found == line)
    }

    /// A connection that blocks, for looking behind the store's back.
    pub(crate) fn connection(&self) -> redis::Connection {
        self.try_connect().unwrap()
    }

    fn try_connect(&self) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(self.url())?.get_connection_with_timeout(PATIENCE)
    }

    /// It answers, if only that it wants a password.
    fn is_ready(&self) -> bool {
        let ping = |mut connection| redis::cmd("PING").query::<String>(&mut connection);
        match self.try_connect().and_then(ping) {
            Ok(_) => true,
            Err(error) => error.code() == Some("NOAUTH"),
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn address(port: u16) -> Address {
    Address {
        host: "127.0.0.1".to_owned(),
        port,
    }
}

/// Asks again and again until `is_so`.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = clock::monotonic();
    while !is_so() {
        assert!(
            begun.elapsed() < 3 * PATIENCE,
            "waited in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
