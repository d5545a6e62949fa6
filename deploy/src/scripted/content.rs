//! The body of an answer as a stream: whole, in slow pieces, made up, or broken off; the call ends with its last piece.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};

use super::call::Watch;
use super::script::{Answer, Content};

const PIECE: usize = 64 * 1024;
static FILLING: [u8; PIECE] = [b'x'; PIECE];

struct Sending {
    content: Content,
    sent: u64,
    /// Where it ends, or is broken off.
    until: u64,
    breaks_off: bool,
    piece: usize,
    pause: Duration,
    watch: Watch,
}

/// The pieces of an answer's body. Its watch is told when the last one is taken.
pub(super) fn pieces(answer: &Answer, watch: Watch) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let length = answer.content.length();
    let until = answer.break_off.map_or(length, |bytes| bytes.min(length));
    let (piece, pause) = answer.pace.unwrap_or((PIECE, Duration::ZERO));
    let breaks_off = answer.break_off.is_some();
    let content = answer.content.clone();
    stream::unfold(Some(Sending { content, sent: 0, until, breaks_off, piece, pause, watch }), next)
}

async fn next(sending: Option<Sending>) -> Option<(io::Result<Bytes>, Option<Sending>)> {
    let mut sending = sending?;
    if sending.sent >= sending.until {
        // Hyper writes out what it has when it is told to wait; an error would make it throw that away.
        tokio::task::yield_now().await;
        return sending.end();
    }
    if !sending.pause.is_zero() {
        tokio::time::sleep(sending.pause).await;
    }
    let piece = sending.take();
    if sending.sent >= sending.until && !sending.breaks_off {
        sending.watch.completed();
        return Some((Ok(piece), None));
    }
    Some((Ok(piece), Some(sending)))
}

impl Sending {
    fn end(mut self) -> Option<(io::Result<Bytes>, Option<Self>)> {
        if self.breaks_off {
            self.watch.closed();
            return Some((Err(io::ErrorKind::ConnectionAborted.into()), None));
        }
        self.watch.completed();
        None
    }

    fn take(&mut self) -> Bytes {
        let left = usize::try_from(self.until - self.sent).unwrap_or(usize::MAX);
        let bytes = match &self.content {
            Content::Given(all) => {
                let from = usize::try_from(self.sent).unwrap_or(usize::MAX).min(all.len());
                all.slice(from..from + left.min(self.piece))
            }
            Content::Filled(_) => Bytes::from_static(&FILLING[..left.min(self.piece).min(PIECE)]),
        };
        self.sent += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        bytes
    }
}

/// What a service returns instead of an answer, so that hyper closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("closed as the script says")]
pub(super) struct Closed;
