//! Server-sent events as a client reads them (HTML, 9.2.6), no more of it than is needed here.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::StatusCode;
use reqwest::Method;
use serde_json::Value;
use sluice_shared::domain::id::JobId;
use tokio::time::timeout;

use crate::rig::{DEADLINE, Gateway};

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// A stream of events that is being read.
pub(crate) struct Events {
    chunks: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    unread: String,
}

impl Gateway {
    /// Follows a job from behind the event of this id.
    pub(crate) async fn follow(&self, job: &JobId, last: Option<&str>) -> Events {
        let mut request = self.request(Method::GET, &format!("/v1/jobs/{job}/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { chunks: Box::pin(response.bytes_stream()), unread: String::new() }
    }
}

impl Events {
    /// The next event; nothing at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (event, rest) = (parse(block), rest.to_owned());
                self.unread = rest;
                if event.is_some() {
                    return event;
                }
                continue;
            }
            let chunk = timeout(DEADLINE, self.chunks.next()).await.expect("no event came")?;
            self.unread.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }

    /// All that follow.
    pub(crate) async fn rest(mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

pub(crate) fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
    let data = serde_json::from_str(field("data:")?).unwrap();
    Some(Event { id: field("id:").map(str::to_owned), name: field("event:")?.to_owned(), data })
}
