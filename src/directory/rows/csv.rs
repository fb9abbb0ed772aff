//! Rows as CSV: a header, then one row a line, in UTF-8.

use std::io::Read;

use super::{Cell, Columns, Place, Row};

/// A cell that is longer is a mistake, such as a quote that nobody closed.
const LONGEST: usize = 16 << 10;

/// Hands each row to `take`, one after the other.
///
/// # Errors
/// If it is not CSV, a column is missing, or `take` refuses.
pub(crate) fn read(
    input: impl Read,
    delimiter: u8,
    columns: &Columns,
    mut take: impl FnMut(Row) -> Result<(), String>,
) -> Result<(), String> {
    // A row of another length is one wrong row, and no end of the whole.
    let mut reader = ::csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(input);
    let header = reader.headers().map_err(|error| format!("the header cannot be read: {error}"))?.clone();
    let places = columns.placed(&header.iter().collect::<Vec<_>>())?;
    let mut record = ::csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| error.to_string())? {
        let number = record.position().map_or(0, ::csv::Position::line);
        let cells = if record.len() == header.len() {
            Ok(places.iter().map(|place| place.map(|place| cell(record.get(place).unwrap_or_default()))).collect())
        } else {
            Err(format!("it has {} cells, and the header {}", record.len(), header.len()))
        };
        take(Row { place: Place { counted: "line", number }, cells })?;
    }
    Ok(())
}

fn cell(bytes: &[u8]) -> Cell {
    if bytes.len() > LONGEST {
        return Cell::Wrong(format!("it is longer than {LONGEST} bytes; is a quote left open?"));
    }
    std::str::from_utf8(bytes).map_or_else(|_| Cell::Wrong("it is not UTF-8".to_owned()), |text| Cell::of(text.to_owned()))
}
