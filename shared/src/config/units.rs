//! Values with units: sizes, and statuses with their classes.
//!
//! Only how they are written; which ones are allowed is for `check`.

use serde::{Deserialize, Deserializer};

/// A size in bytes, written as a number or with a unit: `16 KiB`, `1 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Bytes {
    /// A size as it is written; `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_size(text).map(Self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(d)? {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => Self::parse(&text).ok_or_else(|| {
                serde::de::Error::custom(format!("`{text}` is no size: write 65536, \"64 KiB\" or \"1 MiB\""))
            }),
        }
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// One status, or a class of them: `408`, `"5xx"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The first status.
    pub first: u16,
    /// The last status, included.
    pub last: u16,
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u16),
            Text(String),
        }
        let fault = |text: &dyn std::fmt::Display| {
            serde::de::Error::custom(format!("`{text}` is no status: write 503 or \"5xx\""))
        };
        match Written::deserialize(d)? {
            Written::Number(code) if (100..600).contains(&code) => Ok(Self { first: code, last: code }),
            Written::Number(code) => Err(fault(&code)),
            Written::Text(text) => match text.as_bytes() {
                [class @ b'1'..=b'5', b'x', b'x'] => {
                    let first = u16::from(class - b'0') * 100;
                    Ok(Self { first, last: first + 99 })
                }
                // A variable of the environment is always text.
                _ => match text.parse() {
                    Ok(code) if (100..600).contains(&code) => Ok(Self { first: code, last: code }),
                    Ok(_) | Err(_) => Err(fault(&text)),
                },
            },
        }
    }
}
