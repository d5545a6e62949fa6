//! Faults: where, which, and what to do about it.
//!
//! Invariant: a fault never repeats a value that the caller sent, only the names of fields.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// One thing that is wrong with a submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fault {
    /// The field, from the top of the submission: `fallback_job.trigger.codes[1]`; empty for the submission itself.
    pub path: String,
    /// Which fault it is, for programs.
    pub code: Code,
    /// What is allowed, for people.
    pub message: String,
}

/// Which fault it is. The words are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "FaultCode")]
pub enum Code {
    /// The submission is no JSON at all.
    NotJson,
    /// The field must be given.
    Missing,
    /// There is no such field here.
    UnknownField,
    /// The field, or the field and its other spelling, is given more than once.
    DuplicateField,
    /// The field exists, but not here.
    Misplaced,
    /// The field belongs to a job, not to its fallbacks.
    JobOnly,
    /// The value is of another JSON type.
    WrongType,
    /// The number is too small or too large, or not whole.
    OutOfRange,
    /// The value is not one of those that are allowed.
    InvalidValue,
    /// Bytes or characters above the limit.
    TooLarge,
    /// More of them than the limit.
    TooMany,
    /// Nested deeper than the limit.
    TooDeep,
    /// No URL that can be called.
    InvalidUrl,
    /// A URL that may not be called from here.
    TargetRefused,
    /// No subject that may be published to.
    InvalidSubject,
    /// No header that can be sent.
    InvalidHeader,
    /// A header that is not the caller's to set.
    ReservedHeader,
    /// There are more faults than are listed.
    MoreFaults,
}

impl Code {
    /// As the wire says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::Missing => "missing",
            Self::UnknownField => "unknown_field",
            Self::DuplicateField => "duplicate_field",
            Self::Misplaced => "misplaced",
            Self::JobOnly => "job_only",
            Self::WrongType => "wrong_type",
            Self::OutOfRange => "out_of_range",
            Self::InvalidValue => "invalid_value",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many",
            Self::TooDeep => "too_deep",
            Self::InvalidUrl => "invalid_url",
            Self::TargetRefused => "target_refused",
            Self::InvalidSubject => "invalid_subject",
            Self::InvalidHeader => "invalid_header",
            Self::ReservedHeader => "reserved_header",
            Self::MoreFaults => "more_faults",
        }
    }
}

/// Everything that is wrong with a submission; at least one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(pub(super) Vec<Fault>);

impl Faults {
    /// The faults, in the order they were found.
    #[must_use]
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }

    /// Whether the submission is no JSON at all.
    #[must_use]
    pub fn is_not_json(&self) -> bool {
        self.0.iter().any(|fault| fault.code == Code::NotJson)
    }

    /// Whether all that is wrong with it is where it points.
    #[must_use]
    pub fn is_target_refused(&self) -> bool {
        self.0.iter().all(|fault| fault.code == Code::TargetRefused)
    }

    /// Whether size is all that is wrong with it.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.0.iter().all(|fault| fault.code == Code::TooLarge)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "`{path}` {}", self.message),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Where a value stands in the submission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(String);

/// Longest part of a name that is repeated.
const LONGEST_NAME: usize = 64;

impl Path {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The field of this name; names that are no plain words are quoted.
    pub(super) fn field(&self, name: &str) -> Self {
        let plain = !name.is_empty()
            && name.len() <= LONGEST_NAME
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        Self(match (plain, self.0.is_empty()) {
            (true, true) => name.to_owned(),
            (true, false) => format!("{}.{name}", self.0),
            (false, _) => format!("{}[\"{}\"]", self.0, shortened(name).escape_debug()),
        })
    }

    /// The item of this number.
    pub(super) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// The fault of a submission that is no JSON. Syntax errors of serde_json name what was expected, never what was there.
pub(super) fn not_json(error: &serde_json::Error) -> Fault {
    Fault { path: String::new(), code: Code::NotJson, message: format!("the submission is not valid JSON: {error}") }
}

/// The fault of a submission that is no UTF-8 from this byte on.
pub(super) fn not_utf8(json: &[u8], at: usize) -> Fault {
    let before = &json[..at];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    Fault {
        path: String::new(),
        code: Code::NotJson,
        message: format!("the submission is not UTF-8 at line {line} column {column}; JSON must be"),
    }
}
