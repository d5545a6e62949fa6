//! Headers of an answer, and the forms that their values have in all dialects.

use std::borrow::Cow;

use super::moment;
use crate::clock::Millis;

/// What names a limit is kept to so many characters.
const LONGEST_NAME: usize = 48;

/// Headers of an answer, their names in lower case.
pub(super) struct Headers<'a> {
    all: &'a [(String, String)],
    /// When the answer came.
    pub(super) now: Millis,
}

impl<'a> Headers<'a> {
    pub(super) fn new(all: &'a [(String, String)], now: Millis) -> Self {
        Self { all, now }
    }

    /// The first of this name.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.all.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
    }

    /// The list that all headers of this name make together (RFC 9110, section 5.3).
    pub(super) fn list(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut values = self.all.iter().filter(|(known, _)| known == name).map(|(_, value)| value.trim());
        let first = values.next()?;
        Some(values.fold(Cow::Borrowed(first), |list, value| Cow::Owned(format!("{list}, {value}"))))
    }

    /// A number that is not negative.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        positive(self.get(name)?)
    }

    /// A count, parts of one cut off.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        self.number(name).and_then(whole)
    }

    /// What tells limits apart, as far as it is worth keeping.
    pub(super) fn name(&self, name: &str) -> Option<String> {
        self.get(name).and_then(label)
    }

    /// How far ahead of the answer a date is that the destination gave: by its own clock, where it shows that.
    pub(super) fn ahead(&self, date: Millis) -> Option<Millis> {
        let from = self.get("date").and_then(moment::http_date).unwrap_or(self.now);
        let ahead = date.since(from);
        (!ahead.is_zero()).then(|| self.now.after(ahead))
    }
}

/// A plain decimal number.
pub(super) fn positive(text: &str) -> Option<f64> {
    // "1e3", "inf" and "nan" are numbers for the parser, not for a header.
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|_| plain)
}

/// The whole part of a number, as far as any count goes.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range, and not negative")]
pub(super) fn whole(number: f64) -> Option<u64> {
    (number.is_finite() && number >= 0.0).then(|| number.min(f64::from(u32::MAX)) as u64)
}

/// A name that can be kept and shown.
pub(super) fn label(text: &str) -> Option<String> {
    let shown: String = text.chars().filter(|c| c.is_ascii_graphic()).take(LONGEST_NAME).collect();
    (!shown.is_empty()).then_some(shown)
}
