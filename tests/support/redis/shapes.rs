//! Redis in each of its shapes, with a user who may do only what docs/STORE.md says.

use keyferry::secret::Secret;
use keyferry::store::redis::{Login, Sentinels, Settings, Shape, Tls};
use tempfile::TempDir;

use super::super::pki::{Issued, leaf, root, server};
use super::{PORT, Program, RedisServer, until};

/// The rules of docs/STORE.md: for the server that holds the keys, what every node of a cluster
/// needs in addition, and for sentinels.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    Server,
    Node,
    Sentinel,
}

const PASSWORD: &str = "right";
const MASTER: &str = "keyferry";
/// Whom the sentinels are to the servers.
const WATCH: &str = "watch";

/// Several servers, and how a store finds its way through them.
pub(crate) struct Deployment {
    /// The first one is the primary, its replicas follow, then whoever else there is.
    pub(crate) servers: Vec<RedisServer>,
    /// Those who watch, where there are some.
    pub(crate) sentinels: Vec<RedisServer>,
    pub(crate) settings: Settings,
    tls: Option<Ours>,
}

/// Certificates, and where the servers find them.
struct Ours {
    folder: TempDir,
    issued: [Issued; 3],
}

impl Ours {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            issued: certificates(),
        }
    }

    /// A server that speaks TLS at its further port, and wants a certificate.
    async fn start(&self, configuration: &str, options: &[&str]) -> RedisServer {
        let [ca, own, ours] = &self.issued;
        let write = |issued: &Issued, name| {
            let (chain, key) = issued.write(self.folder.path(), name);
            [chain, key].map(|path| path.to_str().unwrap().to_owned())
        };
        let ([ca, _], [chain, key]) = (write(ca, "ca"), write(own, "server"));
        // To each other they show what a client shows.
        let [client_chain, client_key] = write(ours, "client");
        let mut all = vec!["--tls-port", PORT, "--tls-auth-clients", "yes"];
        all.extend(["--tls-ca-cert-file", &ca, "--tls-cert-file", &chain]);
        all.extend(["--tls-key-file", &key, "--tls-client-key-file", &client_key]);
        all.extend(["--tls-client-cert-file", &client_chain]);
        all.extend(options);
        RedisServer::start_configured(configuration, &all).await
    }

    fn as_client(&self, name: Option<&str>, with_certificate: bool) -> Tls {
        let [authority, _, ours] = &self.issued;
        let (chain, key) = (ours.chain_pem(), Secret::new(ours.key_pem()));
        let own = with_certificate.then_some((&*chain, &key));
        Tls::new(&authority.pem(), own, name.map(str::to_owned)).unwrap()
    }
}

/// The authority of a Redis with TLS, the server's certificate, and ours.
pub(crate) fn certificates() -> [Issued; 3] {
    let authority = root("Redis Root").self_signed();
    let server = server("redis").names(&["127.0.0.1", "redis.internal"]);
    let ours = leaf("keyferry").signed_by(&authority);
    let server = server.signed_by(&authority);
    [authority, server, ours]
}

impl Rule {
    /// What the user may do.
    pub(crate) fn allows(self) -> String {
        let page = std::fs::read_to_string("docs/STORE.md").unwrap();
        let mut rules = page.lines().filter_map(|line| line.strip_prefix(USER));
        let rule = rules.nth(self as usize).unwrap();
        rule.replace("PASSWORD", PASSWORD)
    }
}

/// How the rules begin.
pub(crate) const USER: &str = "ACL SETUSER keyferry ";

/// In a file of configuration: the user with these rules.
fn user(rules: &[Rule]) -> String {
    let all: Vec<_> = rules.iter().map(|rule| rule.allows()).collect();
    format!("user keyferry {}\n", all.join(" "))
}

impl Deployment {
    /// One server.
    pub(crate) async fn single(options: &[&str]) -> Self {
        let server = RedisServer::start(options).await;
        let settings = server.settings();
        Self::of(vec![server], settings)
    }

    /// One server of this program, with a user.
    pub(crate) async fn of_program(program: Program, options: &[&str]) -> Self {
        let user = user(&[Rule::Server]);
        let server = RedisServer::start_program(program, &user, options).await;
        let settings = Settings {
            login: login(),
            ..server.settings()
        };
        Self::of(vec![server], settings)
    }

