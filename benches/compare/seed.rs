//! What all gateways need to know, from one set of identities: certificates and secrets in files,
//! Keyferry's store, the others' maps, and which headers are forged.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use keyferry::certificate::Fingerprint;
use keyferry::clock;
use keyferry::key::{Format, Pepper, Peppers};
use keyferry::secret;
use keyferry::sign::header;
use keyferry::store::embedded::Embedded;
use sha2::Sha256;
use tokio::runtime::Runtime;

use super::identities::{self, Identity};
use super::pki;

/// The clients that have their certificates in files, to make load with: with P-256 keys, and with RSA keys.
pub(super) const P256: Range<usize> = 0..64;
pub(super) const RSA: Range<usize> = 64..80;
/// The client whose certificate is of an authority that nobody trusts, however well it is known.
const STRANGER: usize = 80;
/// The secrets of the comparison, which protect nothing.
const PEPPER: &[u8; 32] = b"a pepper for the comparison only";
const SIGNING: &[u8; 32] = b"a secret for the comparison only";

/// Write everything that the gateways and the load need into a folder
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder, which exists
    folder: PathBuf,
    /// How many identities
    #[arg(long, default_value_t = 10_000)]
    identities: usize,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let folder = &args.folder;
    let authority = pki::root("Clients Root").self_signed();
    let issuer = pki::intermediate("Clients Issuer").signed_by(&authority);
    let servers = pki::root("Servers Root").self_signed();
    pki::server("api.example.com")
        .signed_by(&servers)
        .write(folder, "server");
    authority.write(folder, "clients-root");
    servers.write(folder, "servers-root");
    let stranger = pki::leaf("stranger").signed_by(&pki::root("Another Root").self_signed());
    private(
        &folder.join("server.key"),
        &fs::read(folder.join("server.key"))?,
    )?;
    private(&folder.join("pepper.key"), PEPPER)?;
    private(&folder.join("signing.key"), SIGNING)?;

    let certificate = |number| {
        let client = match number {
            STRANGER => stranger.clone(),
            _ if P256.contains(&number) => pki::leaf(&name(number)).signed_by(&issuer),
            _ if RSA.contains(&number) => {
                let rsa = pki::leaf(&name(number)).kind(pki::Kind::Rsa(2048));
                rsa.signed_by(&issuer)
            }
            // Nobody ever shows it, so there need be none.
            _ => return Ok(Fingerprint::of(name(number).as_bytes())),
        };
        client.write(folder, &name(number));
        Ok(Fingerprint::of(&client.x509.to_der()?))
    };
    let certificates = (0..args.identities).map(certificate);
    let certificates = certificates.collect::<Result<Vec<_>>>()?;
    let identities = identities::make(certificates, &Format::new("kf", "live")?)?;
    lists(folder, &identities)?;
    names(folder)?;

    let peppers = Peppers::new(
        Pepper::new(1, &secret::from_file_contents(PEPPER.to_vec())?),
        [],
    );
    let store = Embedded::open(&folder.join("keyferry.redb"))?;
    Runtime::new()?.block_on(identities::write(
        &identities,
        &store,
        &peppers,
        clock::now(),
    ))
}

/// What a client and its files are called.
pub(super) fn name(number: usize) -> String {
    format!("client-{number:05}")
}

/// The headers that no client may set, as Keyferry knows them: whole names, and beginnings.
fn names(folder: &Path) -> Result<()> {
    let whole = [&header::RESERVED[..], &header::MISLEADING[..]].concat();
    let beginnings = [&header::RESERVED_PREFIXES[..], &[header::MISLEADING_PREFIX]].concat();
    let names = serde_json::json!({"whole": whole, "beginnings": beginnings});
    private(&folder.join("reserved.json"), names.to_string().as_bytes())
}

/// The maps of the others, and the list of identities for the load. They too keep digests and no keys.
fn lists(folder: &Path, identities: &[Identity]) -> Result<()> {
    let [mut keys, mut certificates, mut list] = [const { String::new() }; 3];
    let pepper = Hmac::<Sha256>::new_from_slice(PEPPER)?;
    for identity in identities {
        let Identity {
            client,
            key_id,
            key,
            certificate,
        } = identity;
        let mut digest = pepper.clone();
        digest.update(key.reveal().as_bytes());
        let digest = hex::encode(digest.finalize().into_bytes());
        writeln!(keys, "{digest} {key_id}:{client}")?;
        writeln!(certificates, "{certificate} {key_id}:{client}")?;
        writeln!(list, "{key_id} {client} {}", key.reveal())?;
    }
    private(&folder.join("keys.map"), keys.as_bytes())?;
    private(&folder.join("certificates.map"), certificates.as_bytes())?;
    private(&folder.join("identities"), list.as_bytes())
}

/// Writes a file that only its owner may read.
fn private(path: &Path, contents: &[u8]) -> Result<()> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(contents))
        .with_context(|| format!("{} cannot be written", path.display()))
}
