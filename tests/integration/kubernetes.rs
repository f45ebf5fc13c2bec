//! The manifests under k8s/ as a cluster would carry them out: pods that come and go behind a Service,
//! and secrets that are swapped below them.

use std::net::TcpStream;
use std::time::Duration;

use keyferry::clock;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use serde_json::Value;

use crate::support::backend::Backend;
use crate::support::cluster::Cluster;
use crate::support::cluster::pod::Pod;
use crate::support::cluster::service::Service;
use crate::support::curl::Curl;
use crate::support::load::{load_at, more_requests};
use crate::support::pki::server;
use crate::support::signature::verify;
use crate::support::wait_for;
use crate::support::world::{HOST, Identity, World};

/// A path of a route in conf/kubernetes.toml.
const PATH: &str = "/v1/orders";
const SECRETS: &str = "/etc/keyferry/secrets";
const TLS: &str = "/etc/keyferry/tls";

struct Scene {
    world: World,
    backend: Backend,
    cluster: Cluster,
    service: Service,
    alice: Identity,
}

impl Scene {
    /// As many pods as the manifests ask for, with a client that the operator has approved.
    fn start(lame_duck: impl Fn(&Cluster) -> Duration) -> (Self, Vec<Pod>) {
        let (world, backend) = (World::new(), Backend::start());
        let cluster = Cluster::start(&world, &backend);
        let mut pods: Vec<_> = (0..cluster.replicas())
            .map(|_| Pod::start(&cluster, lame_duck(&cluster)))
            .collect();
        for pod in &mut pods {
            pod.wait_until_ready();
        }
        let scene = Self {
            alice: world.client("alice"),
            service: cluster.service(),
            world,
            backend,
            cluster,
        };
        wait_for("the Service to lead to a pod", || {
            (scene.ask() == 403).then_some(())
        });
        let waiting = pods[0].exec(&["certificate", "list", "--pending", "--output", "json"]);
        let waiting: Value = serde_json::from_str(&waiting).unwrap();
        let fingerprint = waiting["certificates"][0]["fingerprint"].as_str().unwrap();
        pods[1].exec(&["certificate", "approve", fingerprint]);
        wait_for("every pod to know her", || {
            (0..10).all(|_| scene.ask() == 200).then_some(())
        });
        (scene, pods)
    }

    fn ask(&self) -> u16 {
        let address = self.service.address();
        let curl = Curl::get(&format!("https://{HOST}:{}{PATH}", address.port()));
        let curl = curl.resolve(HOST, address).authority(&self.world.authority);
        curl.certificate(&self.alice).send().status
    }
}

/// The certificate that a pod shows, in PEM.
fn shown(pod: &Pod) -> Vec<u8> {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    // Which one it is is all that is asked here; the load verifies it.
    connector.set_verify(SslVerifyMode::NONE);
    let stream = TcpStream::connect(pod.address()).unwrap();
    let stream = connector.build().connect(HOST, stream).unwrap();
    stream.ssl().peer_certificate().unwrap().to_pem().unwrap()
}

/// Every failure, and how many answers there were.
fn under_load(scene: &Scene, happens: impl FnOnce()) -> (Vec<String>, u64) {
    let (address, clients) = (scene.service.address(), (&scene.alice, &scene.backend));
    let outcome = load_at(PATH, &scene.world, address, clients, false, happens);
    eprintln!("{outcome:#?}");
    let answers = outcome.values().map(|kind| kind.answers).sum();
    let failures = outcome.into_values().flat_map(|kind| kind.failures);
    (failures.collect(), answers)
}

/// Replaces every pod as the Deployment says: one more, and only when that was ready for long enough,
/// one less.
fn roll_out(scene: &Scene, pods: &mut [Pod]) -> Vec<Duration> {
    let rules = &scene.cluster.manifest("Deployment")["spec"]["strategy"]["rollingUpdate"];
    assert_eq!(
        (&rules["maxSurge"], &rules["maxUnavailable"]),
        (&1.into(), &0.into())
    );
    let mut took = Vec::new();
    for pod in pods {
        let mut next = Pod::start(&scene.cluster, scene.cluster.lame_duck());
        next.wait_until_available(&scene.cluster);
        let mut before = std::mem::replace(pod, next);
        let (status, time) = before.delete();
        assert!(
            status.success(),
            "killed after its grace period, or worse: {status}"
        );
        assert_eq!(before.verdict(), None);
        assert!(before.probes() > 5);
        took.push(time);
        more_requests(&scene.backend);
    }
    took
}

#[test]
fn a_rollout_by_the_manifests_fails_no_request() {
    let (scene, mut pods) = Scene::start(Cluster::lame_duck);
    let mut took = Vec::new();
    let begun = clock::monotonic();
    let (failures, answers) = under_load(&scene, || took = roll_out(&scene, &mut pods));
    eprintln!(
        "{answers} answers in {:?}; pods ended after {took:?}",
        begun.elapsed()
    );
    assert_eq!(failures, [""; 0]);
    assert!(answers > 300, "{answers}");
}

/// The control: without a lame duck, a pod is gone before the nodes have heard of it.
#[test]
fn without_a_lame_duck_the_same_rollout_fails_requests() {
    let (scene, mut pods) = Scene::start(|_| Duration::from_millis(1));
    let (failures, answers) = under_load(&scene, || drop(roll_out(&scene, &mut pods[..1])));
    eprintln!("{} failures, {answers} answers", failures.len());
    assert!(!failures.is_empty(), "{answers} answers and no failure");
}

/// Three in a row: it is the second that those miss who watch a file and not its folder.
#[test]
fn secrets_that_are_swapped_in_every_pod_are_used_and_fail_no_request() {
    let (scene, pods) = Scene::start(Cluster::lame_duck);
    let orders = scene.cluster.made("orders.key");
    let (failures, answers) = under_load(&scene, || {
        for turn in 0..3 {
            let certificate = server(HOST).signed_by(&scene.world.servers);
            let secret = format!("the signing secret for orders, number {turn}");
            for pod in &pods {
                let tls = [
                    ("tls.crt", certificate.chain_pem()),
                    ("tls.key", certificate.key_pem()),
                ];
                pod.swap(
                    TLS,
                    &tls.each_ref().map(|(name, pem)| (*name, pem.as_ref())),
                );
                pod.swap(SECRETS, &[("orders.key", secret.as_bytes())]);
            }
            for pod in &pods {
                wait_for("the new certificate", || {
                    (shown(pod) == certificate.pem()).then_some(())
                });
            }
            wait_for("nothing but the new secret", || {
                more_requests(&scene.backend);
                let requests = scene.backend.requests();
                let mut signed = requests.iter().filter(|one| one.target == PATH).peekable();
                signed.peek()?;
                signed
                    .all(|one| verify(one, secret.as_bytes()).is_ok())
                    .then_some(())
            });
            let request = scene
                .backend
                .requests()
                .into_iter()
                .find(|one| one.target == PATH);
            assert!(verify(&request.unwrap(), &orders).is_err());
        }
    });
    assert_eq!(failures, [""; 0]);
    assert!(answers > 300, "{answers}");
}