    /// One server with TLS, which wants a certificate of us and a user.
    pub(crate) async fn tls(options: &[&str]) -> Self {
        let tls = Ours::new();
        let server = tls.start(&user(&[Rule::Server]), options).await;
        let settings = Settings {
            login: login(),
            ..super::settings(Shape::Single(super::address(server.further_port())))
        };
        Self::of(vec![server], settings).with(tls)
    }

    /// A primary with a replica, and a sentinel, who all speak TLS with each other and with us.
    pub(crate) async fn sentinel_with_tls() -> Self {
        let tls = Ours::new();
        let among_themselves = ["--tls-replication", "yes"];
        let mut servers = Vec::new();
        for _ in 0..2 {
            let user = user(&[Rule::Server]);
            servers.push(tls.start(&user, &among_themselves).await);
        }
        let port = servers[0].further_port();
        servers[1].tell(&format!("REPLICAOF 127.0.0.1 {port}"));
        servers[0].until_replicas(1).await;
        let configuration = watching(port, 1);
        let mut options = vec!["--sentinel"];
        options.extend(among_themselves);
        let sentinel = tls.start(&configuration, &options).await;
        let known = format!("address=127.0.0.1:{port},slaves=1,sentinels=1");
        let line = format!("master0:name={MASTER},status=ok,{known}");
        until("the sentinel knows the replica", || sentinel.informs(&line)).await;
        let sentinels = Sentinels {
            addresses: vec![super::address(sentinel.further_port())],
            master: MASTER.to_owned(),
            login: login(),
            tls: Some(tls.as_client(None, true)),
        };
        let settings = Settings {
            login: login(),
            ..super::settings(Shape::Sentinel(sentinels))
        };
        let mut this = Self::of(servers, settings).with(tls);
        this.sentinels.push(sentinel);
        this
    }

    fn with(mut self, tls: Ours) -> Self {
        self.settings.tls = Some(tls.as_client(None, true));
        self.tls = Some(tls);
        self
    }

    /// What [`certificates`] gave, where it has TLS.
    pub(crate) fn issued(&self) -> &[Issued; 3] {
        &self.tls.as_ref().unwrap().issued
    }

    /// TLS with a server of this name, with our certificate or without.
    pub(crate) fn tls_as(&self, name: Option<&str>, with_certificate: bool) -> Tls {
        let tls = self.tls.as_ref().unwrap();
        tls.as_client(name, with_certificate)
    }

    /// A primary with so many replicas, and so many sentinels that let one take its place after it
    /// was silent for a second.
    pub(crate) async fn sentinel(options: &[&str], replicas: usize, sentinels: usize) -> Self {
        Self::sentinel_behind(options, replicas, sentinels, |port| port).await
    }

    /// The same; everybody else finds the server of a port at the port that `front` gives.
    pub(crate) async fn sentinel_behind(
        options: &[&str],
        replicas: usize,
        sentinels: usize,
        front: impl FnMut(u16) -> u16,
    ) -> Self {
        let (mut this, port) = Self::replicated_behind(options, replicas, front).await;
        let configuration = format!(
            "{}sentinel auth-user {MASTER} {WATCH}\nsentinel auth-pass {MASTER} {WATCH}\n",
            watching(port, sentinels / 2 + 1)
        );
        for _ in 0..sentinels {
            let sentinel = RedisServer::start_configured(&configuration, &["--sentinel"]).await;
            this.sentinels.push(sentinel);
        }
        // Only then can they agree on a failover.
        let known =
            format!("status=ok,address=127.0.0.1:{port},slaves={replicas},sentinels={sentinels}");
        let line = format!("master0:name={MASTER},{known}");
        until("the sentinels know each other", || {
            this.sentinels
                .iter()
                .all(|sentinel| sentinel.informs(&line))
        })
        .await;
        this.settings = Settings {
            login: login(),
            ..super::settings(Shape::Sentinel(Sentinels {
                addresses: this.sentinels.iter().map(RedisServer::address).collect(),
                master: MASTER.to_owned(),
                login: login(),
                tls: None,
            }))
        };
        this
    }

    /// A primary with so many replicas that are in step.
    pub(crate) async fn replicated(options: &[&str], replicas: usize) -> Self {
        Self::replicated_behind(options, replicas, |port| port)
            .await
            .0
    }

