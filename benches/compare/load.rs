//! The load: a fixed number of connections for a fixed time, one thread each.
//!
//! Every connection sends a request, waits for the whole answer, and sends the next: at once, or at
//! a given rate. With a rate, latency counts from the moment at which the request was due, so that a
//! slow answer is not hidden by the requests that it held up.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::ValueEnum;
use keyferry::clock::monotonic;
use memchr::memmem;
use openssl::ssl::{
    SslConnector, SslConnectorBuilder, SslFiletype, SslMethod, SslStream, SslVerifyMode, SslVersion,
};

const HOST: &str = "api.example.com";
/// How many requests each connection sends before anything is measured.
const WARM_UP: usize = 50;
/// How long an answer may take; longer is an error.
const PATIENCE: Duration = Duration::from_secs(5);

/// Make load and measure what it costs the gateway; prints one JSON object
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the gateway listens
    address: SocketAddr,
    /// What to send
    #[arg(value_enum)]
    workload: Workload,
    /// The folder that `seed` filled
    #[arg(long)]
    folder: PathBuf,
    /// The gateway's process, to measure its CPU time
    #[arg(long)]
    pid: u32,
    /// How many connections at a time
    #[arg(long)]
    connections: u32,
    /// For how long
    #[arg(long)]
    seconds: f64,
    /// How many requests a second over all connections; 0 for as many as are answered
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// The groups for the key exchange
    #[arg(long, default_value = "X25519")]
    groups: String,
}

/// How clients prove themselves, and how long their connections last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Keys, every request another one, on connections that stay
    Key,
    /// Certificates, every connection another one, on connections that stay
    Certificate,
    /// Certificates, a full handshake for every request
    Handshake,
}

pub(super) fn run(args: &Args) -> Result<()> {
    ensure!(args.connections > 0, "no load without connections");
    let list = fs::read_to_string(args.folder.join("identities"))?;
    let keys: Vec<&str> = list
        .lines()
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    let connections = usize::try_from(args.connections)?;
    let ready = Barrier::new(connections.saturating_add(1));
    let (latencies, cpu_ticks, took) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|number| {
                let (keys, ready) = (&keys, &ready);
                scope.spawn(move || {
                    let client = Client::new(args, number, keys).and_then(Client::warmed_up);
                    // The others wait for everybody, also for those that failed.
                    ready.wait();
                    client?.measure()
                })
            })
            .collect();
        ready.wait();
        let (begun, before) = (monotonic(), cpu_ticks(args.pid));
        let mut latencies = Vec::new();
        for client in clients {
            latencies.extend(client.join().map_err(|_| anyhow!("a client panicked"))??);
        }
        let ticks = cpu_ticks(args.pid)?.saturating_sub(before?);
        anyhow::Ok((latencies, ticks, begun.elapsed()))
    })?;
    print(latencies, cpu_ticks, took)
}

fn print(mut latencies: Vec<Duration>, cpu_ticks: u64, took: Duration) -> Result<()> {
    latencies.sort_unstable();
    let quantile = |per_cent: usize| {
        let at = latencies.len().saturating_mul(per_cent).div_euclid(100);
        let latency = latencies.get(at).context("nothing was measured")?;
        anyhow::Ok(latency.as_secs_f64() * 1e6)
    };
    let result = serde_json::json!({
        "requests": latencies.len(),
        "seconds": took.as_secs_f64(),
        "cpu_ticks": cpu_ticks,
        "p50_us": quantile(50)?,
        "p99_us": quantile(99)?,
    });
    Ok(writeln!(io::stdout(), "{result}")?)
}

/// The clock ticks that a process spent, in its own code and in the kernel for it: fields 14 and 15
/// of `proc_pid_stat(5)`.
fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses, which may hold anything.
    let (_, rest) = stat.rsplit_once(") ").context("an unknown form of stat")?;
    let fields = rest.split(' ').skip(11).take(2);
    fields.map(|field| Ok(field.parse::<u64>()?)).sum()
}

/// One client: a connection at a time.
struct Client<'a> {
    args: &'a Args,
    /// Which of the connections it is.
    number: u32,
    connector: SslConnector,
    /// Comes round to every key before it takes the first again, at another place in each client.
    keys: Box<dyn Iterator<Item = &'a str> + 'a>,
    open: Option<SslStream<TcpStream>>,
    buffer: Vec<u8>,
}

