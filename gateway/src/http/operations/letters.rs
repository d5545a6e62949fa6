//! Of dead letters.

use http::StatusCode;
use serde_json::json;

use crate::http::letters::PAGE;
use crate::letters::{DoneBody, LetterBody, PageBody};
use crate::openapi::{Operation, Parameter};

pub(in crate::http) fn letters() -> Operation {
    let page = some("listDeadLetters", "What was given up, in the order in which it was")
        .answers::<PageBody>(StatusCode::OK, "A page of letters; one without `next` is empty: the end");
    let of_letter = ["getDeadLetter", "redriveDeadLetter", "forgetDeadLetter"];
    of_letter.into_iter().fold(page, |page, operation| page.leads_to(operation, "id", "letters/0/id"))
}

pub(in crate::http) fn letter() -> Operation {
    Operation::new("getDeadLetter", "A dead letter; of a webhook or a result with the outcome that would be posted")
        .with(id())
        .answers::<LetterBody>(StatusCode::OK, "The letter")
        .fails(&["no_such_letter"])
}

pub(in crate::http) fn redrive() -> Operation {
    Operation::new("redriveDeadLetter", "Tries a dead letter again")
        .with(id())
        .answers_nothing(StatusCode::ACCEPTED, "It is back where it came from, and the letter is gone")
        .fails(&["no_such_letter", "no_way_back"])
}

pub(in crate::http) fn forget_letter() -> Operation {
    Operation::new("forgetDeadLetter", "Forgets a dead letter")
        .with(id())
        .answers_nothing(StatusCode::NO_CONTENT, "It is gone")
        .fails(&["no_such_letter", "no_way_back"])
}

pub(in crate::http) fn redrive_all() -> Operation {
    some("redriveDeadLetters", "Tries up to 1,000 dead letters again")
        .answers::<DoneBody>(StatusCode::OK, "How many were; with `next`, more are left")
}

pub(in crate::http) fn forget_all() -> Operation {
    some("purgeDeadLetters", "Forgets up to 1,000 dead letters")
        .answers::<DoneBody>(StatusCode::OK, "How many were; with `next`, more are left")
}

fn some(id: &'static str, summary: &'static str) -> Operation {
    let kinds = json!({"enum": ["webhook", "submission", "message", "result"]});
    let from = json!({"type": "string", "pattern": "^[0-9]{1,19}$"});
    Operation::new(id, summary)
        .with(Parameter::query("kind", "Only those of this kind", kinds))
        .with(Parameter::query("from", "The `next` of the page before", from))
        .with(Parameter::limit("Letters of a page", PAGE.0, PAGE.1))
        .with(Parameter::tenant("Only those of this tenant, with a key of the operator"))
}

fn id() -> Parameter {
    Parameter::path("id", "The letter, by its `id`", json!({"type": "string", "minLength": 1}))
}
