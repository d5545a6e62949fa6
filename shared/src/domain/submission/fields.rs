//! The walk over a submission: objects whose fields are taken one by one, and values that are asked for their type.
//!
//! Every question that is not answered as it should be adds a fault and the walk goes on, so that all faults are found.
//! Objects are kept as names and raw texts: bodies and metadata stay byte for byte as they were written.
//! Invariant: a field that nobody asked for is a fault.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::value::RawValue;

use super::Limits;
use super::entries::Entries;
use super::fault::{Code, Fault, Faults, Path};
use super::hint;

/// Faults listed at most: enough for a person, little enough for an answer.
const MOST_FAULTS: usize = 100;

/// What a walk has found so far.
pub(super) struct Reading<'l> {
    pub(super) limits: &'l Limits<'l>,
    /// Bytes of the bodies read so far.
    pub(super) body_bytes: u64,
    faults: Vec<Fault>,
    more: bool,
}

impl<'l> Reading<'l> {
    pub(super) fn new(limits: &'l Limits<'l>) -> Self {
        Self { limits, body_bytes: 0, faults: Vec::new(), more: false }
    }

    pub(super) fn add(&mut self, fault: Fault) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        } else {
            self.more = true;
        }
    }

    pub(super) fn fault(&mut self, path: &Path, code: Code, message: impl Into<String>) {
        self.add(Fault { path: path.as_str().to_owned(), code, message: message.into() });
    }

    /// What was read, or all that is wrong with it.
    pub(super) fn conclude<T>(mut self, read: Option<T>) -> Result<T, Faults> {
        if self.more {
            let message = format!("there is more wrong than these {MOST_FAULTS} faults");
            self.faults.push(Fault { path: String::new(), code: Code::MoreFaults, message });
        }
        match read {
            Some(read) if self.faults.is_empty() => Ok(read),
            Some(_) | None => Err(Faults(self.faults)),
        }
    }
}

/// A value and where it stands.
pub(super) struct Value<'a> {
    pub(super) path: Path,
    raw: &'a RawValue,
}

impl<'a> Value<'a> {
    pub(super) fn root(raw: &'a RawValue) -> Self {
        Self { path: Path::default(), raw }
    }

    /// The same value, known under another path.
    pub(super) fn at(self, path: Path) -> Self {
        Self { path, ..self }
    }

