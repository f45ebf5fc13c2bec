//! Our own rules beside those of OpenSSL, which it has in full: of every specimen both say the same.

use super::errors::{carried_out, specimens};
use super::*;
use crate::certificate::run::Demands;
use crate::pki::{leaf, root};

/// What OpenSSL may stop at where our rules find nothing: those that BoringSSL looks at as well.
const OF_BOTH: [i32; 11] = [0, 7, 9, 10, 18, 19, 20, 26, 42, 47, 48];
/// Further constraints on names, which it looks at as well.
const OF_NAMES: [i32; 3] = [49, 51, 53];
/// Of what nobody reads with BoringSSL we say another thing: a date, and blocks of addresses.
const TOLD_OTHERWISE: [(i32, i32); 3] = [(41, 13), (34, 41), (34, 46)];

fn compare(root: &Issued, issued: &Issued, for_clients: bool) -> (i32, Option<i32>) {
    let rules = tls::Demands {
        strict: true,
        strong: true,
        for_clients,
    };
    let demands = Demands {
        rules,
        valid_at: Some(moment(0)),
        ..Demands::LEAST
    };
    let built = carried_out(root, issued, Demands::LEAST).built;
    let outcome = carried_out(root, issued, demands).outcome;
    let met = outcome.map_or_else(|fault| fault.code, |()| 0);
    (met, strict::broken(&built, rules).map(|fault| fault.code))
}

#[test]
fn our_own_rules_say_of_every_specimen_what_openssl_does() {
    let root = root("Root").self_signed();
    for for_clients in [true, false] {
        for (code, _, issued) in specimens(&root) {
            let (met, ours) = compare(&root, &issued, for_clients);
            let is_same = match ours {
                None => OF_BOTH.contains(&met) || OF_NAMES.contains(&met),
                Some(ours) => ours == met || TOLD_OTHERWISE.contains(&(ours, met)),
            };
            assert!(is_same, "{code}, {for_clients}: {met}, {ours:?}");
        }
    }
}

#[test]
fn a_type_of_old_means_what_it_does_to_openssl() {
    let root = root("Root").self_signed();
    for bits in 0..=u8::MAX {
        let typed = leaf("acme").extension(library::NETSCAPE, false, &[3, 2, 0, bits]);
        let bare = typed.clone().no_basic_constraints();
        for spec in [typed, bare.clone(), bare.no_key_usage()] {
            let issued = spec.signed_by(&root);
            for for_clients in [true, false] {
                let (met, ours) = compare(&root, &issued, for_clients);
                assert_eq!(ours.unwrap_or(0), met, "{bits:#x}, {for_clients}");
            }
        }
    }
}
