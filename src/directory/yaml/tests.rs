//! Files, lines, shapes, and the way back.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::directory::generators::document;

const SAMPLE: &str = include_str!("../../../docs/samples/registry.yaml");

/// What is told of some files named `a.yaml`, `b.yaml`, …
fn told(files: &[&str]) -> Vec<String> {
    let name = |n: usize| PathBuf::from(format!("{}.yaml", ["a", "b", "c"][n]));
    let files = files.iter().enumerate().map(|(n, text)| (name(n), (*text).to_owned())).collect::<Vec<_>>();
    let problems = read(&files, &Names::default()).expect_err("something is wrong");
    problems.iter().map(ToString::to_string).collect()
}

fn reads(files: &[&str]) -> Document {
    let files: Vec<_> = files.iter().map(|text| (PathBuf::from("a.yaml"), (*text).to_owned())).collect();
    read(&files, &Names::default()).expect("a registry")
}

#[test]
fn syntax_and_shape_are_told_with_the_line_and_what_to_write() {
    for (text, problem) in [
        (
            "owners:\n  - id: a\n    knd: team\n",
            "a.yaml:3: no field `knd` is known here; write one of: id, kind, business_owner, technical_owner, contract_end",
        ),
        ("owner:\n  - id: a\n", "a.yaml:1: no field `owner` is known here; write one of: owners, environments, workloads, downstreams"),
        ("environments:\n  - nme: a\n", "a.yaml:2: no field `nme` is known here; write one of: name"),
        ("\nowners:\n  - kind: team\n", "a.yaml:3: the record has no `id`; add it"),
        ("owners:\n  - id: a\n    id: b\n", "a.yaml:3: `id` is written twice; keep one"),
        ("owners: []\nenvironments: []\nowners: []\n", "a.yaml:3: `owners` is written twice; keep one"),
        ("environments:\n  - name:\n", "a.yaml:2: nothing is written here; write a text, or leave the line out"),
        ("owners:\n", "a.yaml:1: a list is wanted here; begin each item on a line of its own with `- `"),
        (
            "workloads:\n  - spiffe_id: spiffe://a/b\n    environments: production\n",
            "a.yaml:3: a list is wanted here; begin each item on a line of its own with `- `",
        ),
        ("environments:\n  - production\n", "a.yaml:2: a record is wanted here; write `field: value` lines"),
        ("- owners\n", "a.yaml:1: a record is wanted here; write `field: value` lines"),
        ("environments:\n  - name: [a]\n", "a.yaml:2: a single text is wanted here"),
        (
            "environments:\n\t- name: a\n",
            "a.yaml:2: tabs disallowed within this context (block indentation); indent with spaces, and put a text with special characters in quotes",
        ),
        (
            "owners:\n  - id: a\n    kind: team: big\n",
            "a.yaml:3: mapping values are not allowed in this context; indent with spaces, and put a text with special characters in quotes",
        ),
        (
            "environments:\n  - name: !secret a\n",
            "a.yaml:2: unsupported tag `!secret`; indent with spaces, and put a text with special characters in quotes",
        ),
    ] {
        assert_eq!(told(&[text]), [problem], "{text}");
    }
}

#[test]
fn a_merge_key_is_refused_since_it_hides_what_a_record_says() {
    let told = told(&["owners:\n  - &a\n    id: a\n  - <<: *a\n    id: b\n"]);
    assert_eq!(told, ["a.yaml:4: merge key not allowed here; indent with spaces, and put a text with special characters in quotes"]);
}

#[test]
fn of_syntax_and_shape_the_first_of_each_document_is_told_and_nothing_else() {
    let first = "owners:\n  - id: A\n    colour: red\n    size: big\n---\nenvironments:\n  - nam: x\n---\nenvironments:\n  - name: UPPER\n";
    assert_eq!(
        told(&[first, "workloads: 3\n"]),
        [
            "a.yaml:3: no field `colour` is known here; write one of: id, kind, business_owner, technical_owner, contract_end",
            "a.yaml:7: no field `nam` is known here; write one of: name",
            "b.yaml:1: a list is wanted here; begin each item on a line of its own with `- `",
        ]
    );
}

