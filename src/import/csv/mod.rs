//! A table with a header: what any inventory can be written as.

mod lf;
mod rows;

use std::io::{self, BufRead};

use ::csv::{ByteRecord, ReaderBuilder};

use super::{Entry, Found, Mark, Sink, Told, Why};
use crate::certificate::Handed;
use crate::client::{MOST_TAGS, Tags};
use lf::Lf;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Client,
    Sha256,
    Sha1,
    /// A SHA-256 or a SHA-1.
    Fingerprint,
    Certificate,
    Told(Told),
    Description,
    Tags,
    Other,
}

/// Reads a table, with commas, semicolons or tabs.
pub(super) fn read(input: &mut dyn BufRead, sink: Sink<'_>) -> io::Result<u32> {
    if input.fill_buf()?.starts_with(MARK) {
        input.consume(MARK.len());
    }
    let delimiter = delimiter(input.fill_buf()?);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .delimiter(delimiter)
        .from_reader(Lf::new(input, delimiter));
    let (mut row, mut columns) = (ByteRecord::new(), None::<Vec<Column>>);
    // The last row counts only once it is known to be whole.
    let mut last = None;
    loop {
        // Rows are bytes of any number: nothing but the input can fail.
        let is_row = reader.read_byte_record(&mut row).map_err(io::Error::from)?;
        let lines = number(reader.position().line()).saturating_sub(1);
        let broken = reader.get_ref().broken().filter(|_| !is_row);
        if let Some((line, why)) = broken {
            sink(line, why.into());
            return Ok(lines);
        }
        if let Some((line, found)) = last.take() {
            sink(line, found);
        }
        if !is_row {
            if columns.is_none() {
                sink(1, Why::File(HEADER).into());
            }
            return Ok(lines);
        }
        let within = row.iter().flatten().filter(|byte| **byte == b'\n').count();
        let line = lines.saturating_sub(number(within));
        let fields = row
            .iter()
            .map(std::str::from_utf8)
            .collect::<Result<Vec<_>, _>>();
        let Ok(fields) = fields else {
            last = Some((line, Why::Syntax("it is not UTF-8").into()));
            continue;
        };
        let Some(columns) = &columns else {
            let named: Vec<_> = fields.iter().map(|name| column(name)).collect();
            let why = header(&named).or_else(|| (within > 0).then_some(HEADER));
            if let Some(why) = why {
                sink(line.max(1), Why::File(why).into());
                return Ok(lines);
            }
            columns = Some(named);
            continue;
        };
        last = Some((line, entry(columns, &fields).into()));
    }
}

/// What some programs begin a text with.
const MARK: &[u8] = b"\xef\xbb\xbf";

fn number(of: impl TryInto<u32>) -> u32 {
    of.try_into().unwrap_or(u32::MAX)
}

/// Which of the signs that are used between columns stands first.
fn delimiter(begin: &[u8]) -> u8 {
    let header = begin
        .split(|b| *b == b'\n')
        .find(|line| !line.starts_with(b"#"));
    let mut signs = header.unwrap_or_default().iter();
    signs.find(|b| b",;\t".contains(b)).copied().unwrap_or(b',')
}

fn column(name: &str) -> Column {
    let name = name.trim().to_ascii_lowercase();
    let name = name.replace([' ', '-'], "_");
    match name.as_str() {
        "client" | "client_id" | "id" | "name" => Column::Client,
        "sha256" | "fingerprint_sha256" => Column::Sha256,
        "sha1" | "fingerprint_sha1" | "thumbprint" => Column::Sha1,
        "fingerprint" => Column::Fingerprint,
        "certificate" | "pem" => Column::Certificate,
        "subject" | "subject_dn" | "dn" => Column::Told(Told::Subject),
        "common_name" | "cn" => Column::Told(Told::CommonName),
        "serial" | "serial_number" => Column::Told(Told::Serial),
        "description" => Column::Description,
        "tags" => Column::Tags,
        _ => Column::Other,
    }
}

