//! The field that a caller probably meant.

/// The known name that an unknown one is nearest to, if it is near.
pub(super) fn nearest(unknown: &str, known: &[&'static str]) -> Option<&'static str> {
    if unknown.len() > 40 {
        return None;
    }
    let unknown = bare(unknown);
    let near = |name: &&'static str| {
        let name = bare(name);
        let distance = if unknown.len() >= 4 && name.starts_with(&unknown) {
            name.len().abs_diff(unknown.len()).min(2)
        } else {
            distance(&unknown, &name)
        };
        (distance <= 2 && distance * 2 < name.len()).then_some(distance)
    };
    known.iter().filter_map(|name| near(name).map(|distance| (distance, *name))).min().map(|(_, name)| name)
}

/// In lower case, without separators: spellings do not count.
fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Insertions, deletions and replacements from one to the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_and_shortened_names_are_recognised_and_strangers_are_not() {
        let known = ["url", "fallback_job", "fallbacks", "idempotent_key", "timeout_ms", "webhooks"];
        for (unknown, meant) in [
            ("fallbackJob", Some("fallback_job")),
            ("idempotency_key", Some("idempotent_key")),
            ("timeout", Some("timeout_ms")),
            ("webhook", Some("webhooks")),
            ("f", None),
            ("URL", Some("url")),
            ("uri", Some("url")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(unknown, &known), meant, "{unknown}");
        }
    }
}
