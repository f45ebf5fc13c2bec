//! The real program, with a configuration of the test's own.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use keyferry::store::redis::{Address, Shape};
use serde_json::Value as Json;
use tempfile::TempDir;
use toml::{Table, Value};

use super::backend::Backend;
use super::curl::Curl;
use super::deploy::mount;
use super::process::{Process, program, without_colours_of_ours};
use super::redis::{Deployment, RECORD_SECRET};
use super::s_client::SClient;
use super::world::{HOST, Identity, World};
use super::{free_addresses, wait_for};

/// How often other ports are tried when somebody else was quicker.
const TRIES: usize = 10;

/// The same for all gateways of a test, so that they can share a store.
pub(crate) const PEPPER: &str = "the pepper of at least thirty-two bytes";

/// The secret under which the gateway signs for the backend of that name.
pub(crate) fn secret(backend: &str) -> Vec<u8> {
    format!("{backend}: a secret of at least 32 bytes").into_bytes()
}

/// A gateway that is not started yet.
#[must_use]
pub(crate) struct Builder<'a> {
    world: &'a World,
    folder: TempDir,
    config: Table,
    environment: Vec<(String, String)>,
    is_mounted: bool,
}

/// A running gateway; it ends when dropped.
pub(crate) struct Gateway {
    // Ends before its folder goes.
    process: Process,
    setup: Setup,
}

/// What a gateway runs on, and what it would be started with again.
pub(crate) struct Setup {
    folder: TempDir,
    environment: Vec<(String, String)>,
    public: SocketAddr,
    telemetry: SocketAddr,
    admin: SocketAddr,
    authority: PathBuf,
}

