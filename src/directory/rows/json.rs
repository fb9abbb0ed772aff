//! Rows as JSON: an array of objects, or an object in which one stands. Read item by item: no more than one is held.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read};

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{Cell, Columns, Place, Row};

/// The mark of the order of bytes, in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Hands each item of the array at the path `items` to `take`, one after the other; of the whole if that is `None`.
///
/// # Errors
/// If it is not JSON, there is no array, or `take` refuses.
pub(crate) fn read(
    input: impl Read,
    items: Option<&str>,
    columns: &Columns,
    mut take: impl FnMut(Row) -> Result<(), String>,
) -> Result<(), String> {
    let mut input = BufReader::new(input);
    // What some systems put before a text in UTF-8 (RFC 8259, section 8.1), as before CSV.
    if input.fill_buf().is_ok_and(|begun| begun.starts_with(MARK)) {
        input.consume(MARK.len());
    }
    let mut reader = serde_json::Deserializer::from_reader(input);
    let paths: Vec<Vec<&str>> = columns.names().map(|name| name.split('.').collect()).collect();
    let path: Vec<&str> = items.into_iter().flat_map(|items| items.split('.')).collect();
    let items = Items { path: &path, paths: &paths, take: &mut take };
    items.deserialize(&mut reader).and_then(|()| reader.end()).map_err(|error| error.to_string())
}

/// What is below a path.
struct Items<'a, F> {
    path: &'a [&'a str],
    /// That of each column in an item.
    paths: &'a [Vec<&'a str>],
    take: &'a mut F,
}

impl<'de, F: FnMut(Row) -> Result<(), String>> DeserializeSeed<'de> for Items<'_, F> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.path.is_empty() { deserializer.deserialize_seq(self) } else { deserializer.deserialize_map(self) }
    }
}

impl<'de, F: FnMut(Row) -> Result<(), String>> Visitor<'de> for Items<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.first() {
            Some(key) => write!(f, "an object with `{key}`"),
            None => f.write_str("an array of records"),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut number = 0;
        while let Some(item) = items.next_element::<Value>()? {
            number += 1;
            let cells = if item.is_object() {
                Ok(self.paths.iter().map(|path| find(&item, path).map(cell)).collect())
            } else {
                Err("it is no object".to_owned())
            };
            (self.take)(Row { place: Place { counted: "item", number }, cells }).map_err(A::Error::custom)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((wanted, path)) = self.path.split_first() else { return Err(A::Error::custom("there is no array of records")) };
        let mut is_found = false;
        while let Some(key) = map.next_key::<String>()? {
            if key != *wanted {
                map.next_value::<IgnoredAny>()?;
            } else if is_found {
                return Err(A::Error::custom(format!("`{key}` is written twice")));
            } else {
                map.next_value_seed(Items { path, paths: self.paths, take: &mut *self.take })?;
                is_found = true;
            }
        }
        if is_found { Ok(()) } else { Err(A::Error::custom(format!("it has no `{wanted}`"))) }
    }
}

fn find<'v>(item: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(item, |value, key| value.get(key))
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(scalar).collect();
            texts.map_or_else(|| Cell::Wrong("a list may hold texts, numbers and truths".to_owned()), Cell::List)
        }
        Value::Object(_) => Cell::Wrong("it is an object; name what is meant in it by a path with dots".to_owned()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => scalar(value).map_or(Cell::Empty, Cell::of),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
