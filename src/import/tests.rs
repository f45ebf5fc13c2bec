//! What readers find, in short; and what holds for all of them.

use super::*;
use crate::pki;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

/// What `text` holds: the line, and whom by what, or `-` for nobody, or `!` and why not.
pub(super) fn found(format: Format, text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut sink = |line: u32, found: Found| all.push(format!("{line} {}", shown(&found)));
    read(format, "acme.pem", NOW, &mut text.as_bytes(), &mut sink).unwrap();
    all
}

fn shown(found: &Found) -> String {
    match found {
        Found::Denied => "-".to_owned(),
        Found::Refused(why) => format!("!{}", why.as_str()),
        Found::Entry(entry) => {
            let mark = match &entry.mark {
                Mark::Fingerprint(_) => "sha256".to_owned(),
                Mark::Certificate(_) => "certificate".to_owned(),
                Mark::Sha1(_) => "sha1".to_owned(),
                Mark::Described(told, text) => format!("{told:?} {text}"),
                Mark::Key => "key".to_owned(),
                Mark::Nothing => "nothing".to_owned(),
            };
            let called = entry.called.as_deref().unwrap_or("?");
            format!("{called}: {mark}")
        }
    }
}

/// A SHA-1 in the form of HAProxy, and a SHA-256 in that of OpenSSL.
pub(super) fn digests() -> (String, String) {
    ("AB".repeat(20), format!("{}AB", "AB:".repeat(31)))
}

#[test]
fn no_reader_repeats_what_it_does_not_understand() {
    const SECRET: &str = "s3cr3t-of-another-gateway";
    let pem = String::from_utf8(pki::leaf("acme").self_signed().key_pem()).unwrap();
    for text in [
        SECRET.to_owned(),
        format!("{SECRET} {SECRET} {SECRET};"),
        format!("default {SECRET};\n~{SECRET} 1;\n\"{SECRET}"),
        format!("client\n{SECRET},{SECRET}\n"),
        format!("fingerprint,{SECRET}\n{SECRET},x\n"),
        format!("consumers:\n- {SECRET}\n- key: {SECRET}\n- [: {SECRET}"),
        format!("{{\"key\": \"{SECRET}\", \"key\": \"{SECRET}\"}}"),
        format!("/CN={SECRET}.*:{SECRET}"),
        format!("SSLRequire %{{SSL_CLIENT_S_DN_CN}} =~ m/{SECRET}/"),
        pem,
    ] {
        for format in Format::ALL {
            let mut sink = |_, found: Found| {
                if let Found::Refused(why) = found {
                    let told = format!("{why} {why:?}");
                    assert!(
                        !told.contains(SECRET) && !told.contains("MII"),
                        "{format:?}: {told}"
                    );
                }
            };
            read(format, "x.pem", NOW, &mut text.as_bytes(), &mut sink).unwrap();
        }
    }
}

#[test]
fn every_format_has_one_word() {
    use clap::ValueEnum as _;
    let words = Format::value_variants().iter();
    let words = words.map(|format| format.to_possible_value().unwrap().get_name().to_owned());
    assert!(words.eq(Format::ALL.map(Format::as_str)));
    for format in Format::ALL {
        let json = serde_json::to_value(format).unwrap();
        assert_eq!(json, format.as_str());
    }
}
