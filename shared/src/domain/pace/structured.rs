//! Lists of structured fields, as far as limits need them: items and members of a dictionary, with their parameters.
//! <https://www.rfc-editor.org/rfc/rfc9651>
//!
//! Invariant: what is not such a list says nothing at all, as section 4.2 wants it.

/// A value without its parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bare {
    /// An integer or a decimal that is not negative.
    Number(f64),
    /// A string or a token.
    Text(String),
}

/// One member of a list: `value;a=1`, or of a dictionary: `key=value;a=1`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub(super) key: Option<String>,
    pub(super) value: Bare,
    parameters: Vec<(String, Bare)>,
}

impl Member {
    /// A parameter that is a number.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        match self.parameter(name)? {
            Bare::Number(number) => Some(*number),
            Bare::Text(_) => None,
        }
    }

    /// A parameter that is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.parameter(name)? {
            Bare::Number(_) => None,
            Bare::Text(text) => Some(text),
        }
    }

    fn parameter(&self, name: &str) -> Option<&Bare> {
        // The last of a name counts (section 4.2.3.2).
        self.parameters.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

/// Reads a whole list.
pub(super) fn list(text: &str) -> Option<Vec<Member>> {
    let mut reader = Reader(text.trim());
    let mut members = Vec::new();
    loop {
        members.push(reader.member()?);
        reader.skip_spaces();
        if reader.0.is_empty() {
            return Some(members);
        }
        reader.take(",")?;
        reader.skip_spaces();
    }
}

/// What is left to be read.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn skip_spaces(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, what: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(what)?;
        Some(())
    }

    fn while_in(&mut self, allowed: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !allowed(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn member(&mut self) -> Option<Member> {
        let first = self.bare()?;
        let (key, value) = match first {
            Bare::Text(key) if self.take("=").is_some() => (Some(key), self.bare()?),
            Bare::Text(_) | Bare::Number(_) => (None, first),
        };
        let mut parameters = Vec::new();
        loop {
            self.skip_spaces();
            if self.take(";").is_none() {
                return Some(Member { key, value, parameters });
            }
            self.skip_spaces();
            let name = self.while_in(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '*'));
            if name.is_empty() {
                return None;
            }
            // Without a value it is true, which no parameter here can be.
            let value = if self.take("=").is_some() { self.bare()? } else { Bare::Text(String::new()) };
            parameters.push((name.to_owned(), value));
        }
    }

    fn bare(&mut self) -> Option<Bare> {
        if self.take("\"").is_some() {
            return self.string();
        }
        // A byte sequence is taken as its text.
        if self.take(":").is_some() {
            let bytes = self.while_in(|c| c != ':');
            self.take(":")?;
            return Some(Bare::Text(bytes.to_owned()));
        }
        let word = self.while_in(|c| c.is_ascii_graphic() && !matches!(c, ',' | ';' | '=' | '"'));
        match super::headers::positive(word) {
            _ if word.is_empty() => None,
            Some(number) => Some(Bare::Number(number)),
            None => {
                word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*').then(|| Bare::Text(word.to_owned()))
            }
        }
    }

    fn string(&mut self) -> Option<Bare> {
        let mut text = String::new();
        let mut characters = self.0.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.0 = self.0.get(at + 1..)?;
                    return Some(Bare::Text(text));
                }
                '\\' => text.push(characters.next().map(|(_, c)| c).filter(|c| matches!(c, '"' | '\\'))?),
                ' '..='~' => text.push(c),
                _ => return None,
            }
        }
        None
    }
}