/// What a command of the operator's said.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Builder<'_> {
    /// Sets one value of the configuration: `set("enrolment.mode", "approve")`.
    pub(crate) fn set(mut self, path: &str, value: impl Into<Value>) -> Self {
        let mut table = &mut self.config;
        let mut names: Vec<_> = path.split('.').collect();
        let last = names.pop().expect("a name");
        for name in names {
            let inner = table
                .entry(name)
                .or_insert_with(|| Value::Table(Table::new()));
            table = inner.as_table_mut().expect("a table on the way");
        }
        table.insert(last.to_owned(), value.into());
        self
    }

    /// Takes a table of the configuration away: `without("admin")`.
    pub(crate) fn without(mut self, table: &str) -> Self {
        self.config.remove(table).expect("a table that is there");
        self
    }

    /// Adds one entry to a list of tables: `push("route", toml! { name = "orders" … })`.
    pub(crate) fn push(mut self, list: &str, entry: Table) -> Self {
        let entries = self
            .config
            .entry(list)
            .or_insert_with(|| Value::Array(Vec::new()));
        let entries = entries.as_array_mut().expect("a list of tables");
        entries.push(Value::Table(entry));
        self
    }

    /// Adds a backend that speaks HTTP/1.1 in the clear and gets its own signing secret.
    pub(crate) fn backend(self, name: &str, address: SocketAddr) -> Self {
        let entry = toml::toml! { protocol = "http1" };
        self.backend_like(name, address, entry)
    }

    /// Leads everything to this backend, by certificate or key.
    pub(crate) fn echo(self, backend: &Backend) -> Self {
        self.backend("echo", backend.address())
            .route("/", "echo", "either")
    }

    /// Adds a backend with further settings; name and address are added to them, and signing where it is
    /// not among them.
    pub(crate) fn backend_like(self, name: &str, address: SocketAddr, mut entry: Table) -> Self {
        let file = format!("{name}.secret");
        let builder = self.file(&file, secret(name));
        // Every backend has a signing key of its own, and so a name of its own for it.
        let signing = [("key_id", name.to_owned()), ("secret_file", file)]
            .map(|(setting, value)| (setting.to_owned(), Value::from(value)))
            .into_iter();
        entry.insert("name".to_owned(), name.into());
        entry.insert("addresses".to_owned(), vec![address.to_string()].into());
        entry
            .entry("signing")
            .or_insert_with(|| Value::Table(signing.collect()));
        builder.push("backend", entry)
    }

    /// Adds a route from all hosts and the path prefix `path` to a backend, by these credentials.
    pub(crate) fn route(self, path: &str, backend: &str, accept: &str) -> Self {
        let mut entry = toml::toml! { host = "*" };
        entry.insert("name".to_owned(), format!("{backend}-{accept}").into());
        entry.insert("path".to_owned(), path.into());
        entry.insert("backend".to_owned(), backend.into());
        entry.insert("accept".to_owned(), accept.into());
        self.push("route", entry)
    }

    /// Keeps its records in this Redis instead of a file of its own.
    pub(crate) fn redis(self, url: &str) -> Self {
        self.some_redis().set("store.url", url)
    }

    /// Keeps its records in a Redis; where it is has still to be set.
    pub(crate) fn some_redis(mut self) -> Self {
        self.config.remove("store");
        let keys = toml::toml! { record_keys = [{ version = 1, file = "record.key" }] };
        self.file("record.key", RECORD_SECRET)
            .set("store.kind", "redis")
            .set("store.record_keys", keys["record_keys"].clone())
    }

    /// Keeps its records in a Redis of whatever shape, as the user of docs/STORE.md.
    pub(crate) fn in_redis(self, redis: &Deployment) -> Self {
        let list = |addresses: &[Address]| {
            let list = addresses.iter().map(|address| address.to_string().into());
            Value::Array(list.collect())
        };
        let builder = self
            .some_redis()
            .file("redis.password", "right\n")
            .set("store.password_file", "redis.password");
        match &redis.settings.shape {
            Shape::Single(address) if redis.settings.tls.is_none() => {
                builder.set("store.url", format!("redis://keyferry@{address}"))
            }
            Shape::Single(address) => {
                let [authority, _, ours] = redis.issued();
                builder
                    .file("redis-ca.pem", authority.pem())
                    .file("redis-client.pem", ours.chain_pem())
                    .file("redis-client.key", ours.key_pem())
                    .set("store.url", format!("rediss://keyferry@{address}"))
                    .set("store.tls.ca_file", "redis-ca.pem")
                    .set("store.tls.certificate_file", "redis-client.pem")
                    .set("store.tls.key_file", "redis-client.key")
            }
            Shape::Sentinel(sentinels) => builder
                .set("store.user", "keyferry")
                .set("store.sentinel.addresses", list(&sentinels.addresses))
                .set("store.sentinel.master", sentinels.master.as_str())
                .set("store.sentinel.user", "keyferry")
                .set("store.sentinel.password_file", "redis.password"),
            Shape::Cluster(nodes) => builder
                .set("store.user", "keyferry")
                .set("store.cluster.addresses", list(nodes)),
        }
    }

    /// Puts a file beside the configuration, for the owner's eyes only, as secrets have to be.
    pub(crate) fn file(self, name: &str, contents: impl AsRef<[u8]>) -> Self {
        let path = self.folder.path().join(name);
        fs::write(&path, contents).expect("a file in our own folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our own file");
        self
    }

    /// Has its files as Kubernetes mounts them.
    pub(crate) const fn mounted(mut self) -> Self {
        self.is_mounted = true;
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(self) -> Gateway {
        self.start_until("/readyz")
    }

    /// Starts it and waits only until it runs: for one that cannot get ready.
    #[track_caller]
    pub(crate) fn start_unready(self) -> Gateway {
        self.start_until("/livez")
    }

    /// Only writes its configuration, for commands that need no gateway.
    pub(crate) fn write(self) -> Setup {
        let (mut setup, mut config) = self.setup();
        setup.write(&mut config);
        setup
    }

    fn setup(self) -> (Setup, Table) {
        let setup = Setup {
            folder: self.folder,
            environment: self.environment,
            public: SocketAddr::from(([127, 0, 0, 1], 0)),
            telemetry: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            authority: self.world.authority.clone(),
        };
        if self.is_mounted {
            fs::write(setup.config(), "").expect("a file in our own folder");
            mount(setup.folder.path());
        }
        (setup, self.config)
    }

    #[track_caller]
    fn start_until(self, path: &str) -> Gateway {
        let (mut setup, mut config) = self.setup();
        for _ in 0..TRIES {
            setup.write(&mut config);
            match setup.launch(path) {
                // It waits for an address that somebody else has; who calls there gets another's answer.
                Ok(process) if process.log().contains("is in use, will try again") => {}
                Ok(process) => return Gateway { process, setup },
                Err(log) if log.contains("in use") => {}
                Err(log) => panic!("the gateway ended before it was ready:\n{log}"),
            }
        }
        panic!("no free ports after {TRIES} tries");
    }
}