    /// The value as it was written.
    pub(super) fn raw(&self) -> &'a str {
        self.raw.get()
    }

    pub(super) fn is_text(&self) -> bool {
        self.kind() == "a string"
    }

    fn is_null(&self) -> bool {
        self.kind() == "null"
    }

    pub(super) fn is_list(&self) -> bool {
        self.kind() == "a list"
    }

    pub(super) fn kind(&self) -> &'static str {
        match self.raw.get().as_bytes().first() {
            Some(b'"') => "a string",
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b't' | b'f') => "true or false",
            Some(b'n') => "null",
            _ => "a number",
        }
    }

    fn is(&self, wanted: &str, rd: &mut Reading<'_>) -> bool {
        let kind = self.kind();
        if kind != wanted {
            rd.fault(&self.path, Code::WrongType, format!("must be {wanted}, not {kind}"));
        }
        kind == wanted
    }

    /// The text of a string.
    pub(super) fn text(&self, rd: &mut Reading<'_>) -> Option<String> {
        if !self.is("a string", rd) {
            return None;
        }
        // The syntax is known to be right; what can be wrong is half a surrogate pair.
        let text = serde_json::from_str(self.raw.get());
        if text.is_err() {
            rd.fault(&self.path, Code::InvalidValue, "must not contain half a surrogate pair (`\\ud800` to `\\udfff`)");
        }
        text.ok()
    }

    /// A name of limited length, in characters: printable, with no space around it.
    pub(super) fn name(&self, length: RangeInclusive<usize>, rd: &mut Reading<'_>) -> Option<String> {
        let text = self.text(rd)?;
        let (least, most) = (*length.start(), *length.end());
        if !length.contains(&text.chars().take(most + 1).count()) {
            rd.fault(&self.path, Code::OutOfRange, format!("must have {least} to {most} characters"));
        } else if text.chars().any(char::is_control) || text.trim() != text {
            rd.fault(&self.path, Code::InvalidValue, "must be printable, with no space before or after it");
        } else {
            return Some(text);
        }
        None
    }

    /// A whole number; one written as `3000.0` is whole.
    pub(super) fn number(&self, allowed: RangeInclusive<u64>, rd: &mut Reading<'_>) -> Option<u64> {
        if !self.is("a number", rd) {
            return None;
        }
        let text = self.raw.get();
        let whole = match text.split_once('.') {
            Some((whole, zeros)) if zeros.bytes().all(|b| b == b'0') => whole,
            Some(_) | None => text,
        };
        let number = whole.parse().ok().filter(|number| allowed.contains(number));
        if number.is_none() {
            let (least, most) = (allowed.start(), allowed.end());
            rd.fault(&self.path, Code::OutOfRange, format!("must be a whole number from {least} to {most}"));
        }
        number
    }

    pub(super) fn flag(&self, rd: &mut Reading<'_>) -> Option<bool> {
        self.is("true or false", rd).then(|| self.raw.get() == "true")
    }

    /// The items of a list, the first `most` where there are more.
    pub(super) fn list(&self, most: usize, rd: &mut Reading<'_>) -> Vec<Self> {
        if !self.is("a list", rd) {
            return Vec::new();
        }
        let items: Vec<&'a RawValue> = serde_json::from_str(self.raw.get()).unwrap_or_default();
        if items.len() > most {
            rd.fault(&self.path, Code::TooMany, format!("must have at most {most} items"));
        }
        let at = |(index, raw)| Self { path: self.path.index(index), raw };
        items.into_iter().take(most).enumerate().map(at).collect()
    }

    /// The names and values of an object, in the order they were written, repeated ones included.
    pub(super) fn entries(&self, rd: &mut Reading<'_>) -> Option<Vec<(String, Self)>> {
        if !self.is("an object", rd) {
            return None;
        }
        let Ok(Entries(entries)) = serde_json::from_str(self.raw.get()) else {
            rd.fault(&self.path, Code::InvalidValue, "must not have a name with half a surrogate pair");
            return None;
        };
        let at = |(name, raw): (String, _)| (name.clone(), Self { path: self.path.field(&name), raw });
        Some(entries.into_iter().map(at).collect())
    }

    /// The fields of an object.
    pub(super) fn object(&self, rd: &mut Reading<'_>) -> Option<Fields<'a>> {
        let mut left = BTreeMap::new();
        for (name, value) in self.entries(rd)? {
            let path = value.path.clone();
            if left.insert(name, value).is_some() {
                rd.fault(&path, Code::DuplicateField, "is given more than once; give it once");
            }
        }
        Some(Fields { path: self.path.clone(), left, known: Vec::new() })
    }
}

/// The fields of an object that have not been asked for yet.
pub(super) struct Fields<'a> {
    pub(super) path: Path,
    left: BTreeMap<String, Value<'a>>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The field, if it is there; `null` counts as absent.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Value<'a>> {
        self.known.push(name);
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// The field under its name or its other spelling; under both is a fault.
    pub(super) fn take_either(
        &mut self,
        name: &'static str,
        other: &'static str,
        rd: &mut Reading<'_>,
    ) -> Option<Value<'a>> {
        let (first, second) = (self.take(name), self.left.remove(other).filter(|value| !value.is_null()));
        if let (Some(_), Some(second)) = (&first, &second) {
            rd.fault(&second.path, Code::DuplicateField, format!("is another spelling of `{name}`; give one of them"));
        }
        first.or(second)
    }

    /// The field, which must be there.
    pub(super) fn require(&mut self, name: &'static str, what: &str, rd: &mut Reading<'_>) -> Option<Value<'a>> {
        let value = self.take(name);
        if value.is_none() {
            rd.fault(&self.path.field(name), Code::Missing, format!("must be given: {what}"));
        }
        value
    }

    /// A field that exists, but not here.
    pub(super) fn refuse(&mut self, name: &str, code: Code, message: &str, rd: &mut Reading<'_>) {
        if let Some(value) = self.left.remove(name).filter(|value| !value.is_null()) {
            rd.fault(&value.path, code, message);
        }
    }

    /// Whatever is left is unknown.
    pub(super) fn finish(self, rd: &mut Reading<'_>) {
        for (name, value) in &self.left {
            let message = match hint::nearest(name, &self.known) {
                Some(nearest) => format!("is unknown here; did you mean `{nearest}`?"),
                None => "is unknown here; take it out".to_owned(),
            };
            rd.fault(&value.path, Code::UnknownField, message);
            if rd.more {
                break;
            }
        }
    }
}