const HEADER: &str = "its first line must name columns: client, sha256, sha1, fingerprint, certificate, \
                      subject, common_name, serial, description, tags";

/// What is wrong with the header, if something is.
fn header(columns: &[Column]) -> Option<&'static str> {
    let is_known = |column: &&Column| **column != Column::Other;
    let is_twice = |(at, column): (usize, &Column)| {
        columns
            .iter()
            .skip(at.saturating_add(1))
            .any(|other| other == column)
    };
    let mut known = columns.iter().filter(is_known);
    if known.next().is_none() {
        return Some(HEADER);
    }
    let mut columns = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| is_known(column));
    columns
        .any(is_twice)
        .then_some("two of its columns mean the same")
}

fn entry(columns: &[Column], row: &[&str]) -> Result<Found, Why> {
    if columns.len() != row.len() {
        return Err(Why::Syntax("it has more or fewer columns than the header"));
    }
    let (mut entry, mut best) = (Entry::new(None, Mark::Nothing), usize::MAX);
    for (column, text) in columns.iter().zip(row) {
        // A quote that is closed in a later row takes the rows between for text.
        if *column != Column::Certificate && text.contains(['\n', '\r']) {
            return Err(Why::Syntax(
                "a field goes on in the next line, as only a certificate may; is a quote not closed?",
            ));
        }
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        // Where several columns name the certificate, what names it best counts.
        let mark = match column {
            Column::Client => {
                entry.called = Some(text.into());
                continue;
            }
            Column::Description => {
                entry.description = Some(text.into());
                continue;
            }
            Column::Tags => {
                entry.tags = tags(text)?;
                continue;
            }
            Column::Other => continue,
            Column::Certificate => (0, certificate(text)?),
            Column::Sha256 => (1, sha256(text)?),
            Column::Fingerprint => (2, digest(text)?),
            Column::Sha1 => (3, sha1(text)?),
            Column::Told(told) => (4, told_by(*told, text)?),
        };
        if mark.0 < best {
            (best, entry.mark) = mark;
        } else if mark.0 == best {
            return Err(Why::Syntax(
                "several columns describe the certificate; leave one",
            ));
        }
    }
    Ok(entry.into())
}

