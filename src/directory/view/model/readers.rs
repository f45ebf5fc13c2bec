//! Whoever reads meanwhile.

use std::sync::atomic::AtomicBool;

use super::*;

/// Each client has one key, and a scope of its name; its certificate moves from one key to the other.
#[test]
fn whoever_reads_while_it_grows_finds_whose_a_key_and_a_certificate_is() {
    const CLIENTS: u64 = 400;
    let view = View::default();
    view.share();
    let client = |n: u64| -> ClientId { format!("{n}").parse().unwrap() };
    let key = |n: u64| -> KeyId {
        format!("0190000000007000{:016x}", n << 43 | 1 << 63)
            .parse()
            .unwrap()
    };
    let id = |n: u64| Fingerprint::of(&n.to_be_bytes());
    let put = |version, record| {
        view.apply(Versioned {
            version: Epoch(version),
            record,
        });
    };
    let is_over = AtomicBool::new(false);
    let read = || {
        let mut found = 0;
        while found < CLIENTS || !is_over.load(Ordering::Relaxed) {
            found = 0;
            for n in 0..CLIENTS {
                // The certificate comes after the key.
                let Some(owner) = view.owner(&id(n)) else {
                    continue;
                };
                assert_eq!(owner, client(n));
                let known = view.key(&key(n)).unwrap();
                assert_eq!(known.client(), &client(n));
                assert_eq!(known.scopes(), [client(n).as_str().parse().unwrap()]);
                assert_eq!(view.belongings(&client(n)).keys, [key(n)]);
                found += 1;
            }
        }
    };
    std::thread::scope(|scope| {
        let readers = [scope.spawn(read), scope.spawn(read)];
        for n in 0..CLIENTS {
            let scopes = vec![client(n).as_str().parse().unwrap()];
            let reserved = KeyRecord::reserved(key(n), client(n), NOW);
            put(1, KeyRecord { scopes, ..reserved }.into());
            for version in 2..5 {
                let (client, key) = (client(n), key(n + version));
                let mapping = Mapping::Mapped { client, key };
                let record = CertificateRecord::new(id(n), mapping, Source::Operator, NOW);
                put(version, record.into());
            }
            put(5, ClientRecord::new(client(n), None, NOW).into());
        }
        is_over.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}
