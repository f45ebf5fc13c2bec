//! Each rung, each policy, and what nobody may get by them.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails"
)]

mod world;

use super::*;
use crate::certificate::Fingerprint;
use crate::key::{KeyStatus, RevokedBy};
use crate::pki::{Issued, leaf};
use world::{NOW, Seen, World, acme, all, day, written};

#[test]
fn each_rung_does_what_its_policy_says() {
    for rung in [Rung::SameKey, Rung::SameName, Rung::Successor] {
        let mut world = World::new();
        let new = match rung {
            Rung::SameKey => world.same_key(),
            Rung::SameName => world.same_name(),
            Rung::Sha1 | Rung::Successor => day(leaf("new")).signed_by(&world.clients),
        };
        if rung == Rung::Successor {
            let spki = Alias::spki(&world.verified(&new).facts().spki).unwrap();
            world.announce(spki, "acme");
        }
        let given = Seen::Given(rung, acme());
        assert_eq!(world.sees(&new, all(Follow::Auto)), given);
        assert_eq!(
            world.sees(&new, all(Follow::Approve)),
            Seen::Waits(rung, Some(acme()))
        );
        assert_eq!(
            world.sees(&new, all(Follow::Deny)),
            Seen::Refused(rung, Why::Denied)
        );
        assert_eq!(world.sees(&new, all(Follow::Ignore)), Seen::Nobody);
        world.disable();
        for follow in [Follow::Auto, Follow::Approve] {
            assert_eq!(
                world.sees(&new, all(follow)),
                Seen::Refused(rung, Why::Ended)
            );
        }
    }
}

#[test]
fn v24_the_same_subject_with_a_new_key_waits_for_the_operator_unless_it_was_announced() {
    let mut world = World::new();
    let new = world.same_name();
    let policy = Renewal::default();
    assert_eq!(
        world.sees(&new, policy),
        Seen::Waits(Rung::SameName, Some(acme()))
    );
    let given = Seen::Given(Rung::SameKey, acme());
    assert_eq!(world.sees(&world.same_key(), policy), given);
    let spki = Alias::spki(&world.verified(&new).facts().spki).unwrap();
    world.announce(spki, "acme");
    let given = Seen::Given(Rung::Successor, acme());
    assert_eq!(world.sees(&new, policy), given);
}

#[test]
fn c9_under_another_authority_a_name_means_nothing_and_a_key_not_enough() {
    let world = World::new();
    let names = day(leaf("acme")).signed_by(&world.others);
    let key = day(leaf("acme"))
        .key(&world.old.key)
        .signed_by(&world.others);
    // The control: the very same names, issued by the client's own authority.
    let auto = all(Follow::Auto);
    let own = Seen::Given(Rung::SameName, acme());
    assert_eq!(world.sees(&world.same_name(), auto), own);
    assert_eq!(world.sees(&names, auto), Seen::Nobody);
    assert_eq!(
        world.sees(&key, auto),
        Seen::Waits(Rung::SameKey, Some(acme()))
    );
}

#[test]
fn what_was_only_named_by_the_operator_is_followed_by_nothing_on_its_own() {
    let mut world = World::new();
    world.old().ca = None;
    let auto = all(Follow::Auto);
    let (key, name) = (world.same_key(), world.same_name());
    assert_eq!(
        world.sees(&key, auto),
        Seen::Waits(Rung::SameKey, Some(acme()))
    );
    assert_eq!(
        world.sees(&name, auto),
        Seen::Waits(Rung::SameName, Some(acme()))
    );
    world.old().facts = None;
    assert_eq!(world.sees(&key, auto), Seen::Nobody);
}

