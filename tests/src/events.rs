//! Server-sent events, read as a browser reads them.

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde_json::Value;
use tokio::time::timeout;

use crate::DEADLINE;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its id, to go on from.
    pub id: Option<String>,
    /// What kind it is; `message` where nothing is said.
    pub name: String,
    /// Its data as JSON; a string where it is none.
    pub data: Value,
}

/// A stream of events as it comes in.
pub struct Events {
    bytes: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    pending: Vec<u8>,
    ready: VecDeque<Event>,
}

impl Events {
    pub(crate) fn of(response: reqwest::Response) -> Self {
        Self { bytes: response.bytes_stream().boxed(), pending: Vec::new(), ready: VecDeque::new() }
    }

    /// The next event; `None` where the server has ended the stream.
    ///
    /// # Panics
    /// Where neither comes in time, or the stream breaks.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let more = timeout(DEADLINE, self.bytes.next()).await.expect("an event in time")?;
            self.pending.extend_from_slice(&more.expect("the stream of events is whole"));
            while let Some(end) = self.pending.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.pending.drain(..end + 2).collect();
                self.ready.extend(parse(&String::from_utf8(block).unwrap()));
            }
        }
    }

    /// All events up to the end of the stream.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// The event of a block of lines; none where it holds comments only.
fn parse(block: &str) -> Option<Event> {
    let (mut id, mut name, mut data) = (None, "message".to_owned(), Vec::new());
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => id = Some(value.to_owned()),
            "event" => value.clone_into(&mut name),
            "data" => data.push(value),
            _ => {}
        }
    }
    if data.is_empty() {
        return None;
    }
    let text = data.join("\n");
    Some(Event { id, name, data: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_has_its_id_its_name_and_its_data_over_several_lines() {
        let event = parse("id: 7\nevent: sent\ndata: {\"a\":\ndata: 1}\n\n").unwrap();
        assert_eq!(event, Event { id: Some("7".into()), name: "sent".into(), data: json!({"a": 1}) });
        assert_eq!(parse("data:no json\n\n").unwrap().data, "no json");
    }

    #[test]
    fn a_comment_is_no_event() {
        assert_eq!(parse(": still here\n\n"), None);
    }
}