impl<'a> Client<'a> {
    fn new(args: &'a Args, number: usize, keys: &'a [&'a str]) -> Result<Self> {
        let mut connector = SslConnector::builder(SslMethod::tls_client())?;
        // One version, one cipher, one group: both gateways do the same work.
        connector.set_min_proto_version(Some(SslVersion::TLS1_3))?;
        connector.set_ciphersuites("TLS_AES_128_GCM_SHA256")?;
        connector.set_groups_list(&args.groups)?;
        connector.set_verify(SslVerifyMode::NONE);
        if args.workload != Workload::Key {
            present(&mut connector, args, number)?;
        }
        let far = keys.len().div_euclid(usize::try_from(args.connections)?);
        let keys = keys.iter().cycle().skip(number.saturating_mul(far));
        Ok(Self {
            args,
            number: u32::try_from(number)?,
            connector: connector.build(),
            keys: Box::new(keys.copied()),
            open: None,
            buffer: Vec::with_capacity(4096),
        })
    }

    fn warmed_up(mut self) -> Result<Self> {
        for _ in 0..WARM_UP {
            self.request()?;
        }
        Ok(self)
    }

    /// Gives the latency of every request.
    fn measure(mut self) -> Result<Vec<Duration>> {
        let begun = monotonic();
        let interval = if self.args.rate > 0.0 {
            Duration::from_secs_f64(f64::from(self.args.connections) / self.args.rate)
        } else {
            Duration::ZERO
        };
        let seconds = Duration::from_secs_f64(self.args.seconds);
        // Not all at once: each begins at its own part of the interval.
        let part = interval
            .saturating_mul(self.number)
            .checked_div(self.args.connections);
        let mut due = begun
            .checked_add(part.unwrap_or_default())
            .context("the end of time")?;
        let mut latencies = Vec::new();
        while due.duration_since(begun) < seconds {
            wait_until(due);
            self.request()?;
            latencies.push(due.elapsed());
            due = if interval.is_zero() {
                monotonic()
            } else {
                due.checked_add(interval).context("the end of time")?
            };
        }
        Ok(latencies)
    }

    /// One request and its whole answer, which must be 200.
    fn request(&mut self) -> Result<()> {
        let mut stream = match self.open.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        let stays = self.args.workload != Workload::Handshake;
        let connection = if stays { "keep-alive" } else { "close" };
        let key = match self.args.workload {
            Workload::Key => format!("X-API-Key: {}\r\n", self.keys.next().unwrap_or_default()),
            Workload::Certificate | Workload::Handshake => String::new(),
        };
        let request = format!(
            "GET /v1/orders?limit=10 HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: bench/1\r\n\
             Accept: application/json\r\nConnection: {connection}\r\n{key}\r\n"
        );
        stream.write_all(request.as_bytes())?;
        self.answer(&mut stream)?;
        if stays {
            self.open = Some(stream);
        }
        Ok(())
    }

    fn connect(&self) -> Result<SslStream<TcpStream>> {
        let tcp = TcpStream::connect(self.args.address)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let mut configuration = self.connector.configure()?;
        configuration.set_verify_hostname(false);
        let connected = configuration.connect(HOST, tcp);
        connected.map_err(|error| anyhow!("no handshake: {error}"))
    }

    /// Reads to the end of the answer, as its Content-Length says.
    fn answer(&mut self, stream: &mut SslStream<TcpStream>) -> Result<()> {
        self.buffer.clear();
        let mut chunk = [0; 4096];
        loop {
            let read = stream.read(&mut chunk)?;
            ensure!(
                read > 0,
                "the gateway closed the connection within an answer"
            );
            self.buffer.extend(chunk.iter().take(read));
            let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") else {
                continue;
            };
            let head = str::from_utf8(self.buffer.get(..end).unwrap_or_default())?;
            ensure!(head.starts_with("HTTP/1.1 200 "), "refused: {head}");
            let length = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .context("an answer without Content-Length")?;
            let length: usize = length.1.parse()?;
            if self.buffer.len() >= end.saturating_add(4).saturating_add(length) {
                return Ok(());
            }
        }
    }
}

/// Gives the client one of the certificates that `seed` left in files.
fn present(connector: &mut SslConnectorBuilder, args: &Args, number: usize) -> Result<()> {
    let name = format!("client-{:05}", number.rem_euclid(64));
    let file = |extension| args.folder.join(format!("{name}.{extension}"));
    connector.set_certificate_chain_file(file("pem"))?;
    connector.set_private_key_file(file("key"), SslFiletype::PEM)?;
    Ok(())
}

fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(monotonic());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