#[test]
fn of_meaning_everything_is_told_in_the_order_of_the_lines() {
    let workloads = "\
workloads:
  - spiffe_id: spiffe://example.org/Payments/API
    owner: paymnts
    purpose: ' padded'
    environments: [production, prod]
    valid_until: tomorrow
  - spiffe_id: spiffe://example.org/payments/api
    owner: Payments
    purpose: Takes payments
    environments: []
downstreams:
  - name: ledger-api
    accepts: []
    audiences: ['https://ledger.example.org']
    environments: [production]
    verifier_kind: follower
";
    let owners = "\
environments:
  - name: production
owners:
  - id: payments
    kind: team
    technical_owner: oncall@example.org
  - id: acme
    kind: vendor
    business_owner: boss@example.org
    technical_owner: oncall@example.org
  - id: payments
    kind: team
    business_owner: boss@example.org
    technical_owner: oncall@example.org
  - id: ''
    kind: team
    business_owner: boss@example.org
    technical_owner: oncall@example.org
    contract_end: 2027-03-31
";
    let owner = "an owner id: 1 to 63 of a-z 0-9 - _ . , with a letter or digit at both ends";
    let environments = "write one of: production; or declare another under `environments`";
    let (upper, lower) = ("spiffe://example.org/Payments/API", "spiffe://example.org/payments/api");
    assert_eq!(
        told(&[workloads, owners]),
        [
            format!("a.yaml:3: workload `{upper}`: owner: `paymnts` is not declared; write one of: acme, payments; or declare another under `owners`"),
            format!("a.yaml:4: workload `{upper}`: purpose: ` padded` is not a text: 1 to 500 bytes in one line, without space at either end; write `padded`"),
            format!("a.yaml:5: workload `{upper}`: environments: `prod` is not declared; {environments}"),
            format!("a.yaml:6: workload `{upper}`: valid_until: `tomorrow` is not an instant; write RFC 3339 with a time zone, such as 2027-03-31T17:00:00Z"),
            format!("a.yaml:7: workload `{lower}` differs from `{upper}` only by case; write `{upper}`, or a name that differs in more (first at a.yaml:2)"),
            format!("a.yaml:7: workload `{lower}`: environments: missing; {environments}"),
            format!("a.yaml:8: workload `{lower}`: owner: `Payments` is not {owner}; write `payments`"),
            "a.yaml:12: downstream `ledger-api`: accepts: missing; it accepts nothing: write tokens, certificates or both, or leave the downstream out".to_owned(),
            "a.yaml:14: downstream `ledger-api`: audiences: only tokens have an audience; add tokens to `accepts`, or leave the audiences out".to_owned(),
            "b.yaml:4: owner `payments`: business_owner: missing; write how to reach who answers for the purpose".to_owned(),
            "b.yaml:7: owner `acme`: contract_end: missing; the contract of a vendor ends: write when, such as 2027-03-31T17:00:00Z".to_owned(),
            "b.yaml:11: owner `payments` is declared more than once; keep one (first at b.yaml:4)".to_owned(),
            format!("b.yaml:15: owner ``: id: the empty text is not {owner}"),
            "b.yaml:19: owner ``: contract_end: `2027-03-31` is not an instant; write RFC 3339 with a time zone, such as 2027-03-31T17:00:00Z".to_owned(),
        ]
    );
}

#[test]
fn files_and_documents_make_one_registry_in_any_order() {
    let environments = "environments:\n  - name: production\n";
    let owners = "owners:\n  - id: payments\n    kind: team\n    business_owner: a@b\n    technical_owner: c@d\n";
    let workloads = "workloads:\n  - spiffe_id: spiffe://a/b\n    owner: payments\n    purpose: 017\n    environments: [production]\n";
    let one = reads(&[&format!("{environments}{owners}{workloads}")]);
    assert_eq!(reads(&[workloads, owners, environments]), one);
    assert_eq!(reads(&[&format!("{workloads}---\n{owners}---\n# nothing\n---\n{environments}")]), one);
    assert_eq!(one.workloads[0].purpose.as_str(), "017", "a text is kept as it is written");
}

#[test]
fn the_sample_reads_and_names_every_field() {
    let sample = reads(&[SAMPLE]);
    let ids = sample.workloads.iter().map(|workload| workload.spiffe_id.to_string()).collect::<Vec<_>>();
    assert!(ids.contains(&"spiffe://example.org/payments/api".to_owned()), "{ids:?}");
    let fields = "id kind business_owner technical_owner contract_end name spiffe_id owner purpose environments valid_until accepts audiences verifier_kind verifier";
    for field in fields.split(' ') {
        assert!(SAMPLE.contains(&format!("{field}: ")) || SAMPLE.contains(&format!("{field}:\n")), "{field}");
    }
}

/// Files that are good, clash with one another, are wrong, or cannot be read.
const FILES: [&str; 7] = [
    "environments:\n  - name: a\n",
    "environments:\n  - name: b\n",
    "environments:\n  - name: a\n  - name: c\n",
    "environments:\n  - name: A b\n",
    "environments: [\n",
    "workloads:\n  - {spiffe_id: spiffe://d/w, owner: o, purpose: p, environments: [a]}\n",
    "owners:\n  - {id: o, kind: team, business_owner: b@d, technical_owner: t@d}\n",
];

proptest! {
    #[test]
    fn whatever_a_folder_said_before_it_says_what_stands_in_it(readings in vec(vec(0..FILES.len(), 0..4), 1..12)) {
        let mut parsed = Parsed::default();
        for reading in readings {
            let file = |(at, which): (usize, usize)| (PathBuf::from(format!("{at}.yaml")), FILES[which].to_owned());
            let files: Vec<_> = reading.into_iter().enumerate().map(file).collect();
            let fresh = sift(&files, &Names::default(), &mut Parsed::default());
            prop_assert_eq!(sift(&files, &Names::default(), &mut parsed), fresh);
        }
    }

    #[test]
    fn what_is_written_reads_back(document in document()) {
        let text = serde_saphyr::to_string(&Draft::from(&document)).expect("a registry");
        prop_assert_eq!(read(&[(PathBuf::from("a.yaml"), text)], &Names::default()), Ok(document));
    }

    #[test]
    fn any_text_is_read_or_refused_with_a_line_of_the_file(text in "(owners|environments)?:?\n?([ \t]{0,4}(- |id: |name: |\\PC{0,8})\n?){0,12}") {
        if let Err(problems) = read(&[(PathBuf::from("a.yaml"), text.clone())], &Names::default()) {
            let lines = u64::try_from(text.lines().count()).expect("few") + 1;
            prop_assert!(!problems.is_empty());
            for problem in problems {
                let line = problem.place.expect("a place").line;
                prop_assert!((1..=lines).contains(&line), "{line} of {lines}: {}", problem.message);
            }
        }
    }
}