#[test]
fn nothing_follows_what_was_removed_or_superseded() {
    let mut world = World::new();
    let (client, key) = ("acme".parse().unwrap(), world.key);
    for mapping in [
        Mapping::Removed { at: NOW },
        Mapping::Superseded {
            client,
            key,
            at: NOW,
        },
    ] {
        world.old().mapping = mapping.clone();
        for (rung, new) in [
            (Rung::SameKey, world.same_key()),
            (Rung::SameName, world.same_name()),
        ] {
            let refused = Seen::Refused(rung, Why::Ended);
            assert_eq!(world.sees(&new, all(Follow::Auto)), refused);
        }
        // Also not when another certificate of that name is good: the key is what ended.
        let mut world = World::new();
        let renewed = world.same_name();
        world.add("acme", &renewed);
        let given = Seen::Given(Rung::SameName, acme());
        assert_eq!(world.sees(&world.same_name(), all(Follow::Auto)), given);
        world.old().mapping = mapping.clone();
        let both = day(leaf("acme"))
            .key(&world.old.key)
            .signed_by(&world.clients);
        let refused = Seen::Refused(Rung::SameKey, Why::Ended);
        assert_eq!(world.sees(&both, all(Follow::Auto)), refused);
        // What was removed may have been another's of that name. What was superseded was its own.
        let seen = match mapping {
            Mapping::Removed { .. } => Seen::Waits(Rung::SameName, Some(acme())),
            _ => given,
        };
        assert_eq!(world.sees(&world.same_name(), all(Follow::Auto)), seen);
        // A key that both have is the good one's.
        let copy = world.same_key();
        world.add("acme", &copy);
        let given = Seen::Given(Rung::SameKey, acme());
        assert_eq!(world.sees(&world.same_key(), all(Follow::Auto)), given);
    }
}

#[test]
fn what_could_be_two_clients_is_never_given_without_a_word() {
    let auto = all(Follow::Auto);
    for rung in [Rung::SameKey, Rung::SameName] {
        let mut world = World::new();
        let (new, other) = match rung {
            Rung::SameKey => (world.same_key(), world.same_key()),
            _ => (world.same_name(), world.same_name()),
        };
        assert_eq!(world.sees(&new, auto), Seen::Given(rung, acme()));
        world.add("bravo", &other);
        assert_eq!(world.sees(&new, auto), Seen::Waits(rung, None));
        assert_eq!(
            world.sees(&new, all(Follow::Deny)),
            Seen::Refused(rung, Why::Denied)
        );
        // Also when one of them is disabled: it must not come back as the other.
        world.disable();
        assert_eq!(world.sees(&new, auto), Seen::Waits(rung, None));
        let (client, key) = (acme().parse().unwrap(), world.key);
        let at = NOW;
        world.old().mapping = Mapping::Superseded { client, key, at };
        assert_eq!(world.sees(&new, auto), Seen::Waits(rung, None));
    }
    // A key that is announced for one client and another's already.
    let mut world = World::new();
    let new = world.same_key();
    world.add(
        "bravo",
        &day(leaf("bravo")).signed_by(&world.clients.clone()),
    );
    let spki = Alias::spki(&world.verified(&new).facts().spki).unwrap();
    world.announce(spki, "bravo");
    assert_eq!(world.sees(&new, auto), Seen::Waits(Rung::Successor, None));
    // More than could be compared.
    let mut world = World::new();
    let new = world.same_name();
    world.related.too_many_names = true;
    assert_eq!(world.sees(&new, auto), Seen::Waits(Rung::SameName, None));
    world.related.certificates.clear();
    assert_eq!(world.sees(&new, auto), Seen::Waits(Rung::SameName, None));
}

#[test]
fn the_alternative_names_count_too() {
    let mut world = World::new();
    let named = |names: &[&str]| day(leaf("acme")).names(names).signed_by(&world.clients);
    let (known, same) = (
        named(&["a.example", "b.example"]),
        named(&["b.example", "a.example"]),
    );
    let more = named(&["a.example", "b.example", "c.example"]);
    assert_eq!(world.sees(&same, all(Follow::Auto)), Seen::Nobody);
    world.add("acme", &known);
    let given = Seen::Given(Rung::SameName, acme());
    assert_eq!(world.sees(&same, all(Follow::Auto)), given);
    assert_eq!(world.sees(&more, all(Follow::Auto)), Seen::Nobody);
}

#[test]
fn v22_a_sha_1_is_one_certificates_for_ever() {
    let mut world = World::new();
    let new = day(leaf("imported")).signed_by(&world.clients);
    let sha1 = world.verified(&new).sha1s()[0];
    let policy = all(Follow::Deny);
    world.announce(sha1, "acme");
    let given = Seen::Given(Rung::Sha1, acme());
    assert_eq!(world.sees(&new, policy), given);
    // Another certificate had it before: only a forged one can.
    let other = Fingerprint::of(b"another certificate");
    world.related.aliases[0].1.state = AliasState::Bound { to: other };
    let refused = Seen::Refused(Rung::Sha1, Why::TwoOfOneSha1);
    assert_eq!(world.sees(&new, policy), refused);
    world.related.aliases[0].1.state = AliasState::Withdrawn { at: NOW };
    assert_eq!(world.sees(&new, policy), Seen::Nobody);
    world.related.aliases[0].1.state = AliasState::Open;
    world.disable();
    assert_eq!(
        world.sees(&new, policy),
        Seen::Refused(Rung::Sha1, Why::Ended)
    );
}

