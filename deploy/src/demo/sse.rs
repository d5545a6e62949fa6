//! Server-sent events (WHATWG HTML, 9.2), as far as the demo needs them: the data of each event.
//!
//! Pure. Names, ids and comments are left out.

/// Gathers the pieces of a stream.
#[derive(Debug, Default)]
pub(super) struct Sse {
    line: Vec<u8>,
    data: Vec<String>,
}

impl Sse {
    /// Takes the next piece; gives the data of each event that it ends.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for byte in piece {
            match byte {
                b'\n' => events.extend(self.end_of_line()),
                b'\r' => {}
                other => self.line.push(*other),
            }
        }
        events
    }

    /// An empty line ends an event.
    fn end_of_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then(|| data.join("\n"));
        }
        if let Some(data) = String::from_utf8_lossy(&line).strip_prefix("data:") {
            self.data.push(data.strip_prefix(' ').unwrap_or(data).to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_its_data_however_the_stream_is_cut() {
        let stream = "id: 1-7\nevent: sent\ndata: {\"a\":\ndata: \"ü\"}\n\n: still here\n\ndata:2\r\n\r\n".as_bytes();
        for size in 1..stream.len() {
            let mut sse = Sse::default();
            let events: Vec<String> = stream.chunks(size).flat_map(|piece| sse.push(piece)).collect();
            assert_eq!(events, ["{\"a\":\n\"ü\"}", "2"], "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_that_has_not_ended_is_not_told() {
        assert!(Sse::default().push(b"data: 1\n").is_empty());
    }
}
