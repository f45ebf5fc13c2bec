//! Cases C12: keys for clients that never call, as the `openssl` program opens them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use keyferry::certificate::Recipient;

use crate::support::pki::{Kind, leaf};
use crate::support::world::{Identity, World};

const KINDS: [Kind; 4] = [Kind::Rsa(2048), Kind::Rsa(3072), Kind::P256, Kind::P384];

fn decrypt(message: &Path, with: &[&Path]) -> Output {
    let mut openssl = Command::new("openssl");
    openssl.args(["cms", "-decrypt", "-inform", "PEM", "-in"]);
    openssl.arg(message);
    for (option, file) in ["-inkey", "-recip"].iter().zip(with) {
        openssl.arg(option).arg(file);
    }
    openssl.output().expect("the openssl program")
}

fn recipient(client: &Identity) -> Recipient {
    Recipient::read(&fs::read(&client.chain).unwrap()).unwrap()
}

#[test]
fn openssl_opens_what_is_sealed_to_every_kind_of_key() {
    let world = World::new();
    let message = world.path("message.cms");
    for kind in KINDS {
        let client = world.client_like(leaf("device").kind(kind));
        let other = world.client_like(leaf("device").kind(kind));
        let sealed = recipient(&client).seal(b"the message\n").unwrap();
        fs::write(&message, sealed).unwrap();
        for with in [&[&*client.key, &*client.chain][..], &[&*client.key]] {
            let opened = decrypt(&message, with);
            assert!(opened.status.success(), "{opened:?}");
            assert_eq!(opened.stdout, b"the message\n");
        }
        let refused = decrypt(&message, &[&*other.key]);
        assert!(
            !refused.status.success() && !refused.stdout.starts_with(b"the"),
            "{refused:?}"
        );
    }
}

#[test]
fn c12_openssl_refuses_what_was_altered() {
    let world = World::new();
    let (message, der) = (world.path("message.cms"), world.path("message.der"));
    for kind in KINDS {
        let client = world.client_like(leaf("device").kind(kind));
        let sealed = recipient(&client).seal(b"the message\n").unwrap();
        fs::write(&message, &sealed).unwrap();
        let convert = |to: &str, from: (&str, &Path), into: &Path| {
            let done = Command::new("openssl")
                .args(["cms", "-cmsout", "-inform", from.0, "-in"])
                .arg(from.1)
                .args(["-outform", to, "-out"])
                .arg(into)
                .status();
            assert!(done.unwrap().success());
        };
        convert("DER", ("PEM", &message), &der);
        let whole = fs::read(&der).unwrap();
        // A byte of the tag, of the content, and of the encrypted content key.
        let places = [whole.len() - 1, whole.len() - 19, whole.len() - 100];
        for at in places {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            fs::write(&der, &altered).unwrap();
            convert("PEM", ("DER", &der), &message);
            let refused = decrypt(&message, &[&*client.key]);
            assert!(!refused.status.success(), "byte {at}: {refused:?}");
        }
    }
}