#[test]
fn v22_a_sha_1_counts_for_both_forms_of_its_certificate() {
    let mut world = World::new();
    let new = day(leaf("imported")).signed_by(&world.clients);
    let sha1s = world.verified(&new).sha1s().to_vec();
    assert_eq!(sha1s.len(), 2);
    let policy = all(Follow::Deny);
    let given = Seen::Given(Rung::Sha1, acme());
    for sha1 in &sha1s {
        world.related.aliases.clear();
        world.announce(*sha1, "acme");
        assert_eq!(world.sees(&new, policy), given);
    }
    world.announce(sha1s[0], "acme");
    assert_eq!(world.sees(&new, policy), given, "both were named");
    let other = day(leaf("bravo")).signed_by(&world.clients);
    world.add("bravo", &other);
    world.related.aliases[0].1.client = "bravo".parse().unwrap();
    assert_eq!(world.sees(&new, policy), Seen::Waits(Rung::Sha1, None));
    world.disable();
    let ended = Seen::Refused(Rung::Sha1, Why::Ended);
    assert_eq!(world.sees(&new, policy), ended);
}

/// C6: else a certificate that was named before its client's key ended could claim the next.
#[test]
fn what_comes_by_name_gets_no_second_key_when_the_first_has_ended() {
    let by = |by| KeyStatus::Revoked { at: NOW, by };
    for (status, expires_at) in [
        (by(RevokedBy::Client), None),
        (by(RevokedBy::Operator), None),
        (KeyStatus::Active, Some(NOW)),
    ] {
        let mut world = World::new();
        let [imported, announced] =
            ["a", "b"].map(|name| day(leaf(name)).signed_by(&world.clients));
        let sha1 = world.verified(&imported).sha1s()[0];
        let spki = Alias::spki(&world.verified(&announced).facts().spki).unwrap();
        world.announce(sha1, "acme");
        world.announce(spki, "acme");
        let acmes = &mut world.related.clients[0];
        let key = &mut acmes.keys[0].1;
        (key.status, key.expires_at) = (status, expires_at);
        for certificates in [acmes.certificates.clone(), Vec::new()] {
            world.related.clients[0].certificates = certificates;
            // It maps to the key that its client had: see `World::sees`.
            let given = |rung| Seen::Given(rung, acme());
            let policy = Renewal::default();
            assert_eq!(world.sees(&imported, policy), given(Rung::Sha1));
            assert_eq!(world.sees(&announced, policy), given(Rung::Successor));
        }
    }
}

#[test]
fn an_announcement_is_used_once() {
    let mut world = World::new();
    let new = day(leaf("new")).signed_by(&world.clients);
    let spki = Alias::spki(&world.verified(&new).facts().spki).unwrap();
    world.announce(spki, "acme").state = AliasState::Bound {
        to: Fingerprint::of(b"the one that was announced"),
    };
    assert_eq!(world.sees(&new, all(Follow::Auto)), Seen::Nobody);
}

#[test]
fn a_client_with_two_certificates_of_one_name_renews_first_what_ends_first() {
    let mut world = World::new();
    let later = day(leaf("acme")).dates_unix(NOW.as_unix() - 60, NOW.as_unix() + 90_000);
    let later = later.signed_by(&world.clients);
    world.add("acme", &later);
    let new = world.same_name();
    let renews = |world: &World| {
        let verified = world.verified(&new);
        let known = recognise(&verified, "clients", all(Follow::Auto), &world.related, NOW);
        let Recognised::As(_, change) = known else {
            panic!("{known:?}");
        };
        written(&change, verified.fingerprint()).unwrap().renews
    };
    let of = |issued: &Issued| Some(Fingerprint::of(&issued.x509.to_der().unwrap()));
    assert_eq!(renews(&world), of(&world.old));
    world.old().renewed_by = Some(Fingerprint::of(b"one that was removed"));
    assert_eq!(renews(&world), of(&later));
}
