//! Of queues.

use http::StatusCode;
use serde_json::json;

use crate::http::queues::SHOWN;
use crate::openapi::{Operation, Parameter};
use crate::queues::{MOST_PURGED, MOST_SHOWN, Purged, QueueBody, QueueList, adjustment_schema};

pub(in crate::http) fn queues() -> Operation {
    let cursor = json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,80}$"});
    let page = Operation::new("listQueues", "What waits for which destination, and how fast its gates let it through")
        .with(Parameter::limit("Queues of a page", SHOWN, MOST_SHOWN))
        .with(Parameter::query("cursor", "The `cursor` of the page before", cursor))
        .with(Parameter::query("destination", "Only those to `host[:port]`", json!({"type": "string"})))
        .with(Parameter::tenant("Only those of this tenant, with a key of the operator"))
        .answers::<QueueList>(StatusCode::OK, "A page of queues, by name");
    let of_queue = ["getQueue", "changeLimits", "pauseQueue", "resumeQueue", "purgeQueue"];
    of_queue.into_iter().fold(page, |page, operation| page.leads_to(operation, "queue", "queues/0/queue"))
}

pub(in crate::http) fn queue() -> Operation {
    of_one("getQueue", "A queue, and the gates that its calls take a permit from")
}

pub(in crate::http) fn adjust() -> Operation {
    of_one("changeLimits", "Sets the limits of a queue's own gate, for all workers while they run")
        .described("Sets what is given, takes back what is `null`, leaves what is absent. Every queue of that gate keeps to it.")
        .takes(adjustment_schema())
        .fails(&["invalid_limits", "storage_full"])
}

pub(in crate::http) fn pause() -> Operation {
    of_one("pauseQueue", "Sends nothing of a queue until it is resumed").fails(&["storage_full"])
}

pub(in crate::http) fn resume() -> Operation {
    of_one("resumeQueue", "Sends what waits in a queue again").fails(&["storage_full"])
}

pub(in crate::http) fn purge() -> Operation {
    let cursor = json!({"type": "string", "pattern": "^[0-9]{1,19}$"});
    Operation::new("purgeQueue", "Cancels the jobs whose own request waits in a queue")
        .described("Looks at so many messages; where `more` is true, go on with its `cursor`. Repeating is harmless.")
        .with(name())
        .with(Parameter::limit("Messages that are looked at", MOST_PURGED, MOST_PURGED))
        .with(Parameter::query("cursor", "The `cursor` of the answer before", cursor))
        .answers::<Purged>(StatusCode::OK, "What was done")
        .fails(&["no_such_queue", "unreadable", "storage_full"])
}

fn of_one(id: &'static str, summary: &'static str) -> Operation {
    let operation = Operation::new(id, summary).with(name()).answers::<QueueBody>(StatusCode::OK, "The queue");
    operation.fails(&["no_such_queue", "unreadable"])
}

fn name() -> Parameter {
    Parameter::path("queue", "The queue, by its name", json!({"type": "string", "minLength": 1}))
}
