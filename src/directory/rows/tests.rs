//! What rows of feeds and queries say, and what of them is left.

use std::collections::BTreeMap;
use std::io::Read;

use super::gather::Gathered;
use super::{Columns, Gather, csv, json};
use crate::directory::{Names, Subject};
use crate::model::RecordId;

const MANY: usize = 1_000_000;

fn names() -> Names {
    let owners = ["payments", "ledger"].map(|id| id.parse().expect("an id"));
    let environments = ["production", "staging"].map(|name| name.parse().expect("a name"));
    Names { owners: owners.into(), environments: environments.into() }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

fn columns(subject: Subject, stated: &[(&str, &str)]) -> Columns {
    Columns::new(subject, &map(stated), &map(&[])).expect("fields")
}

fn comma(columns: &Columns, most: usize, text: impl Read) -> Result<Gathered, String> {
    let names = names();
    let mut gather = Gather::new(columns, &names, most);
    csv::read(text, b',', columns, |row| gather.take(row))?;
    gather.finish()
}

fn array(columns: &Columns, items: Option<&str>, text: &str) -> Result<Gathered, String> {
    let names = names();
    let mut gather = Gather::new(columns, &names, MANY);
    json::read(text.as_bytes(), items, columns, |row| gather.take(row))?;
    gather.finish()
}

fn people(gathered: &Gathered) -> Vec<(String, bool)> {
    gathered.snapshot.people.iter().map(|person| (person.id.to_string(), person.active)).collect()
}

fn is_kept(gathered: &Gathered, subject: Subject, name: &str) -> bool {
    gathered.snapshot.kept.contains(&(subject, name.to_owned()))
}

#[test]
fn a_row_is_a_person_and_a_wrong_one_stays_as_it_is() {
    let columns = columns(Subject::Person, &[("id", "mail"), ("active", "Active?")]);
    let text = "\u{feff}nr,mail,Active?\n1,ada@example.org,yes\n2,bob@example.org,F\n3,eve@example.org,perhaps\n4,kim@example.org,\n";
    let gathered = comma(&columns, MANY, text.as_bytes()).expect("CSV");
    let expected = [("ada@example.org", true), ("bob@example.org", false), ("kim@example.org", true)];
    assert_eq!(people(&gathered), expected.map(|(id, active)| (id.to_owned(), active)));
    assert_eq!(gathered.problems.len(), 1);
    let problem = gathered.problems.first().expect("one");
    assert!(problem.starts_with("line 4: person `eve@example.org`: active: `perhaps` is not one of"), "{problem}");
    assert!(is_kept(&gathered, Subject::Person, "eve@example.org") && gathered.snapshot.unnamed.is_empty());
}

#[test]
fn a_row_that_cannot_be_told_apart_keeps_everything_of_its_kind() {
    let columns = columns(Subject::Person, &[]);
    for (text, told) in [
        ("id,active\nada@example.org\n", "line 2: person: it has 1 cells, and the header 2"),
        ("id,active\nada,x@example.org,true\n", "line 2: person: it has 3 cells, and the header 2"),
        ("id,active\n,true\n", "line 2: person: it has no `id`"),
    ] {
        let gathered = comma(&columns, MANY, text.as_bytes()).expect("CSV");
        assert_eq!((gathered.problems.as_slice(), gathered.wrong), ([told.to_owned()].as_slice(), 1));
        assert!(gathered.snapshot.unnamed.contains(&Subject::Person));
    }
    let text = b"id,active\n\xff\xfe@example.org,true\n".as_slice();
    let gathered = comma(&columns, MANY, text).expect("CSV");
    assert_eq!(gathered.problems, ["line 2: person: id: it is not UTF-8"]);
    assert!(gathered.snapshot.unnamed.contains(&Subject::Person));
}

#[test]
fn what_stands_there_twice_is_left_and_told_however_it_is_written() {
    let columns = columns(Subject::Person, &[]);
    let text = "id\nada@example.org\nbob@example.org\nAda <ADA@example.org>\n";
    let gathered = comma(&columns, MANY, text.as_bytes()).expect("CSV");
    assert_eq!(people(&gathered), [("bob@example.org".to_owned(), true)]);
    assert_eq!(gathered.problems, ["line 4: person `Ada <ADA@example.org>`: it is there more than once; keep one"]);
    assert!(is_kept(&gathered, Subject::Person, "ada@example.org"));
}

#[test]
fn a_column_that_is_gone_is_no_feed_and_never_reads_as_nothing() {
    let stated = columns(Subject::Contract, &[("record", "nr"), ("end", "ends")]);
    let refused = |columns: &Columns, text: &str| comma(columns, MANY, text.as_bytes()).expect_err("refused");
    assert_eq!(refused(&stated, "nr,owner,end\n"), "there is no column `ends` for `end`, but: nr, owner, end");
    assert_eq!(refused(&stated, "nr,owner,ends,ends\n"), "there are two columns `ends`");
    let people = columns(Subject::Person, &[("active", "state")]);
    assert_eq!(array(&people, None, r#"[{"id": "a"}, {"id": "b"}]"#).expect_err("refused"), "no record has `state` for `active`");
    assert_eq!(array(&people, None, r#"[{"id": "a", "state": true}, {"id": "b"}]"#).expect("JSON").problems, [""; 0]);
    let unknown = Columns::new(Subject::Person, &map(&[("name", "x")]), &map(&[])).expect_err("no such field");
    assert_eq!(unknown, "a person has no field `name`; it has: id, active, record");
}

#[test]
fn items_stand_below_a_path_and_their_fields_too() {
    let columns = columns(Subject::Workload, &[("spiffe_id", "identity.spiffe"), ("record", "nr")]);
    let text = r#"{"page": {"n": [1]}, "data": {"rows": [
        {"nr": 7, "identity": {"spiffe": "spiffe://x/a"}, "owner": "payments", "purpose": "pays", "environments": ["production", "staging"], "valid_until": "2026-12-31"},
        {"nr": "8", "identity": {"spiffe": "spiffe://x/b"}, "owner": "payments", "purpose": "pays", "environments": "production; staging", "valid_until": null},
        {"nr": "9", "identity": {"spiffe": "spiffe://x/c"}, "owner": "nobody", "purpose": "pays", "environments": {"a": 1}},
        {"nr": "10", "identity": "spiffe://x/d", "owner": "payments", "purpose": "pays", "environments": "production"},
        "spiffe://x/e"
    ]}}"#;
    // With the mark in front that some systems write.
    let gathered = array(&columns, Some("data.rows"), &format!("\u{feff}{text}")).expect("JSON");
    let found = gathered.snapshot.document.workloads.iter().map(|workload| {
        let end = workload.valid_until.map(|end| end.to_string()).unwrap_or_default();
        format!("{} {} {end}", workload.spiffe_id, workload.environments.len())
    });
    assert_eq!(found.collect::<Vec<_>>(), ["spiffe://x/a 2 2026-12-31T23:59:59Z", "spiffe://x/b 2 "]);
    let record = |name: &str| gathered.snapshot.record_id(Subject::Workload, name).map(|id: RecordId| id.to_string());
    assert_eq!((record("spiffe://x/a").as_deref(), record("spiffe://x/b").as_deref()), (Some("7"), Some("8")));
    assert_eq!(gathered.problems.len(), 3, "{:?}", gathered.problems);
    assert!(gathered.problems.iter().any(|problem| problem == "item 5: workload: it is no object"));
    assert!(is_kept(&gathered, Subject::Workload, "spiffe://x/c"));
    assert!(gathered.snapshot.unnamed.contains(&Subject::Workload), "an item of which not even the name can be read");
}

#[test]
fn what_is_no_json_of_that_shape_is_refused_as_a_whole() {
    let columns = columns(Subject::Person, &[]);
    for (items, text, told) in [
        (None, r#"{"id": "a"}"#, "expected an array of records"),
        (None, "<html>", "expected value"),
        (None, "", "EOF"),
        (None, r#"[{"id": "a"}"#, "EOF"),
        (None, r#"[{"id": "a"}] x"#, "trailing characters"),
        (Some("rows"), r#"[{"id": "a"}]"#, "expected an object with `rows`"),
        (Some("rows"), r#"{"items": []}"#, "it has no `rows`"),
        (Some("rows"), r#"{"rows": [], "rows": []}"#, "`rows` is written twice"),
        (Some("rows.all"), r#"{"rows": []}"#, "expected an object with `all`"),
    ] {
        let error = array(&columns, items, text).expect_err(text);
        assert!(error.contains(told), "{text}: {error}");
    }
    let deep = format!("[{}{}]", "[".repeat(200_000), "]".repeat(200_000));
    assert!(array(&columns, None, &deep).expect_err("too deep").contains("recursion limit"));
}

#[test]
fn a_default_stands_where_a_row_says_nothing() {
    let defaults = map(&[("kind", "team"), ("technical_owner", "desk@example.org")]);
    let columns = Columns::new(Subject::Owner, &map(&[("business_owner", "lead")]), &defaults).expect("fields");
    let text = "id,lead,technical_owner\npayments,ada@example.org,\nledger,bob@example.org,kim@example.org\n";
    let gathered = comma(&columns, MANY, text.as_bytes()).expect("CSV");
    let found = gathered.snapshot.document.owners.iter().map(|owner| format!("{} {} {}", owner.id, owner.kind, owner.technical_owner));
    assert_eq!(found.collect::<Vec<_>>(), ["payments team desk@example.org", "ledger team kim@example.org"]);
}

#[test]
fn a_contract_is_known_by_its_record_and_has_an_end() {
    let columns = columns(Subject::Contract, &[]);
    let text = "record,owner,end\nC-1,acme,2027-03-31\nC-2,acme,soon\nC-3,,2027-03-31\nC-4,acme,\n";
    let gathered = comma(&columns, MANY, text.as_bytes()).expect("CSV");
    let contract = gathered.snapshot.contracts.first().expect("one");
    assert_eq!((contract.record.as_str(), contract.end.to_string().as_str()), ("C-1", "2027-03-31T23:59:59Z"));
    assert_eq!((gathered.snapshot.contracts.len(), gathered.wrong), (1, 3));
    for name in ["C-2", "C-3", "C-4"] {
        assert!(is_kept(&gathered, Subject::Contract, name), "{name}");
    }
}

#[test]
fn a_record_with_an_id_that_is_none_is_left_as_a_whole() {
    let columns = columns(Subject::Person, &[]);
    let text = format!("id,record\nada@example.org,{}\nbob@example.org,7\n", "x".repeat(300));
    let gathered = comma(&columns, MANY, text.as_bytes()).expect("CSV");
    assert_eq!((people(&gathered), gathered.wrong), (vec![("bob@example.org".to_owned(), true)], 1));
    assert!(is_kept(&gathered, Subject::Person, "ada@example.org"));
}

/// A CSV of so many people, made while it is read.
struct Generated {
    next: usize,
    count: usize,
    rest: Vec<u8>,
}

impl Read for Generated {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.rest.len() < into.len() && self.next < self.count {
            self.rest.extend_from_slice(format!("person{}@example.org,{}\n", self.next, !self.next.is_multiple_of(7)).as_bytes());
            self.next += 1;
        }
        let length = self.rest.len().min(into.len());
        into[..length].copy_from_slice(&self.rest[..length]);
        self.rest.drain(..length);
        Ok(length)
    }
}

#[test]
fn rows_are_read_one_by_one_and_one_too_many_is_refused() {
    let columns = columns(Subject::Person, &[]);
    let generated = |count| Generated { next: 0, count, rest: b"id,active\n".to_vec() };
    let gathered = comma(&columns, 300_000, generated(300_000)).expect("CSV");
    assert_eq!((gathered.snapshot.len(), gathered.wrong), (300_000, 0));
    let error = comma(&columns, 1000, generated(1001)).expect_err("too many");
    assert_eq!(error, "it has more than 1000 rows; if that is right, raise `max_rows`");
}

#[test]
fn of_many_problems_all_are_counted_and_a_thousand_told() {
    let columns = columns(Subject::Person, &[]);
    let text: String = std::iter::once("id,active\n".to_owned()).chain((0..1500).map(|n| format!("p{n},x\n"))).collect();
    let gathered = comma(&columns, MANY, text.as_bytes()).expect("CSV");
    assert_eq!((gathered.wrong, gathered.problems.len()), (1500, 1001));
    assert_eq!(gathered.problems.last().map(String::as_str), Some("and 500 more"));
}
