//! A query on a PostgreSQL database, in a transaction that can change nothing.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use futures_util::TryStreamExt as _;
use ring::digest::{Context, Digest, SHA256, digest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_postgres::types::{FromSql, Kind, Type};
use tokio_postgres::{Client, Connection, NoTls, RowStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::chain;
use super::feed::told;
use crate::app::config::sources::Query;
use crate::broker::Said;
use crate::directory::Names;
use crate::directory::rows::{Cell, Gather, Place, Row};
use crate::model::Timestamp;

/// What the query says now.
///
/// # Errors
/// If the database cannot be asked, fails, or has no such columns: that is not an empty answer.
pub(super) async fn read(query: &Query, names: &Names) -> Result<Said, String> {
    let asked = tokio::time::timeout(query.timeout, ask(query, names)).await;
    asked.map_err(|_elapsed| format!("it did not answer whole within {} s", query.timeout.as_secs()))?
}

async fn ask(query: &Query, names: &Names) -> Result<Said, String> {
    let database = query.database()?;
    // Ends with the answer, or when that is waited for no longer.
    let mut driver = JoinSet::new();
    let mut client = match &query.trusted {
        Some(trusted) => {
            let tls = MakeRustlsConnect::new(trusted.tls()?);
            driven(database.connect(tls).await.map_err(|error| problem(&error))?, &mut driver)
        }
        None => driven(database.connect(NoTls).await.map_err(|error| problem(&error))?, &mut driver),
    };
    let transaction = client.build_transaction().read_only(true).start().await.map_err(|error| problem(&error))?;
    let statement = transaction.prepare(&query.text).await.map_err(|error| problem(&error))?;
    let header: Vec<&str> = statement.columns().iter().map(tokio_postgres::Column::name).collect();
    let places = query.columns.placed(&header)?;
    for column in places.iter().flatten().filter_map(|place| statement.columns().get(*place)) {
        let ty = column.type_();
        if !Told::accepts(ty) {
            let name = column.name();
            let cast = if *ty == Type::TIMESTAMP { format!("{name} AT TIME ZONE 'UTC'") } else { format!("{name}::text") };
            return Err(format!("the column `{name}` is of the type {ty}, which no field can be: write {cast} in the query"));
        }
    }
    let rows = transaction.query_raw(&statement, std::iter::empty::<&str>()).await.map_err(|error| problem(&error))?;
    gather(query, names, rows, &places).await
}

/// Keeps a connection going beside its client.
fn driven<S, T>((client, connection): (Client, Connection<S, T>), driver: &mut JoinSet<Result<(), tokio_postgres::Error>>) -> Client
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    driver.spawn(connection);
    client
}

async fn gather(query: &Query, names: &Names, rows: RowStream, places: &[Option<usize>]) -> Result<Said, String> {
    let mut gather = Gather::new(&query.columns, names, query.most_rows);
    let mut digests = Vec::new();
    let mut rows = pin!(rows);
    while let Some(row) = rows.try_next().await.map_err(|error| problem(&error))? {
        let cell = |place: &usize| match row.try_get::<_, Option<Told>>(*place) {
            Ok(told) => told.map_or(Cell::Empty, |Told(cell)| cell),
            Err(error) => Cell::Wrong(chain(&error)),
        };
        let cells: Vec<Option<Cell>> = places.iter().map(|place| place.as_ref().map(cell)).collect();
        digests.push(digest_of(&cells));
        let number = u64::try_from(digests.len()).unwrap_or(u64::MAX);
        gather.take(Row { place: Place { counted: "", number }, cells: Ok(cells) })?;
        told(gather.count());
    }
    let gathered = gather.finish()?;
    Ok(Said { digest: sum(digests), snapshot: gathered.snapshot, wrong: gathered.wrong, problems: gathered.problems })
}

/// The digest of a row, in which every cell has a beginning and an end.
fn digest_of(cells: &[Option<Cell>]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let mut part = |kind: u8, text: &str| {
        context.update(&[kind]);
        context.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(text.as_bytes());
    };
    for cell in cells {
        match cell {
            None | Some(Cell::Empty) => part(0, ""),
            Some(Cell::Text(text)) => part(1, text),
            Some(Cell::List(texts)) => {
                part(2, &texts.len().to_string());
                texts.iter().for_each(|text| part(1, text));
            }
            Some(Cell::Wrong(problem)) => part(3, problem),
        }
    }
    bytes(context.finish())
}

/// The digest of all rows, in whatever order the database gave them.
fn sum(mut digests: Vec<[u8; 32]>) -> [u8; 32] {
    digests.sort_unstable();
    bytes(digest(&SHA256, digests.as_flattened()))
}

fn bytes(digest: Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// What went wrong, as the database tells it. Its own words name no secrets of ours, and of a row nothing: where they
/// would repeat a value (class 22, data exceptions), they are left out.
fn problem(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(told) if told.code().code().starts_with("22") => {
            let code = told.code().code();
            format!("the database cannot make of a value what the query wants ({code}); what it says of that is in its own log")
        }
        Some(told) => format!("the database says: {} ({})", told.message(), told.code().code()),
        None => chain(error),
    }
}

/// A value of a column.
struct Told(Cell);

impl<'a> FromSql<'a> for Told {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let ty = plain(ty);
        let cell = if is_text(ty) {
            let text = std::str::from_utf8(raw)?;
            // A `char(n)` is filled up with spaces that mean nothing.
            Cell::of(if *ty == Type::BPCHAR { text.trim_end_matches(' ') } else { text }.to_owned())
        } else if *ty == Type::BOOL {
            Cell::Text(bool::from_sql(ty, raw)?.to_string())
        } else if *ty == Type::INT2 {
            Cell::Text(i16::from_sql(ty, raw)?.to_string())
        } else if *ty == Type::INT4 {
            Cell::Text(i32::from_sql(ty, raw)?.to_string())
        } else if *ty == Type::INT8 {
            Cell::Text(i64::from_sql(ty, raw)?.to_string())
        } else if *ty == Type::DATE {
            date(i32::from_be_bytes(raw.try_into()?))
        } else if *ty == Type::TIMESTAMPTZ {
            instant(i64::from_be_bytes(raw.try_into()?))
        } else {
            let texts = Vec::<Option<String>>::from_sql(ty, raw)?;
            Cell::List(texts.into_iter().flatten().collect())
        };
        Ok(Self(cell))
    }

    fn accepts(ty: &Type) -> bool {
        let ty = plain(ty);
        let simple = [Type::BOOL, Type::INT2, Type::INT4, Type::INT8, Type::DATE, Type::TIMESTAMPTZ, Type::TEXT_ARRAY, Type::VARCHAR_ARRAY];
        is_text(ty) || simple.contains(ty)
    }
}

