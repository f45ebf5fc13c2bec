//! What an identity costs in memory stays within bounds. A program of its own, so that nothing
//! else allocates meanwhile.

#[path = "../benches/directory/identities.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "a tool that fails loudly, and that is used in part"
)]
mod identities;

use identities::{Writer, resident};
use keyferry::directory::View;

const IDENTITIES: u32 = 50_000;
/// With the name, the fingerprint, the key id and the digest. Lists are there for more, and a quarter
/// of it is theirs; docs/RELIABILITY.md has what is measured of a million.
const MOST: usize = 450;

#[test]
fn an_identity_takes_no_more_memory_than_is_said() {
    let (view, mut writer) = (View::default(), Writer::new());
    writer.load(&view, 1);
    let before = resident();
    writer.load(&view, IDENTITIES);
    let each = (resident() - before) / usize::try_from(IDENTITIES).unwrap();
    assert!(each <= MOST, "{each} bytes");
    assert!(
        each >= 100,
        "{each} bytes: this does not measure what it should"
    );
}
