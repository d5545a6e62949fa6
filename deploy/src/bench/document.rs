//! What all performance benchmarks say in the same way: the machine, numbers, and how one ends.

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use super::machine::Machine;
use crate::cli::{Failure, say, stop};
use crate::show::Show;

/// What was measured.
pub(super) trait Report {
    /// What `--json` prints, but for the machine.
    fn document(&self) -> Value;
    /// What people see, but for the machine.
    fn table(&self) -> String;
    /// What is not as promised.
    fn wrong(&self) -> Option<String>;
    /// The version of the nats-server.
    fn nats_server(&self) -> Option<&str>;
}

/// Runs a benchmark to its end and says what it measured. A failure where something is not as promised.
pub(super) async fn measured<R: Report>(
    json: bool,
    show: &Show,
    measure: impl Future<Output = Result<R, Failure>>,
) -> Result<(), Failure> {
    let stop = stop::on_signal().context("signals cannot be listened to")?;
    let report = stop::unless_stopped(&stop, Box::pin(measure)).await;
    let report = report.ok_or_else(|| anyhow!("the benchmark was stopped before its end"))??;
    show.progress("");
    let nats_server = report.nats_server().unwrap_or("?");
    if json {
        let mut document = report.document();
        document["machine"] = json!(Machine::this());
        document["nats_server"] = json!(nats_server);
        say(&format!("{document:#}"));
    } else {
        say(&format!("{}, nats-server {nats_server}\n\n{}", Machine::this(), report.table()));
    }
    report.wrong().map_or(Ok(()), |why| Err(Failure::Failed(anyhow!("{why}"))))
}

/// What is not as promised where jobs are lost, or calls or webhooks came twice.
pub(super) fn lost_or_doubled(lost: u32, doubled: u32) -> Option<String> {
    (lost + doubled > 0).then(|| format!("{lost} jobs are lost, {doubled} calls or webhooks came twice"))
}

/// A number with so many digits behind the point.
pub(super) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// Microseconds as milliseconds in thousandths.
pub(super) fn ms(micros: Option<u64>) -> Value {
    json!(micros.map(|micros| micros as f64 / 1000.0))
}

/// The cells of a row, aligned to the right in columns of this width but for the first.
pub(super) fn row(cells: &[String]) -> String {
    let mut cells = cells.iter();
    let first = cells.next().map(|cell| format!("{cell:<16}")).unwrap_or_default();
    cells.fold(first, |row, cell| format!("{row}{cell:>14}")).trim_end().to_owned()
}

/// A number, or each of an object's, for people.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Object(each) => each.values().map(text).collect::<Vec<_>>().join("/"),
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    }
}

/// A table: one row for each entry, one column for each of these fields.
pub(super) fn table(entries: &[Value], fields: &[(&str, &str)]) -> String {
    let heads: Vec<String> = fields.iter().map(|(head, _)| (*head).to_owned()).collect();
    let rows = entries.iter().map(|entry| fields.iter().map(|(_, field)| text(&entry[*field])).collect::<Vec<_>>());
    std::iter::once(heads).chain(rows).map(|cells| row(&cells)).collect::<Vec<_>>().join("\n")
}

/// The numbers of an object with their names.
pub(super) fn named(object: &Value) -> String {
    let each = object.as_object().into_iter().flatten();
    each.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_row_for_each_entry_and_shows_objects_by_their_values() {
        let entries = [json!({"a": 1, "b": {"x": 2, "y": 3}}), json!({"a": "n", "b": null})];
        let shown = table(&entries, &[("first", "a"), ("second", "b")]);
        let words: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words, [["first", "second"], ["1", "2/3"], ["n", "-"]]);
    }

    #[test]
    fn numbers_are_rounded_and_times_are_milliseconds() {
        assert_eq!((rounded(0.123_456, 3), rounded(1234.5, 0)), (0.123, 1235.0));
        assert_eq!((ms(Some(1500)), ms(None)), (json!(1.5), Value::Null));
    }
}
