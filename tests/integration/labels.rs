//! Case O11: what strangers send makes no time series.

use std::collections::BTreeSet;

use crate::support::backend::Backend;
use crate::support::curl::Curl;
use crate::support::gateway::Gateway;
use crate::support::pki::{leaf, root};
use crate::support::world::World;

/// The time series that there are, without their values.
fn series(gateway: &Gateway) -> BTreeSet<String> {
    let page = gateway.metrics();
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let named = lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()));
    named.collect()
}

/// A stranger's request, each with another name of its own in all that it can name.
fn hostile(gateway: &Gateway, number: usize) -> Curl {
    let name = format!("hostile-{number}");
    let ask = gateway
        .curl(&format!("/{name}?{name}"))
        .method(&name.to_uppercase());
    ask.header(&format!("Host: {name}.example"))
        .header(&format!("X-{name}: {name}"))
}

#[test]
fn o11_what_strangers_send_makes_no_time_series() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world).echo(&backend).start();
    let each = |number: usize| {
        let stranger = leaf(&format!("hostile-{number}")).signed_by(&root("Hostile").self_signed());
        let stranger = world.files(stranger);
        hostile(&gateway, number).send();
        hostile(&gateway, number)
            .key(&format!("kf_live_{number:032x}_x"))
            .send();
        hostile(&gateway, number).certificate(&stranger).send();
        let client = world.client(&format!("client-{number}"));
        gateway
            .curl("/")
            .certificate(&client)
            .send()
            .expect_status(200);
    };
    // One of each kind makes those that there are; the page does not tell a client, a host or a path.
    each(0);
    let before = series(&gateway);
    assert!(
        before
            .iter()
            .any(|series| series.contains("certificate_chain_incomplete"))
    );
    (1..20).for_each(each);
    let grown: Vec<_> = series(&gateway).difference(&before).cloned().collect();
    assert!(grown.is_empty(), "{grown:?}");
    let told = |series: &String| series.contains("hostile") || series.contains("client-");
    assert!(!before.iter().any(told), "{before:#?}");
}
