//! The `traceparent` header: read, written, and carried on (W3C Trace Context, section 3.2).
//!
//! Pure but for `child`, which draws the random bytes. Invariant: what is written is always a valid header of version 00.

use std::fmt;

/// The bits of the flags that are carried on: sampled, and random trace id (level 2). Others must be zero.
const KNOWN_FLAGS: u8 = 0b11;
/// The flag of a trace id that is random.
const RANDOM: u8 = 0b10;
/// How long a header of version 00 is.
const LENGTH: usize = 55;

/// Where a call stands in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

impl Traceparent {
    /// Reads a header; nothing where it is no valid one. Of versions above 00, what 00 knows is read.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let bytes = header.as_bytes();
        let version = one(bytes.get(0..2)?)?;
        let ends = match version {
            0 => bytes.len() == LENGTH,
            0xff => false,
            _ => bytes.len() == LENGTH || bytes.get(LENGTH) == Some(&b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
        let trace = hex::<16>(bytes.get(3..35)?)?;
        let span = hex::<8>(bytes.get(36..52)?)?;
        let flags = one(bytes.get(53..55)?)? & KNOWN_FLAGS;
        let named = trace != [0; 16] && span != [0; 8];
        (ends && dashes && named).then_some(Self { trace, span, flags })
    }

    /// A new trace, made from random bytes. Whether it is sampled is left to others: the flag is not set.
    #[must_use]
    pub fn start(trace: [u8; 16], span: [u8; 8]) -> Self {
        Self { trace: not_zero(trace), span: not_zero(span), flags: RANDOM }
    }

    /// The same trace one call further on; `span` is random.
    #[must_use]
    pub fn child(self, span: [u8; 8]) -> Self {
        Self { span: not_zero(span), ..self }
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (u128::from_be_bytes(self.trace), u64::from_be_bytes(self.span));
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", self.flags)
    }
}

/// The header to send on for a call that is part of what `header` names; nothing where that is no valid header.
#[must_use]
pub fn child(header: &str) -> Option<String> {
    Traceparent::parse(header).map(|parent| parent.child(rand::random()).to_string())
}

/// All zeros mean "none", so they are not given out.
fn not_zero<const N: usize>(mut id: [u8; N]) -> [u8; N] {
    if id == [0; N]
        && let Some(last) = id.last_mut()
    {
        *last = 1;
    }
    id
}

fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = one(pair)?;
    }
    Some(bytes)
}

/// Two lower-case hexadecimal digits; upper case is not valid in this header.
fn one(pair: &[u8]) -> Option<u8> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a valid header that is refused fails the test")]

    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_child_keeps_the_trace_and_the_flags_and_has_a_span_of_its_own() {
        let child = Traceparent::parse(EXAMPLE).unwrap().child([0xab; 8]);
        assert_eq!(child.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-abababababababab-01");
        let sent = super::child(EXAMPLE).unwrap();
        assert!(sent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && sent != EXAMPLE);
    }

    #[test]
    fn what_is_no_valid_header_is_not_read() {
        let cut = &EXAMPLE[..54];
        for header in [
            "",
            cut,
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
        ] {
            assert_eq!(Traceparent::parse(header), None, "{header}");
        }
    }

    #[test]
    fn a_later_version_is_read_for_what_this_one_knows() {
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-more";
        let read = Traceparent::parse(later).unwrap();
        assert_eq!(read.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03");
    }

    #[test]
    fn zeros_are_never_given_out_as_an_id() {
        let started = Traceparent::start([0; 16], [0; 8]);
        assert_eq!(Traceparent::parse(&started.to_string()), Some(started));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace: [u8; 16], span: [u8; 8], next: [u8; 8]) {
            let child = Traceparent::start(trace, span).child(next);
            prop_assert_eq!(Traceparent::parse(&child.to_string()), Some(child));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,70}") {
            if let Some(read) = Traceparent::parse(&text) {
                prop_assert_eq!(read.to_string().len(), LENGTH);
            }
        }
    }
}