impl Setup {
    /// Writes the configuration, with other ports each time.
    fn write(&mut self, config: &mut Table) {
        [self.public, self.telemetry, self.admin] = free_addresses();
        for (table, address) in [
            ("listener", self.public),
            ("telemetry", self.telemetry),
            ("admin", self.admin),
        ] {
            if let Some(table) = config.get_mut(table).and_then(Value::as_table_mut) {
                table.insert("address".to_owned(), address.to_string().into());
            }
        }
        fs::write(self.config(), config.to_string()).expect("a file in our own folder");
    }

    /// A file of the configuration.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command of the operator's on this configuration, as `client list`.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Told {
        self.cli_into(arguments, Stdio::piped())
    }

    fn cli_into(&self, arguments: &[&str], output: impl Into<Stdio>) -> Told {
        let mut command = self.command();
        command.args(arguments).arg("-c").arg(self.config());
        command.stdout(output);
        let output = command.output().expect("the program");
        Told {
            status: output.status,
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs such a command at a terminal; gives all that is seen there.
    pub(crate) fn cli_at_terminal(&self, arguments: &[&str]) -> String {
        let command = self.command();
        let program = command.get_program().to_str().expect("a path of text");
        let config = self.config().display().to_string();
        let words = [&[program], arguments, &["-c", &config]].concat();
        let line = format!("stty cols 100 rows 30; {}", words.join(" "));
        let mut terminal = Command::new("script");
        terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        without_colours_of_ours(&mut terminal);
        terminal
            .current_dir(self.folder.path())
            .env("TERM", "xterm")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        let output = terminal.output().expect("script of util-linux");
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}: {seen}");
        seen
    }

    /// Starts such a command, for a test that does not wait for its end.
    pub(crate) fn start_cli(&self, arguments: &[&str]) -> Child {
        let mut command = self.command();
        command.args(arguments).arg("-c").arg(self.config());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the program")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("keyferry.toml")
    }

    fn command(&self) -> Command {
        let mut command = program();
        command
            .current_dir(self.folder.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn begin(&self) -> Process {
        self.begin_like(&[], "log")
    }

    fn begin_like(&self, options: &[&str], log: &str) -> Process {
        let mut command = self.command();
        command
            .arg("run")
            .arg("-c")
            .arg(self.config())
            .args(options);
        Process::start(&mut command, &self.folder.path().join(log))
    }

    /// Starts the program and waits until it answers 200 at `path`; its log when it ended before.
    fn launch(&self, path: &str) -> Result<Process, String> {
        let mut process = self.begin();
        let ready = format!("http://{}{path}", self.telemetry);
        wait_for("the gateway to be ready", || {
            if process.ended().is_some() {
                return Some(Err(process.log()));
            }
            (Curl::get(&ready).send().status == 200).then_some(Ok(()))
        })?;
        Ok(process)
    }
}

impl Gateway {
    /// A gateway that trusts the clients' authority of `world`, enrols whom it verifies, and keeps
    /// its records in a file of its own. Backends and routes are still to be added.
    pub(crate) fn builder(world: &World) -> Builder<'_> {
        let config = toml::toml! {
            [listener]
            client_certificates = "optional"
            [[listener.certificate]]
            certificate_file = "gateway.pem"
            key_file = "gateway.key"
            [[ca]]
            name = "clients"
            file = "clients-root.pem"
            [enrolment]
            mode = "auto"
            [[key.pepper]]
            version = 1
            file = "pepper.key"
            [store]
            kind = "embedded"
            path = "keyferry.redb"
            [shutdown]
            lame_duck = "1ms"
            [limits]
            exempt = ["127.0.0.0/8", "::1"]
            [telemetry]
            log = "info"
            [admin]
        };
        let builder = Builder {
            world,
            folder: TempDir::new().expect("a temporary folder"),
            config,
            environment: Vec::new(),
            is_mounted: false,
        };
        builder
            .file("gateway.pem", world.gateway.issued.chain_pem())
            .file("gateway.key", world.gateway.issued.key_pem())
            .file("clients-root.pem", world.clients.pem())
            .file("pepper.key", PEPPER)
    }

    /// The usual one: everything goes to one backend, by certificate or key.
    #[track_caller]
    pub(crate) fn start(world: &World, backend: &Backend) -> Self {
        Self::builder(world).echo(backend).start()
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.setup.public
    }

    /// A request for `path` of [`HOST`], which trusts the gateway's certificate.
    pub(crate) fn curl(&self, path: &str) -> Curl {
        self.curl_at(HOST, path)
    }

    /// A request for `path` of another host.
    pub(crate) fn curl_at(&self, host: &str, path: &str) -> Curl {
        Curl::get(&format!("https://{host}:{}{path}", self.address().port()))
            .resolve(host, self.address())
            .authority(&self.setup.authority)
    }

    /// A TLS connection for bytes of our choice.
    pub(crate) fn s_client(&self) -> SClient {
        SClient::to(self.address(), HOST)
    }

    /// Fetches the client's key with its certificate.
    #[track_caller]
    pub(crate) fn claim_key(&self, client: &Identity) -> String {
        let answer = self
            .curl("/.well-known/keyferry/key")
            .method("POST")
            .certificate(client)
            .send()
            .expect_status(201);
        let key = answer.json()["key"].as_str().expect("a key").to_owned();
        assert!(key.starts_with("kf_live_"), "{key}");
        key
    }

    /// Runs a command of the operator's on this gateway's configuration, as `client list`.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Told {
        self.cli_into(arguments, Stdio::piped())
    }

    /// Like [`Self::cli`], with another standard output.
    pub(crate) fn cli_into(&self, arguments: &[&str], output: impl Into<Stdio>) -> Told {
        self.setup.cli_into(arguments, output)
    }

    /// What it runs on.
    pub(crate) const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Where its metrics are.
    pub(crate) fn telemetry(&self) -> SocketAddr {
        self.setup.telemetry
    }

    /// Where its configuration and all files are that it names.
    pub(crate) fn folder(&self) -> &Path {
        self.setup.folder.path()
    }

    /// Its embedded store, for when it does not run.
    pub(crate) fn store_file(&self) -> PathBuf {
        self.path("keyferry.redb")
    }

    /// A file in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.setup.folder.path().join(name)
    }

    /// The configuration that it was started with.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.setup.config()
    }

    /// Where operators ask it.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.setup.admin
    }

    /// A question to its admin listener.
    pub(crate) fn admin(&self, target: &str) -> Curl {
        Curl::get(&format!("http://{}{target}", self.setup.admin))
    }

    /// All that it has written.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// The page of metrics.
    pub(crate) fn metrics(&self) -> String {
        let answer = Curl::get(&format!("http://{}/metrics", self.setup.telemetry)).send();
        answer.expect_status(200).text()
    }

    /// The sum of all series that begin with `series`; 0 when there is none.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let page = self.metrics();
        let found = page.lines().filter(|line| line.starts_with(series));
        let values = found.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    /// Asks `/livez` or `/readyz`.
    pub(crate) fn health(&self, path: &str) -> u16 {
        let url = format!("http://{}{path}", self.setup.telemetry);
        Curl::get(&url).send().status
    }

    /// How much memory it holds, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.status("VmRSS:") * 1024
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> u64 {
        self.status("Threads:")
    }

    /// How many files and sockets it has open.
    pub(crate) fn open_files(&self) -> usize {
        let path = format!("/proc/{}/fd", self.process.id());
        fs::read_dir(path).expect("a running gateway").count()
    }

    /// Of which it is known to the system.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    fn status(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(path).expect("a running gateway");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect("a number")
    }

    /// Sends it the signal `name`, as `kill -NAME` does.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(pid)
            .status();
        assert!(status.expect("kill").success());
    }

    /// Ends it as an operator would.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.process.stop()
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill`], at the same addresses.
    #[track_caller]
    pub(crate) fn start_again(&mut self) {
        self.process = self
            .setup
            .launch("/readyz")
            .expect("it starts as it did before");
    }

    /// Starts a gateway of the same configuration that is to take over from this one; `name` is that of
    /// its log.
    pub(crate) fn begin_successor(&self, name: &str) -> Process {
        self.setup.begin_like(&["--upgrade"], name)
    }

    /// Takes `process` to be this gateway from now on. Gives the one that was.
    pub(crate) fn replace(&mut self, process: Process) -> Process {
        std::mem::replace(&mut self.process, process)
    }

    /// The process itself.
    pub(crate) const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Like [`Self::start_again`], without waiting: for one that is killed while it starts.
    pub(crate) fn begin_again(&mut self) {
        self.process = self.setup.begin();
    }
}

impl Told {
    /// Goes on when the command succeeded.
    #[track_caller]
    pub(crate) fn expect_success(self) -> Self {
        assert!(self.status.success(), "{self:#?}");
        self
    }

    /// What it printed with `--output json`.
    #[track_caller]
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.output).unwrap_or_else(|error| {
            panic!("the output is not JSON: {error}\n{self:#?}");
        })
    }
}
