//! What other systems export: rows, as CSV and as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::directory::rows::{Cell, Columns, Gather, Row, csv, json};
use crate::directory::{Names, Subject};

/// A kind of texts alone, and one of lists and instants too.
const SUBJECTS: [Subject; 2] = [Subject::Person, Subject::Workload];

pub(super) fn feed_csv(input: &[u8]) {
    for delimiter in [b',', b';'] {
        holds(input, |bytes, columns, take| csv::read(bytes, delimiter, columns, take), |names, rows| as_csv(delimiter, names, rows));
    }
}

pub(super) fn feed_json(input: &[u8]) {
    holds(input, |bytes, columns, take| json::read(bytes, None, columns, take), |names, rows| as_json(names, rows).to_string());
    let below = |names: &[&str], rows: &[Vec<Cell>]| json!({ "data": { "items": as_json(names, rows) } }).to_string();
    holds(input, |bytes, columns, take| json::read(bytes, Some("data.items"), columns, take), below);
}

type Take<'t> = &'t mut dyn FnMut(Row) -> Result<(), String>;

/// Rows that can be told apart read the same when they are written out again; and a row is one record, or one that is wrong.
fn holds(input: &[u8], read: impl Fn(&[u8], &Columns, Take<'_>) -> Result<(), String>, written: impl Fn(&[&str], &[Vec<Cell>]) -> String) {
    for columns in SUBJECTS.into_iter().filter_map(|subject| Columns::new(subject, &BTreeMap::new(), &BTreeMap::new()).ok()) {
        let rows = |bytes: &[u8]| {
            let mut rows = Vec::new();
            let take: Take<'_> = &mut |row| {
                rows.push(row);
                Ok(())
            };
            read(bytes, &columns, take).map(|()| rows)
        };
        let first = match rows(input) {
            Ok(rows) => rows,
            Err(problem) => return assert!(!problem.is_empty(), "a refusal says why"),
        };
        let plain: Vec<_> = first.iter().filter_map(cells).collect();
        let names: Vec<_> = columns.names().collect();
        let again = rows(written(&names, &plain).as_bytes()).map(|rows| rows.iter().filter_map(cells).collect());
        assert_eq!(again, Ok(plain), "rows read back");
        judged(first, &columns);
    }
}

fn judged(rows: Vec<Row>, columns: &Columns) {
    let names = Names {
        owners: ["payments".parse()].into_iter().flatten().collect(),
        environments: ["production".parse()].into_iter().flatten().collect(),
    };
    let (count, mut gather) = (rows.len(), Gather::new(columns, &names, rows.len()));
    let taken = rows.into_iter().try_for_each(|row| gather.take(row));
    assert_eq!(taken, Ok(()), "there are not too many");
    let Ok(gathered) = gather.finish() else { return };
    let records = gathered.snapshot.people.len() + gathered.snapshot.document.workloads.len();
    assert!(records + gathered.wrong <= count, "{records} records and {} wrong rows of {count}: {:?}", gathered.wrong, gathered.problems);
    assert_eq!(gathered.problems.is_empty(), gathered.wrong == 0, "what is wrong is told");
}

/// The cells of a row in which nothing is wrong.
fn cells(row: &Row) -> Option<Vec<Cell>> {
    let cells = row.cells.as_ref().ok()?.iter().map(|cell| cell.clone().unwrap_or(Cell::Empty));
    cells.map(|cell| (!matches!(cell, Cell::Wrong(_))).then_some(cell)).collect()
}

fn as_csv(delimiter: u8, names: &[&str], rows: &[Vec<Cell>]) -> String {
    let line = |cells: Vec<String>| cells.join(&char::from(delimiter).to_string()) + "\n";
    let cell = |cell: &Cell| match cell {
        Cell::Text(text) => format!("\"{}\"", text.replace('"', "\"\"")),
        Cell::Empty | Cell::List(_) | Cell::Wrong(_) => "\"\"".to_owned(),
    };
    let rows = rows.iter().map(|row| line(row.iter().map(cell).collect()));
    std::iter::once(line(names.iter().map(|name| (*name).to_owned()).collect())).chain(rows).collect()
}

fn as_json(names: &[&str], rows: &[Vec<Cell>]) -> Value {
    let value = |cell: &Cell| match cell {
        Cell::Text(text) => json!(text),
        Cell::List(texts) => json!(texts),
        Cell::Empty | Cell::Wrong(_) => Value::Null,
    };
    rows.iter().map(|row| names.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), value(cell))).collect::<Value>()).collect()
}