/// A certificate in PEM, or in base64 alone.
fn certificate(text: &str) -> Result<Mark, Why> {
    let handed = if text.contains("-----BEGIN") {
        Handed::read(text.as_bytes())
    } else {
        Handed::read(&[BEGIN, text.as_bytes(), END].concat())
    };
    Ok(Mark::Certificate(Box::new(handed?)))
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----\n";
const END: &[u8] = b"\n-----END CERTIFICATE-----\n";

fn digest(text: &str) -> Result<Mark, Why> {
    Mark::digest(text).ok_or(Why::Syntax("a fingerprint is 64 or 40 hex digits"))
}

fn sha256(text: &str) -> Result<Mark, Why> {
    match Mark::digest(text) {
        Some(mark @ Mark::Fingerprint(_)) => Ok(mark),
        _ => Err(Why::Syntax("a SHA-256 is 64 hex digits")),
    }
}

fn sha1(text: &str) -> Result<Mark, Why> {
    match Mark::digest(text) {
        Some(mark @ Mark::Sha1(_)) => Ok(mark),
        _ => Err(Why::Syntax("a SHA-1 is 40 hex digits")),
    }
}

fn told_by(told: Told, text: &str) -> Result<Mark, Why> {
    if told == Told::Subject && text.starts_with('/') {
        return Mark::described(Told::SubjectInOneLine, text);
    }
    Mark::described(told, text)
}

fn tags(text: &str) -> Result<Tags, Why> {
    let words = text
        .split([' ', ',', ';', '|'])
        .filter(|word| !word.is_empty());
    let tags: Result<Tags, _> = words.map(str::parse).collect();
    let tags = tags.ok().filter(|tags| tags.len() <= MOST_TAGS);
    tags.ok_or(Why::Syntax(
        "tags are up to 32 words of a-z 0-9 . _ / = -, with blanks between",
    ))
}

#[cfg(test)]
mod tests {
    use super::Told;
    use crate::import::Format::Csv;
    use crate::import::tests::{digests, found};
    use crate::pki;

    #[test]
    fn a_table_is_read_by_its_header() {
        let (sha1, sha256) = digests();
        let pem = String::from_utf8(pki::leaf("acme").self_signed().pem()).unwrap();
        let text = format!(
            "\u{feff}Client ID;SHA256;sha1;certificate;Owner;tags\r\n\
             acme;{sha256};;;me;a b\r\n# note\r\nbravo;;{sha1};;;\r\nc;;;\"{pem}\";;\r\n\
             d;{sha1};;;;\r\ne;;;x;;\r\nf\r\ng;;;;;No Tag!\r\nh;;;;;\r\n"
        );
        let rows = pem.lines().count() + 1;
        let line = |more: usize, what: &str| format!("{} {what}", 5 + rows + more);
        let expected = vec![
            "2 acme: sha256".to_owned(),
            "4 bravo: sha1".to_owned(),
            "5 c: certificate".to_owned(),
            line(0, "!syntax"),
            line(1, "!not_a_certificate"),
            line(2, "!syntax"),
            line(3, "!syntax"),
            line(4, "h: nothing"),
        ];
        assert_eq!(found(Csv, &text), expected);
    }

    #[test]
    fn c11_a_quote_that_is_not_closed_swallows_nobody_in_silence() {
        let (_, sha) = digests();
        let head = format!("client,sha256,description\nfirst,{sha},\nacme,{sha},");
        let rest = format!("bravo,{sha},x\ncharlie,{sha},x");
        let closed = format!("{head}\"Foo\n{rest},\"\ndelta,{sha},\"x\"\n");
        assert_eq!(
            found(Csv, &closed),
            ["2 first: sha256", "3 !syntax", "6 delta: sha256"]
        );
        let first = ["2 first: sha256", "3 !file"];
        assert_eq!(found(Csv, &format!("{head}\"Foo\n{rest}\n")), first);
        assert_eq!(found(Csv, &format!("{head}\"Foo\n{rest}")), first);
        for long in ["x\n", "x"] {
            let text = format!("{head}\"{}", long.repeat(70_000));
            assert_eq!(found(Csv, &text), first);
        }
        let note = format!("{head}x\n# a note, \"on quotes\nbravo,{sha},\n");
        let all = ["2 first: sha256", "3 acme: sha256", "5 bravo: sha256"];
        assert_eq!(found(Csv, &note), all);
        for header in ["client,sha256,\"x\na,b,c\"\n", "client,\"sha256\n"] {
            let last = found(Csv, header).pop();
            assert_eq!(last.as_deref(), Some("1 !file"), "{header}");
        }
    }

    /// What never ends is not read to its end.
    #[test]
    fn c8_a_row_without_an_end_is_given_up() {
        let mut endless = std::io::BufReader::new(std::io::repeat(0));
        let mut count = 0;
        let now = crate::clock::Timestamp::from_unix(0);
        let mut sink = |_, _| count += 1;
        crate::import::read(Csv, "x.csv", now, &mut endless, &mut sink).unwrap();
        assert_eq!(count, 1);
    }

    #[test]
    fn subjects_are_told_by_their_form_and_bad_headers_are_refused() {
        let text = "client,dn,cn\na,\"CN=a,O=A\",\nb,/O=B/CN=b,\nc,,c\nd,CN=d,d\ne,CN=*,\n";
        let expected = [
            format!("2 a: {:?} CN=a,O=A", Told::Subject),
            "3 b: SubjectInOneLine /O=B/CN=b".to_owned(),
            "4 c: CommonName c".to_owned(),
            "5 !syntax".to_owned(),
            "6 !pattern".to_owned(),
        ];
        assert_eq!(found(Csv, text), expected);
        for (text, line) in [("", 1), ("a,b\nx,y\n", 1), ("\nclient,id\n", 2)] {
            assert_eq!(found(Csv, text), [format!("{line} !file")], "{text}");
        }
    }
}
