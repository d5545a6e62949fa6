//! Secrets that jobs name: `{{secret:name}}` in a header's value or a body stands for a value that only the worker which
//! sends the request sees.
//!
//! Pure. Invariant: a value is never shown by `Debug`, and what is missing is told by its name alone.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a reference begins and ends with.
const OPEN: &str = "{{secret:";
const CLOSE: &str = "}}";
/// Characters of a name.
const NAME: std::ops::RangeInclusive<usize> = 1..=64;
/// Characters of a value.
const VALUE: std::ops::RangeInclusive<usize> = 1..=4096;

/// The name of a secret: letters, digits, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// The value of a secret: printable ASCII, so that it can be sent in a header.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretValue(String);

/// What is written is no value. It is not quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have {} to {} printable ASCII characters, with no space before or after", VALUE.start(), VALUE.end())]
pub struct InvalidValue;

/// What `Name::parse` takes, for people.
pub const NAME_RULE: &str = "a name has 1 to 64 letters, digits, `_` and `-`";

/// How a value is written where it is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// As part of a JSON string.
    Json,
}

/// Whether a text has what looks like a reference to a secret.
#[must_use]
pub fn is_named(text: &str) -> bool {
    text.contains(OPEN)
}

impl Name {
    /// A name; `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        (plain && NAME.contains(&text.len())).then(|| Self(text.to_owned()))
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SecretValue {
    /// A value.
    ///
    /// # Errors
    /// Where it cannot be one.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text.trim() == text;
        if printable && VALUE.contains(&text.len()) { Ok(Self(text.to_owned())) } else { Err(InvalidValue) }
    }

    fn written(&self, style: Style) -> Cow<'_, str> {
        match style {
            Style::Plain => Cow::Borrowed(&self.0),
            // Of printable ASCII these two are escaped (RFC 8259, section 7).
            Style::Json => Cow::Owned(self.0.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(not shown)")
    }
}

/// The names that a text refers to.
pub fn names(text: &[u8]) -> BTreeSet<Name> {
    Pieces(text).filter_map(|piece| if let Piece::Name(name) = piece { Some(name) } else { None }).collect()
}

/// The text with every reference replaced by its value. What is filled in is not looked at again. A name that `value` does
/// not know is left as it is: ask `names` before.
pub fn fill<'a, 'v>(text: &'a [u8], style: Style, value: impl Fn(&Name) -> Option<&'v SecretValue>) -> Cow<'a, [u8]> {
    if names(text).is_empty() {
        return Cow::Borrowed(text);
    }
    let mut filled = Vec::with_capacity(text.len());
    for piece in Pieces(text) {
        match piece {
            Piece::Text(text) => filled.extend_from_slice(text),
            Piece::Name(name) => match value(&name) {
                Some(value) => filled.extend_from_slice(value.written(style).as_bytes()),
                None => filled.extend_from_slice(format!("{OPEN}{name}{CLOSE}").as_bytes()),
            },
        }
    }
    Cow::Owned(filled)
}

/// A text as what stands between references, and the references.
struct Pieces<'a>(&'a [u8]);

enum Piece<'a> {
    Text(&'a [u8]),
    Name(Name),
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.0.is_empty() {
            return None;
        }
        if let Some((name, rest)) = reference(self.0) {
            self.0 = rest;
            return Some(Piece::Name(name));
        }
        // What begins like a reference and is none is text up to the next that may be one.
        let next = find(&self.0[1..], OPEN.as_bytes()).map_or(self.0.len(), |at| at + 1);
        let (text, rest) = self.0.split_at(next);
        self.0 = rest;
        Some(Piece::Text(text))
    }
}

/// The name of a reference that the text begins with, and what is behind it.
fn reference(text: &[u8]) -> Option<(Name, &[u8])> {
    let rest = text.strip_prefix(OPEN.as_bytes())?;
    // No name is longer, so the end of a long text is not looked for.
    let end = find(&rest[..rest.len().min(NAME.end() + CLOSE.len())], CLOSE.as_bytes())?;
    let name = Name::parse(std::str::from_utf8(&rest[..end]).ok()?)?;
    Some((name, &rest[end + CLOSE.len()..]))
}

/// Where a text first stands in another. Bodies are large, so each place is looked at for its first byte alone.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.iter().position(|byte| *byte == first)?;
        if text[at..].starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a value that is refused fails the test")]

    use proptest::prelude::*;

    use super::*;

    fn filled(text: &str, style: Style) -> String {
        let values = [("a", "canary"), ("b-2", r#"q"\"#), ("c", "{{secret:a}}")];
        let values = values.map(|(name, value)| (Name::parse(name).unwrap(), SecretValue::parse(value).unwrap()));
        let value = |name: &Name| values.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        String::from_utf8(fill(text.as_bytes(), style, value).into_owned()).unwrap()
    }

    #[test]
    fn references_are_replaced_and_nothing_else() {
        let table = [
            ("Bearer {{secret:a}}", "Bearer canary"),
            ("{{secret:a}}{{secret:a}}-{{secret:b-2}}", r#"canarycanary-q"\"#),
            ("{{secret:c}}", "{{secret:a}}"),
            ("{{{{secret:a}}}}", "{{canary}}"),
            ("{{secret:{{secret:a}}", "{{secret:canary"),
            ("{{secret:unknown}}", "{{secret:unknown}}"),
            ("{{secret:}} {{secret:a b}} {{secret:a} {{secret: a}} {{SECRET:a}} {{a}}", ""),
            ("", ""),
            ("{{secret:", ""),
            ("nothing", ""),
        ];
        for (text, expected) in table {
            let expected = if expected.is_empty() { text } else { expected };
            assert_eq!(filled(text, Style::Plain), expected, "{text}");
        }
        assert_eq!(filled(r#"{"k": "{{secret:b-2}}"}"#, Style::Json), r#"{"k": "q\"\\"}"#);
    }

    #[test]
    fn the_names_that_a_text_refers_to_are_known_before() {
        let found = names(b"{{secret:b}} {{secret:a}} {{secret:b}} {{secret:no name}}");
        assert_eq!(found.iter().map(Name::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert!(names(format!("{{{{secret:{}}}}}", "x".repeat(65)).as_bytes()).is_empty());
    }

    #[test]
    fn a_value_is_printable_and_not_shown() {
        assert!(!format!("{:?}", SecretValue::parse("canary").unwrap()).contains("canary"));
        for text in ["", " a", "a\n", "é", &"x".repeat(4097)] {
            assert_eq!(SecretValue::parse(text), Err(InvalidValue));
        }
    }

    proptest! {
        #[test]
        fn a_text_without_a_known_reference_stays_as_it_is(text in "[{}:secrt a\u{e9}]{0,40}") {
            let filled = fill(text.as_bytes(), Style::Plain, |_| None);
            prop_assert_eq!(filled.as_ref(), text.as_bytes());
        }
    }
}
