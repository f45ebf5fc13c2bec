//! Where in its frames a stream of bytes is; nothing of what they hold is kept.

/// The preface of HTTP/2 (RFC 9113 section 3.4).
const PREFACE: usize = 24;
/// The header of each frame.
const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// What a client of HTTP/2 sends (RFC 9113 section 4.1).
#[derive(Debug)]
pub(super) struct Http2 {
    stage: Http2Stage,
    /// A block of header fields was begun and goes on in the next frame.
    in_block: bool,
    /// How many whole things came.
    whole: u32,
}

#[derive(Debug)]
enum Http2Stage {
    Preface {
        left: usize,
    },
    Header {
        bytes: [u8; HEADER],
        have: usize,
    },
    Payload {
        left: usize,
        kind: u8,
        ends_block: bool,
    },
}

impl Http2 {
    pub(super) const fn new() -> Self {
        Self {
            stage: Http2Stage::Preface { left: PREFACE },
            in_block: false,
            whole: 0,
        }
    }

    const HEADER: Http2Stage = Http2Stage::Header {
        bytes: [0; HEADER],
        have: 0,
    };

    /// What was begun and must become whole soon: its number. Data may take its time: it is
    /// measured as a body.
    pub(super) const fn owed(&self) -> Option<u32> {
        let owed = match self.stage {
            Http2Stage::Preface { .. } => true,
            // The first frame, SETTINGS, belongs to the preface.
            Http2Stage::Header { have, .. } => have > 0 || self.whole == 0,
            Http2Stage::Payload { kind, .. } => kind != DATA,
        };
        if owed || self.in_block {
            Some(self.whole)
        } else {
            None
        }
    }

    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Takes some of `bytes`, at least one.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match &mut self.stage {
            Http2Stage::Preface { left } => {
                let taken = bytes.len().min(*left);
                *left = left.saturating_sub(taken);
                if *left == 0 {
                    self.stage = Self::HEADER;
                }
                taken
            }
            Http2Stage::Header {
                bytes: header,
                have,
            } => {
                let taken = fill(header, have, bytes);
                if *have == HEADER {
                    let [a, b, c, kind, flags, ..] = *header;
                    let length = u32::from_be_bytes([0, a, b, c]);
                    self.begin(usize::try_from(length).unwrap_or(usize::MAX), kind, flags);
                }
                taken
            }
            Http2Stage::Payload { left, .. } => {
                let taken = bytes.len().min(*left);
                *left = left.saturating_sub(taken);
                if *left == 0 {
                    self.end();
                }
                taken
            }
        }
    }

    fn begin(&mut self, left: usize, kind: u8, flags: u8) {
        let ends_block = flags & END_HEADERS != 0;
        self.stage = Http2Stage::Payload {
            left,
            kind,
            ends_block,
        };
        if left == 0 {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Http2Stage::Payload {
            kind, ends_block, ..
        } = self.stage
            && matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION)
        {
            self.in_block = !ends_block;
        }
        self.stage = Self::HEADER;
        if !self.in_block {
            self.whole = self.whole.wrapping_add(1).max(1);
        }
    }
}

/// What a server sends after it agreed to speak WebSocket (RFC 6455 section 5.2): the rest of its
/// head, then frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct WebSocket {
    stage: WebSocketStage,
    /// It said itself that it closes.
    pub(super) has_closed: bool,
}

#[derive(Clone, Copy, Debug)]
enum WebSocketStage {
    /// So much of the empty line that ends the head was seen.
    Head {
        seen: usize,
    },
    Header {
        bytes: [u8; 14],
        have: usize,
    },
    Payload {
        left: u64,
    },
}

impl WebSocket {
    pub(super) const fn new() -> Self {
        Self {
            stage: WebSocketStage::Head { seen: 0 },
            has_closed: false,
        }
    }

    const HEADER: WebSocketStage = WebSocketStage::Header {
        bytes: [0; 14],
        have: 0,
    };

    /// Whether the next byte begins a frame.
    pub(super) const fn is_between_frames(&self) -> bool {
        matches!(self.stage, WebSocketStage::Header { have: 0, .. })
    }

    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// How many of `bytes` end the frame that was begun.
    pub(super) fn until_between_frames(mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_between_frames() {
            let taken = self.step(rest);
            rest = rest.get(taken..).unwrap_or_default();
        }
        bytes.len().saturating_sub(rest.len())
    }

    /// Takes some of `bytes`, at least one, and never more than to the end of a frame.
    fn step(&mut self, bytes: &[u8]) -> usize {
        const END: &[u8] = b"\r\n\r\n";
        match &mut self.stage {
            WebSocketStage::Head { seen } => {
                let byte = bytes.first().copied();
                *seen = match byte {
                    Some(byte) if END.get(*seen) == Some(&byte) => seen.saturating_add(1),
                    Some(b'\r') => 1,
                    _ => 0,
                };
                if *seen == END.len() {
                    self.stage = Self::HEADER;
                }
                1
            }
            WebSocketStage::Header {
                bytes: header,
                have,
            } => {
                let [_, length, ..] = *header;
                let needed = if *have < 2 { 2 } else { header_length(length) };
                let room = header.get_mut(..needed).unwrap_or_default();
                let taken = fill(room, have, bytes);
                let header = *header;
                let [first, length, ..] = header;
                if *have >= 2 && *have == header_length(length) {
                    self.has_closed |= first & 0x0f == 8;
                    self.begin(payload_length(&header));
                }
                taken
            }
            WebSocketStage::Payload { left } => {
                let all = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let taken = all.min(*left);
                *left = left.saturating_sub(taken);
                if *left == 0 {
                    self.stage = Self::HEADER;
                }
                usize::try_from(taken).unwrap_or(bytes.len())
            }
        }
    }

