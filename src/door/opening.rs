//! The first bytes of a connection: they tell what is often sent to a TLS port by mistake, before
//! OpenSSL gives up on it, and which name a client asks for.

use std::io;
use std::time::Duration;

use pingora::protocols::l4::stream::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::failure::Failure;
use super::hello::{Reader, Reading};

/// How something that is not TLS begins: methods of HTTP with the space after them, the preface of
/// HTTP/2 (RFC 9113 section 3.4), and the two forms of the PROXY protocol.
const BEGINNINGS: [(&[u8], Failure); 12] = [
    (b"GET ", Failure::PlainHttp),
    (b"POST ", Failure::PlainHttp),
    (b"PUT ", Failure::PlainHttp),
    (b"HEAD ", Failure::PlainHttp),
    (b"PATCH ", Failure::PlainHttp),
    (b"DELETE ", Failure::PlainHttp),
    (b"OPTIONS ", Failure::PlainHttp),
    (b"CONNECT ", Failure::PlainHttp),
    (b"TRACE ", Failure::PlainHttp),
    (b"PRI * HTTP/2", Failure::PlainHttp),
    (b"PROXY ", Failure::ProxyHeader),
    (b"\r\n\r\n\0\r\nQUIT\n", Failure::ProxyHeader),
];
/// As long as most of what begins a connection.
const USUAL: usize = 2048;

/// What whoever speaks plain HTTP is told.
const USE_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 57\r\n\
    Connection: close\r\n\r\n\
    this port speaks HTTPS only; begin the URL with https://\n";

/// How long the one who is told may take to read it.
const FAREWELL: Duration = Duration::from_secs(1);
/// How much of what it still sends is read, so that the answer is not lost to a reset.
const REST: u64 = 64 * 1024;

/// How a connection begins.
pub(super) enum Opening {
    /// With something that is known not to be TLS.
    Failed(Failure),
    /// With TLS, or with what OpenSSL has words for.
    Tls {
        /// The name that the client asks for, as far as that can be read.
        server_name: Option<String>,
    },
}

/// Looks at the first bytes of `tcp` and puts them back.
///
/// # Errors
///
/// When the connection breaks.
pub(super) async fn look(tcp: &mut Stream) -> io::Result<Opening> {
    let (mut bytes, mut hello) = (Vec::with_capacity(USUAL), Reader::default());
    let opening = loop {
        let is_over = tcp.read_buf(&mut bytes).await? == 0;
        let server_name = match judge(&bytes) {
            Judgement::Known(failure) => break Opening::Failed(failure),
            Judgement::Unsure => Reading::Unfinished,
            Judgement::Unknown => hello.read(&bytes),
        };
        match server_name {
            Reading::Known(server_name) => break Opening::Tls { server_name },
            Reading::Unclear => break Opening::Failed(Failure::HelloUnclear),
            Reading::Unfinished if is_over => break Opening::Tls { server_name: None },
            Reading::Unfinished => {}
        }
    };
    tcp.rewind(&bytes);
    Ok(opening)
}

#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Known(Failure),
    Unknown,
    /// It takes more bytes to say.
    Unsure,
}

fn judge(bytes: &[u8]) -> Judgement {
    let is_whole = |(beginning, _): &&(&[u8], Failure)| bytes.starts_with(beginning);
    if let Some((_, failure)) = BEGINNINGS.iter().find(is_whole) {
        return Judgement::Known(*failure);
    }
    if BEGINNINGS
        .iter()
        .any(|(beginning, _)| beginning.starts_with(bytes))
    {
        return Judgement::Unsure;
    }
    Judgement::Unknown
}

/// Tells whoever speaks plain HTTP to use HTTPS. A failure of it is nobody's concern.
pub(super) async fn tell_to_use_https(mut tcp: Stream) {
    let farewell = async {
        tcp.write_all(USE_HTTPS).await?;
        tcp.shutdown().await?;
        tokio::io::copy(&mut (&mut tcp).take(REST), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_tls_is_known_by_its_beginning() {
        let known = |bytes: &[u8]| judge(bytes);
        assert_eq!(
            known(b"GET / HTTP/1."),
            Judgement::Known(Failure::PlainHttp)
        );
        assert_eq!(
            known(b"PROXY TCP4 19"),
            Judgement::Known(Failure::ProxyHeader)
        );
        assert_eq!(
            known(b"\r\n\r\n\0\r\nQUIT\n"),
            Judgement::Known(Failure::ProxyHeader)
        );
        for unsure in [&b""[..], b"P", b"PR", b"\r\n\r\n\0", b"GET"] {
            assert_eq!(known(unsure), Judgement::Unsure);
        }
        for unknown in [
            &b"\x16"[..],
            b"\x16\x03\x01",
            b"SSH-2.0",
            b"get / ",
            b"\r\n\r\n\r",
        ] {
            assert_eq!(known(unknown), Judgement::Unknown);
        }
    }

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(USE_HTTPS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
