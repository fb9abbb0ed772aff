//! Results: a table for people, JSON or YAML for programs, or one field alone. To standard output;
//! everything else goes to standard error.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use comfy_table::{Table as Grid, presets};
use serde::Serialize;
use serde_json::Value;

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people; the layout may change.
    #[default]
    Table,
    /// For programs; keys are stable.
    Json,
    /// The same keys as JSON.
    Yaml,
}

/// What people see of a result: some of its fields, then the rows of one of its lists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    fields: &'static [&'static str],
    rows: Option<(&'static str, &'static [&'static str])>,
}

/// Where results go, and in which form.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) format: Format,
    pub(super) field: Option<String>,
}

impl Layout {
    /// These fields, one a line.
    pub(super) const fn fields(fields: &'static [&'static str]) -> Self {
        Self { fields, rows: None }
    }

    /// The list `name`, with these columns.
    pub(super) const fn rows(name: &'static str, columns: &'static [&'static str]) -> Self {
        Self { fields: &[], rows: Some((name, columns)) }
    }

    /// And the list `name`, with these columns.
    pub(super) const fn and_rows(self, name: &'static str, columns: &'static [&'static str]) -> Self {
        Self { rows: Some((name, columns)), ..self }
    }
}

impl Output {
    /// Writes a result to standard output.
    pub(super) fn print(&self, result: &impl Serialize, layout: Layout) -> anyhow::Result<()> {
        write(&self.render(result, layout)?)
    }

    /// Writes one of a series of results: an object of JSON a line, a document of YAML, or as by [`Output::print`] with a
    /// line between.
    pub(super) fn print_next(&self, result: &impl Serialize, layout: Layout) -> anyhow::Result<()> {
        write(&self.render_next(result, layout)?)
    }

    fn render_next(&self, result: &impl Serialize, layout: Layout) -> anyhow::Result<String> {
        let rendered = self.render(result, layout)?;
        Ok(match (self.format, &self.field) {
            (_, Some(_)) => rendered,
            (Format::Table, None) => format!("{rendered}\n"),
            (Format::Json, None) => serde_json::to_string(result)? + "\n",
            (Format::Yaml, None) => format!("---\n{rendered}"),
        })
    }

    /// The text of a result, with a line break at its end.
    pub(super) fn render(&self, result: &impl Serialize, layout: Layout) -> anyhow::Result<String> {
        if let Some(field) = &self.field {
            return alone(&serde_json::to_value(result)?, field, layout);
        }
        Ok(match self.format {
            Format::Table => table(&serde_json::to_value(result)?, layout),
            Format::Json => serde_json::to_string_pretty(result)? + "\n",
            Format::Yaml => serde_saphyr::to_string(result)?,
        })
    }
}

/// Writes a text to standard output as it is.
pub(super) fn write(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// The value at a dotted path.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, key| value.get(key))
}

/// One value without its name: of the result itself, or of each of its rows, one a line.
fn alone(result: &Value, field: &str, layout: Layout) -> anyhow::Result<String> {
    let rows = || layout.rows.and_then(|(name, _)| result.get(name)?.as_array());
    let found: Vec<&Value> = match (at(result, field), rows()) {
        (Some(Value::Array(values)), _) => values.iter().collect(),
        (Some(value), _) => vec![value],
        (None, Some(rows)) if rows.is_empty() => Vec::new(),
        (None, Some(rows)) => rows.iter().filter_map(|row| at(row, field)).collect(),
        (None, None) => Vec::new(),
    };
    if found.is_empty() && rows().is_none_or(|rows| !rows.is_empty()) && at(result, field).is_none() {
        anyhow::bail!("the result has no field `{field}`; see them with --format json");
    }
    let mut text = String::new();
    for value in found {
        match value {
            Value::String(value) => writeln!(text, "{value}")?,
            Value::Null => writeln!(text)?,
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => writeln!(text, "{value}")?,
        }
    }
    Ok(text)
}

fn table(result: &Value, layout: Layout) -> String {
    let mut text = String::new();
    if !layout.fields.is_empty() {
        let mut grid = grid();
        for field in layout.fields {
            grid.add_row([title(field), cell(at(result, field))]);
        }
        push(&mut text, &grid);
    }
    if let Some((name, columns)) = layout.rows {
        let rows = result.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if rows.is_empty() && !text.is_empty() {
            return text;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        let mut grid = grid();
        grid.set_header(columns.iter().map(|column| title(column).to_uppercase()));
        for row in rows {
            grid.add_row(columns.iter().map(|column| cell(at(row, column))));
        }
        push(&mut text, &grid);
    }
    text
}

fn grid() -> Grid {
    let mut grid = Grid::new();
    grid.load_style(presets::NOTHING);
    grid
}

/// The lines of a grid, flush left and without trailing space.
fn push(text: &mut String, grid: &Grid) {
    for line in grid.lines() {
        text.push_str(line.strip_prefix(' ').unwrap_or(&line).trim_end());
        text.push('\n');
    }
}

/// A key as people read it.
fn title(key: &str) -> String {
    key.replace(['_', '.'], " ")
}

/// A value in one line.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::Bool(value)) => if *value { "yes" } else { "no" }.to_owned(),
        Some(Value::Number(value)) => value.to_string(),
        Some(Value::String(value)) => if value.is_empty() { "-" } else { value }.to_owned(),
        Some(Value::Array(values)) if values.is_empty() => "-".to_owned(),
        Some(Value::Array(values)) => values.iter().map(|value| cell(Some(value))).collect::<Vec<_>>().join(", "),
        Some(Value::Object(fields)) if fields.is_empty() => "-".to_owned(),
        Some(Value::Object(fields)) => {
            fields.iter().map(|(key, value)| format!("{key} {}", cell(Some(value)))).collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Row {
        id: &'static str,
        standing: Option<&'static str>,
    }

    #[derive(Serialize)]
    struct Answer {
        position: u64,
        living: std::collections::BTreeMap<&'static str, u64>,
        owners: Vec<Row>,
    }

    const LAYOUT: Layout = Layout::fields(&["position", "living"]).and_rows("owners", &["id", "standing"]);

    fn answer() -> Answer {
        let owners = vec![Row { id: "payments", standing: Some("active") }, Row { id: "it", standing: None }];
        Answer { position: 17, living: [("access-token", 2), ("certificate", 1)].into(), owners }
    }

    fn render(format: Format, field: Option<&str>) -> anyhow::Result<String> {
        Output { format, field: field.map(str::to_owned) }.render(&answer(), LAYOUT)
    }

    #[test]
    fn people_get_fields_and_rows() {
        let text = render(Format::Table, None).expect("a table");
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["position", "17"]);
        assert_eq!(lines[1], ["living", "access-token", "2,", "certificate", "1"]);
        assert_eq!(lines[3], ["ID", "STANDING"]);
        assert_eq!(lines[4], ["payments", "active"]);
        assert_eq!(lines[5], ["it", "-"]);
        assert!(text.lines().all(|line| line.trim() == line), "{text:?}");
    }

    #[test]
    fn programs_get_the_keys_as_they_are_and_in_their_order() {
        let json = render(Format::Json, None).expect("json");
        let value: Value = serde_json::from_str(&json).expect("json");
        assert_eq!(value.pointer("/owners/1/standing"), Some(&Value::Null));
        assert!(json.find("position") < json.find("living") && json.find("living") < json.find("owners"));
        let yaml = render(Format::Yaml, None).expect("yaml");
        assert_eq!(serde_saphyr::from_str::<Value>(&yaml).expect("yaml"), value);
    }

    #[test]
    fn each_of_a_series_can_be_told_from_the_next() {
        let series = |format| {
            let output = Output { format, field: None };
            let one = || output.render_next(&answer(), LAYOUT).expect("rendered");
            one() + &one()
        };
        let json = series(Format::Json);
        assert_eq!(json.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count(), 2, "{json}");
        assert_eq!(series(Format::Yaml).matches("---\n").count(), 2);
        assert_eq!(series(Format::Table).matches("\n\n").count(), 4);
    }

    #[test]
    fn one_field_comes_alone_and_unquoted() {
        for (field, text) in [("position", "17\n"), ("living.certificate", "1\n"), ("id", "payments\nit\n"), ("standing", "active\n\n")] {
            for format in [Format::Table, Format::Json] {
                assert_eq!(render(format, Some(field)).expect(field), text);
            }
        }
    }

    #[test]
    fn a_field_that_is_not_there_is_an_error_unless_there_are_no_rows() {
        assert!(render(Format::Table, Some("colour")).is_err());
        let none = Answer { owners: Vec::new(), ..answer() };
        let output = Output { format: Format::Table, field: Some("id".to_owned()) };
        assert_eq!(output.render(&none, LAYOUT).expect("no rows"), "");
    }
}