    const fn begin(&mut self, left: u64) {
        self.stage = if left == 0 {
            Self::HEADER
        } else {
            WebSocketStage::Payload { left }
        };
    }
}

/// How long a header is, by its second byte.
const fn header_length(second: u8) -> usize {
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let length: usize = match second & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    length.saturating_add(mask)
}

fn payload_length(header: &[u8; 14]) -> u64 {
    let [_, second, rest @ ..] = *header;
    let long = match second & 0x7f {
        126 => rest.get(..2),
        127 => rest.get(..8),
        short => return u64::from(short),
    };
    let add = |length: u64, byte: &u8| (length << 8) | u64::from(*byte);
    long.unwrap_or_default().iter().fold(0, add)
}

/// Fills `room` from `have` on; gives how many of `bytes` that took.
fn fill(room: &mut [u8], have: &mut usize, bytes: &[u8]) -> usize {
    let free = room.get_mut(*have..).unwrap_or_default();
    let taken = free.len().min(bytes.len());
    if let (Some(free), Some(bytes)) = (free.get_mut(..taken), bytes.get(..taken)) {
        free.copy_from_slice(bytes);
    }
    *have = have.saturating_add(taken);
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let header = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        [&header, payload].concat()
    }

    fn opened() -> Http2 {
        let mut http2 = Http2::new();
        http2.pass(&[b'P'; PREFACE]);
        assert!(http2.owed().is_some(), "SETTINGS belong to the preface");
        http2.pass(&frame(4, 0, b""));
        assert_eq!(http2.owed(), None);
        http2
    }

    #[test]
    fn a_preface_and_a_header_block_are_owed_until_they_are_whole() {
        assert!(Http2::new().owed().is_some());
        let mut http2 = opened();
        let (first, second) = (frame(HEADERS, 0, b"abc"), frame(CONTINUATION, 0, b"d"));
        http2.pass(&first[..1]);
        let owed = http2.owed();
        assert!(owed.is_some());
        for bytes in [&first[1..], &second, &frame(CONTINUATION, 0, b"")] {
            http2.pass(bytes);
            assert_eq!(http2.owed(), owed, "one deadline for the whole block");
        }
        http2.pass(&frame(CONTINUATION, END_HEADERS, b"e"));
        assert_eq!(http2.owed(), None);
        http2.pass(&first[..1]);
        assert_ne!(http2.owed(), owed, "the next one has a deadline of its own");
    }

    #[test]
    fn data_is_not_owed() {
        let mut http2 = opened();
        http2.pass(&frame(DATA, 0, b"abc")[..10]);
        assert_eq!(http2.owed(), None);
    }

    proptest! {
        #[test]
        fn however_bytes_come_the_frames_are_the_same(
            lengths in proptest::collection::vec(0_usize..300, 1..6),
            cuts in proptest::collection::vec(1_usize..40, 1..60),
        ) {
            let mut bytes = b"HTTP/1.1 101 x\r\nA: b\r\n\r\n".to_vec();
            let mut ends = vec![bytes.len()];
            for length in lengths {
                bytes.push(0x82);
                if let Ok(short @ ..126) = u8::try_from(length) {
                    bytes.push(short);
                } else {
                    bytes.push(126);
                    bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
                }
                bytes.extend(std::iter::repeat_n(b'x', length));
                ends.push(bytes.len());
            }
            let mut socket = WebSocket::new();
            let mut at = 0_usize;
            for cut in cuts.into_iter().cycle() {
                let rest = &bytes[at..];
                if rest.is_empty() {
                    break;
                }
                let boundary = socket.until_between_frames(rest);
                let next = ends.iter().find(|end| **end >= at).copied().unwrap();
                prop_assert_eq!(at.saturating_add(boundary), next);
                let piece = &rest[..cut.min(rest.len())];
                socket.pass(piece);
                at = at.saturating_add(piece.len());
                prop_assert_eq!(socket.is_between_frames(), ends.contains(&at));
            }
        }
    }

    #[test]
    fn the_longest_frame_and_a_close_are_understood() {
        let mut socket = WebSocket::new();
        socket.pass(b"\r\n\r\n\x82\xff\0\0\0\x01\0\0\0\0mask");
        assert_eq!(socket.until_between_frames(b"abc"), 3);
        assert!(!socket.is_between_frames() && !socket.has_closed);
        let mut socket = WebSocket::new();
        socket.pass(b"\r\n\r\n\x88\x02\x03\xe8");
        assert!(socket.is_between_frames() && socket.has_closed);
    }
}