/// The type that a domain is made of.
fn plain(mut ty: &Type) -> &Type {
    while let Kind::Domain(base) = ty.kind() {
        ty = base;
    }
    ty
}

fn is_text(ty: &Type) -> bool {
    <&str as FromSql<'_>>::accepts(ty) || matches!(ty.kind(), Kind::Enum(_))
}

/// The epoch of PostgreSQL, 2000-01-01, in Unix time.
const EPOCH: Duration = Duration::from_secs(946_684_800);

/// A date, as days from then.
fn date(days: i32) -> Cell {
    let epoch = NaiveDate::from_ymd_opt(2000, 1, 1);
    let date = epoch.and_then(|epoch| epoch.checked_add_signed(TimeDelta::days(i64::from(days))));
    let is_infinite = days == i32::MAX || days == i32::MIN;
    date.filter(|_| !is_infinite)
        .map_or_else(|| Cell::Wrong("it is no date of ours; write NULL for no end".to_owned()), |date| Cell::Text(date.to_string()))
}

/// An instant, as microseconds from then.
fn instant(micros: i64) -> Cell {
    let epoch = i64::try_from(EPOCH.as_millis()).unwrap_or_default();
    let millis = u64::try_from(micros.div_euclid(1000).saturating_add(epoch)).ok();
    let is_infinite = micros == i64::MAX || micros == i64::MIN;
    let instant = millis.filter(|_| !is_infinite).map(Timestamp::from_millis);
    instant.map_or_else(
        || Cell::Wrong("it is no instant of ours; write NULL for no end".to_owned()),
        |instant| Cell::Text(instant.to_string()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, names: &[&str]) -> Vec<Option<Cell>> {
        vec![Some(Cell::of(id.to_owned())), Some(Cell::List(names.iter().map(|name| (*name).to_owned()).collect())), None]
    }

    #[test]
    fn the_order_of_rows_means_nothing_and_everything_else_does() {
        let of = |rows: &[Vec<Option<Cell>>]| sum(rows.iter().map(|row| digest_of(row)).collect());
        let (one, other) = (row("a", &["b", "c"]), row("d", &[]));
        assert_eq!(of(&[one.clone(), other.clone()]), of(&[other.clone(), one.clone()]));
        let others = [
            vec![one.clone()],
            vec![one.clone(), other.clone(), other.clone()],
            vec![row("a", &["bc"]), other.clone()],
            vec![row("a", &["b"]), other.clone()],
            vec![row("ab", &["c"]), other.clone()],
            Vec::new(),
        ];
        for rows in &others {
            assert_ne!(of(rows), of(&[one.clone(), other.clone()]), "{rows:?}");
        }
    }

    #[test]
    fn times_of_the_database_are_ours_and_what_is_none_is_told() {
        let text = |cell: Cell| if let Cell::Text(text) = cell { text } else { String::new() };
        assert_eq!(text(date(0)), "2000-01-01");
        assert_eq!(text(date(9861)), "2026-12-31");
        assert_eq!(text(instant(0)), "2000-01-01T00:00:00Z");
        assert_eq!(text(instant(852_035_696_250_999)), "2026-12-31T12:34:56.250Z");
        for bad in [date(i32::MAX), date(i32::MIN), instant(i64::MAX), instant(i64::MIN), instant(-946_684_800_000_001)] {
            assert!(matches!(bad, Cell::Wrong(_)), "{bad:?}");
        }
    }

    #[test]
    fn damaged_values_are_errors() {
        for ty in [Type::BOOL, Type::INT2, Type::INT4, Type::INT8, Type::DATE, Type::TIMESTAMPTZ, Type::TEXT_ARRAY] {
            for raw in [&b""[..], b"x", b"\xff\xff\xff", b"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x19\xff\xff\xff\xff"] {
                let _told_or_not = Told::from_sql(&ty, raw).map(|Told(cell)| cell);
            }
            assert!(Told::from_sql(&ty, b"").is_err(), "{ty}");
        }
        assert!(Told::from_sql(&Type::TEXT, b"\xff").is_err());
        assert!(!Told::accepts(&Type::NUMERIC) && !Told::accepts(&Type::TIMESTAMP) && !Told::accepts(&Type::JSONB));
    }
}
