//! What a collector has to look like in the configuration, as `keyferry check` says it.

use crate::support::backend::Backend;
use crate::support::gateway::{Builder, Gateway};
use crate::support::world::World;

fn check(builder: Builder<'_>) -> (Option<i32>, String) {
    let told = builder.write().cli(&["check"]);
    (told.status.code(), told.output + &told.errors)
}

#[test]
fn a_collector_is_a_whole_url_and_says_whom_to_trust() {
    let (world, backend) = (World::new(), Backend::start());
    let with = |url: &str| {
        Gateway::builder(&world)
            .echo(&backend)
            .file("collector-ca.pem", world.servers.pem())
            .set("telemetry.tracing.collector", url)
    };
    let trusting = |builder: Builder<'_>| {
        let file = "telemetry.tracing.tls.ca_file";
        check(builder.set(file, "collector-ca.pem"))
    };
    for bad in [
        "127.0.0.1:4318",
        "http://127.0.0.1/v1/traces",
        "http://127.0.0.1:4318",
        "grpc://127.0.0.1:4317/",
        "http://user:pass@127.0.0.1:4318/v1/traces",
        "http://127.0.0.1:4318/v1/traces?key=1",
    ] {
        let (status, said) = check(with(bad));
        let write = "write for instance \"http://127.0.0.1:4318/v1/traces\"";
        assert_eq!(status, Some(78), "{bad}");
        assert!(said.contains(write), "{bad}: {said}");
    }
    let (plain, secure) = (
        "http://127.0.0.1:4318/v1/traces",
        "https://collector.example:4318/v1/traces",
    );
    for good in [check(with(plain)), trusting(with(secure))] {
        assert_eq!(good.0, Some(0), "{}", good.1);
    }
    let (_, said) = check(with(secure));
    assert!(said.contains("write tls = { ca_file = \"…\" }"), "{said}");
    let (_, said) = trusting(with(plain));
    let write = "speaks no TLS, and tls is there; write an https URL, or take tls away";
    assert!(said.contains(write), "{said}");
}