    /// The same behind `front`; gives the port of the primary there, too.
    async fn replicated_behind(
        options: &[&str],
        replicas: usize,
        mut front: impl FnMut(u16) -> u16,
    ) -> (Self, u16) {
        let user = user(&[Rule::Server]);
        let user = format!("{user}user {WATCH} on >{WATCH} ~* &* +@all\n");
        let first = RedisServer::start_configured(&user, options).await;
        let (port, settings) = (front(first.port()), first.settings());
        let mut this = Self::of(vec![first], settings);
        for _ in 0..replicas {
            let replica = RedisServer::start_configured(&user, options).await;
            let own = front(replica.port());
            replica.tell(&format!("CONFIG SET replica-announce-port {own}"));
            replica.tell(&format!("REPLICAOF 127.0.0.1 {port}"));
            this.servers.push(replica);
        }
        this.first()
            .tell(&format!("CONFIG SET replica-announce-port {port}"));
        this.first().until_replicas(replicas).await;
        (this, port)
    }

    /// A cluster whose first node serves our keys, its replicas, and two nodes that know so.
    pub(crate) async fn cluster(options: &[&str], replicas: usize) -> Self {
        let mut all = vec!["--cluster-enabled", "yes", "--cluster-port", PORT];
        all.extend(["--cluster-node-timeout", "1000"]);
        all.extend(options);
        let mut nodes = Vec::new();
        for _ in 0..replicas + 3 {
            let user = user(&[Rule::Server, Rule::Node]);
            nodes.push(RedisServer::start_configured(&user, &all).await);
        }
        let (first, others) = nodes.split_first().unwrap();
        let (replicas, others) = others.split_at(replicas);
        let slots = ["5461 10922", "0 5460", "10923 16383"];
        for (node, slots) in [first].into_iter().chain(others).zip(slots) {
            node.tell(&format!("CLUSTER ADDSLOTSRANGE {slots}"));
        }
        for (node, epoch) in nodes.iter().zip(1..) {
            node.tell(&format!("CLUSTER SET-CONFIG-EPOCH {epoch}"));
        }
        for node in &nodes[1..] {
            let (port, bus) = (first.port(), first.further_port());
            node.tell(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"));
        }
        let known = format!("cluster_known_nodes:{}", nodes.len());
        let all_know = |line: &str| nodes.iter().all(|node| node.cluster_says(line));
        until("the nodes know each other", || all_know(&known)).await;
        for replica in replicas {
            replica.tell(&format!("CLUSTER REPLICATE {}", first.node_id()));
        }
        until("the cluster is up", || all_know("cluster_state:ok")).await;
        first.until_replicas(replicas.len()).await;
        let settings = Settings {
            login: login(),
            ..super::settings(Shape::Cluster(
                others.iter().map(RedisServer::address).collect(),
            ))
        };
        Self::of(nodes, settings)
    }

    fn of(servers: Vec<RedisServer>, settings: Settings) -> Self {
        Self {
            servers,
            sentinels: Vec::new(),
            settings,
            tls: None,
        }
    }

    /// The server that was the primary at first.
    pub(crate) fn first(&self) -> &RedisServer {
        &self.servers[0]
    }
}

/// What makes a sentinel let a replica take the place of the primary there.
fn watching(port: u16, quorum: usize) -> String {
    let user = user(&[Rule::Sentinel]);
    format!(
        "{user}sentinel monitor {MASTER} 127.0.0.1 {port} {quorum}\n\
         sentinel down-after-milliseconds {MASTER} 1000\n\
         sentinel failover-timeout {MASTER} 3000\n"
    )
}

impl RedisServer {
    fn cluster_says(&self, line: &str) -> bool {
        let told: String = redis::from_redis_value(self.tell("CLUSTER INFO")).unwrap();
        told.lines().any(|found| found == line)
    }

    /// Waits until so many replicas are in step.
    async fn until_replicas(&self, number: usize) {
        until("the replicas are in step", || {
            let (_, _, replicas): (String, u64, Vec<(String, String, u64)>) =
                redis::from_redis_value(self.tell("ROLE")).unwrap();
            // One that never acknowledged anything is not sent anything yet.
            replicas.len() == number
                && replicas
                    .iter()
                    .all(|(_, _, acknowledged)| *acknowledged > 0)
        })
        .await;
    }

    /// Its name among the nodes.
    pub(crate) fn node_id(&self) -> String {
        redis::from_redis_value(self.tell("CLUSTER MYID")).unwrap()
    }
}

fn login() -> Login {
    Login {
        user: Some("keyferry".to_owned()),
        password: Some(Secret::new(PASSWORD.to_owned())),
    }
}
