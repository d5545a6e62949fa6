//! What a route does: what it takes, what it answers, which problems it may have.

use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::Parameter;

/// What a route does, for people and for programs.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// Its name in generated clients.
    pub(super) id: &'static str,
    /// What it does, in a line.
    pub(super) summary: &'static str,
    /// What more there is to know.
    pub(super) description: Option<&'static str>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Value>,
    pub(super) answers: Vec<Answer>,
    /// Codes of the problems that are its own.
    pub(super) problems: Vec<&'static str>,
    /// The schema of its problems.
    pub(super) problem: &'static str,
    /// Whether what it does counts against quotas.
    pub(super) is_counted: bool,
}

/// An answer that is no problem.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) description: &'static str,
    pub(super) content: Option<Content>,
    /// Headers that it always has: name, what it says.
    pub(super) headers: Vec<(&'static str, &'static str)>,
    /// What can be asked next: an operation and its parameter, which a field of this answer names.
    pub(super) links: Vec<(&'static str, &'static str, &'static str)>,
}

/// What is in an answer.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) media_type: &'static str,
    pub(super) schema: fn(&mut SchemaGenerator) -> Schema,
}

impl Operation {
    /// Without parameters, body and answers.
    pub(crate) fn new(id: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            summary,
            description: None,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            problems: Vec::new(),
            problem: "Problem",
            is_counted: false,
        }
    }

    /// Says more about it.
    pub(crate) fn described(self, description: &'static str) -> Self {
        Self { description: Some(description), ..self }
    }

    /// Has a parameter more.
    pub(crate) fn with(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Takes JSON of this schema, and may have the problems of every body.
    pub(crate) fn takes(self, schema: Value) -> Self {
        let this = Self { body: Some(schema), ..self };
        this.fails(&["incomplete", "too_slow", "too_large", "not_json_type", "not_json"])
    }

    /// Answers with this as JSON.
    pub(crate) fn answers<T: JsonSchema>(self, status: StatusCode, description: &'static str) -> Self {
        self.answers_as::<T>("application/json", status, description)
    }

    /// Answers with something of another media type.
    pub(crate) fn answers_as<T: JsonSchema>(
        self,
        media_type: &'static str,
        status: StatusCode,
        description: &'static str,
    ) -> Self {
        let content = Content { media_type, schema: |schemas| schemas.subschema_for::<T>() };
        self.answers_with(Some(content), status, description)
    }

    /// Answers without a body.
    pub(crate) fn answers_nothing(self, status: StatusCode, description: &'static str) -> Self {
        self.answers_with(None, status, description)
    }

    fn answers_with(mut self, content: Option<Content>, status: StatusCode, description: &'static str) -> Self {
        let (headers, links) = (Vec::new(), Vec::new());
        self.answers.push(Answer { status, description, content, headers, links });
        self
    }

    /// The answer before always has this header.
    pub(crate) fn says(mut self, header: &'static str, description: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push((header, description));
        }
        self
    }

    /// The answer before names, in its field, the `parameter` of another operation.
    pub(crate) fn leads_to(mut self, operation: &'static str, parameter: &'static str, field: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.links.push((operation, parameter, field));
        }
        self
    }

    /// May have these problems, beside those that everything has.
    pub(crate) fn fails(mut self, codes: &[&'static str]) -> Self {
        self.problems.extend(codes);
        self
    }

    /// Its problems say more: they have a schema of their own, by its name.
    pub(crate) fn problems_as(self, problem: &'static str) -> Self {
        Self { problem, ..self }
    }

    /// What it does counts against the key's quotas.
    pub(crate) fn counted(self) -> Self {
        Self { is_counted: true, ..self }.fails(&["over_quota"])
    }
}

impl Answer {
    pub(super) fn links_json(&self) -> Value {
        let link = |(operation, parameter, field): &(&str, &str, &str)| {
            let place = json!({*parameter: format!("$response.body#/{field}")});
            ((*operation).to_owned(), json!({"operationId": operation, "parameters": place}))
        };
        Value::Object(self.links.iter().map(link).collect())
    }
}
