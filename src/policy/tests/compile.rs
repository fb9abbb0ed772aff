//! What makes a policy text valid, and what is said about one that is not.

use super::world::*;
use crate::model::{DenialCode, PolicyName};
use crate::policy::{Action, DEFAULT_PACK, Engine, Problem};

const PERMIT: &str = r#"permit (principal, action == Curfew::Action::"IssueToken", resource)"#;

/// The first problem begins like this.
fn check(text: &str, expected: &str) {
    let problems = compile(text).expect_err(text);
    let first = problems.first().expect("at least one").to_string();
    assert!(first.starts_with(expected), "{first}\ninstead of\n{expected}");
}

#[test]
fn the_default_pack_is_valid_and_issues_bound_credentials_below_the_longest_life() {
    let (engine, world) = (default_pack(), World::new());
    let names = [
        "administrators",
        "certificates",
        "follow-the-list",
        "own-credentials",
        "own-decisions",
        "own-exceptions",
        "own-task-list",
        "own-tasks",
        "tokens",
    ];
    assert_eq!(engine.names(), names.map(a::<PolicyName>));
    let caller = from_outside(INVOICER);
    let mut long = token();
    long.ttl = Some(long.kind.longest_life());
    let token = world.decide(&engine, &caller, &long).expect("permitted");
    assert_eq!(token.issued().expires_at.since(NOW).as_secs(), 600);
    let mut long = certificate();
    long.ttl = Some(long.kind.longest_life());
    let certificate = world.decide(&engine, &caller, &long).expect("permitted");
    assert_eq!(certificate.issued().expires_at.since(NOW).as_secs(), 8 * 3600);
    let mut bearer = super::world::token();
    bearer.bearer = true;
    assert_eq!(world.decide(&engine, &caller, &bearer).map_err(|denial| denial.code), Err(DenialCode::PolicyDenied));
}

#[test]
fn the_default_pack_is_every_file_of_its_folder() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/policies")).expect("is there");
    let mut found: Vec<String> = folder.map(|file| file.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    found.sort();
    assert_eq!(found, DEFAULT_PACK.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
}

#[test]
fn the_documentation_names_every_action_and_its_examples_are_valid() {
    let page = include_str!("../../../docs/policy.md");
    for action in Action::ALL {
        assert!(page.contains(&format!("`{action}`")), "{action}");
    }
    let examples: Vec<&str> = page.split("```cedar\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() > 3);
    for example in examples {
        assert!(compile(example).is_ok(), "{:#?}\n{example}", compile(example));
    }
}

/// The examples that stand commented out in the default pack are valid once uncommented.
#[test]
fn the_examples_in_the_default_pack_are_valid() {
    let engine = default_pack();
    for (name, text) in &engine.text().files {
        let mut lines = Vec::new();
        for block in text.split("//\n").skip(1) {
            lines.extend(block.lines().take_while(|line| line.starts_with("// ")).filter_map(|line| line.strip_prefix("// ")));
        }
        let uncommented = format!("{text}\n{}", lines.join("\n"));
        let compiled = Engine::compile(vec![(name.clone(), uncommented)]);
        let names = compiled.map(|engine| engine.names().len()).map_err(|problems| format!("{problems:#?}"));
        let examples = text.matches("// @id(").count();
        assert_eq!(names, Ok(text.matches("@id(").count()), "{name} with {examples} examples");
    }
}

#[test]
fn every_action_is_in_the_schema() {
    let schema = include_str!("../curfew.cedarschema");
    for action in Action::ALL {
        let declared = schema.lines().any(|line| {
            let line = line.trim_start();
            line.starts_with("action ") && line.split([' ', ',']).any(|word| word == action.as_str())
        });
        assert!(declared, "{action}");
    }
}

#[test]
fn a_problem_names_file_line_and_remedy() {
    check("permit (principal, action, resource)\nwhen { true }", "test.cedar:");
    check(
        "\n\npermit (principal, action, resource)\nwhen { principal.age > 3 };",
        "test.cedar:4: for policy `test.cedar#1`, attribute `age` on entity type `Curfew::Administrator` not found",
    );
    check(&format!("// one\n@max_tll(\"5m\")\n{PERMIT};"), "test.cedar:2: unknown annotation @max_tll; known are");
    check(&format!("@id(\" x\") {PERMIT};"), "test.cedar:1: @id: ` x` is not a policy name");
    check(&format!("@bearer(\"yes\") {PERMIT};"), "test.cedar:1: @bearer(\"yes\") means nothing; write");
    check("permit (principal == ?principal, action, resource);", "test.cedar: a template applies to nothing here");
}

#[test]
fn the_second_of_two_policies_of_one_text_is_found_on_its_own_line() {
    let text = format!("{PERMIT};\n{PERMIT};\n@no\n{PERMIT};\n");
    check(&text, "test.cedar:3: unknown annotation @no");
    check(
        &format!("{PERMIT};\n\n\n{PERMIT};\n@bearer(\"yes\") {PERMIT};\n\n\n{PERMIT};\n"),
        "test.cedar:5: @bearer(\"yes\") means nothing",
    );
}

#[test]
fn a_word_that_is_in_no_set_is_invalid() {
    let vendor =
        |word: &str| format!("forbid (principal is Curfew::Workload, action, resource) when {{ principal.owner.kind == {word} }};");
    assert!(compile(&vendor("Curfew::OwnerKind::\"vendor\"")).is_ok());
    check(&vendor("Curfew::OwnerKind::\"vendr\""), "test.cedar:1:");
    check(r#"permit (principal, action == Curfew::Action::"IssueTokens", resource);"#, "test.cedar:1:");
}

#[test]
fn a_policy_that_can_never_apply_is_invalid() {
    check(r#"permit (principal is Curfew::Verifier, action == Curfew::Action::"IssueToken", resource);"#, "test.cedar:1:");
    check(&format!("{PERMIT} when {{ false }};"), "test.cedar:1:");
}

#[test]
fn a_ceiling_is_a_whole_number_above_zero_with_a_unit() {
    for life in ["1s", "15m", "24h"] {
        assert!(compile(&format!("@max_ttl(\"{life}\") {PERMIT};")).is_ok(), "{life}");
    }
    for life in ["", "m", "0m", "15", "15 m", "+1m", "-1m", "1.5h", "1d", "15min", "١m", "99999999999999999999h", "9999999999999999999h"] {
        check(&format!("@max_ttl(\"{life}\") {PERMIT};"), &format!("test.cedar:1: @max_ttl(\"{life}\") is not a life; write"));
    }
}

#[test]
fn an_annotation_stands_only_where_it_has_an_effect() {
    for text in [
        r#"@max_ttl("5m") forbid (principal, action == Curfew::Action::"IssueToken", resource);"#,
        r#"@max_ttl("5m") permit (principal, action, resource);"#,
        r#"@max_ttl("5m") permit (principal, action in [Curfew::Action::"IssueToken", Curfew::Action::"ReadTask"], resource);"#,
    ] {
        check(text, "test.cedar:1: @max_ttl belongs on");
    }
    check(
        r#"@bearer("allowed") permit (principal, action == Curfew::Action::"IssueCertificate", resource);"#,
        "test.cedar:1: @bearer belongs on",
    );
    assert!(compile(&format!("@max_ttl(\"5m\") {PERMIT_ISSUING}")).is_ok());
}

#[test]
fn names_are_unique_over_all_files_and_made_where_none_is_given() {
    let file = |name: &str, text: &str| (a::<PolicyName>(name), text.to_owned());
    let named = format!("@id(\"one\") {PERMIT};");
    let engine = Engine::compile(vec![file("b", &format!("{PERMIT};{PERMIT};")), file("a", &named)]).expect("valid");
    assert_eq!(engine.names(), ["b#1", "b#2", "one"].map(a::<PolicyName>));
    let problems = Engine::compile(vec![file("a", &named), file("b", &format!("\n{named}"))]).expect_err("taken");
    let shown: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(shown, ["b:2: the name `one` is taken at a:1; give each policy its own @id"]);
    let problems = Engine::compile(vec![file("a", &named), file("a", PERMIT)]).expect_err("twice");
    assert_eq!(problems.first().map(Problem::to_string).as_deref(), Some("a: two files have this name; give each its own"));
}

#[test]
fn a_text_without_a_policy_is_refused_and_refusing_everything_can_be_said() {
    for text in ["", "// nothing yet\n"] {
        check(text, "there is no policy; to refuse everything, write");
    }
    assert!(Engine::compile(Vec::new()).is_err());
    assert!(compile("forbid (principal, action, resource);").is_ok());
}

#[test]
fn every_problem_of_every_file_is_named_at_once_in_order() {
    let file = |name: &str, text: String| (a::<PolicyName>(name), text);
    let problems = Engine::compile(vec![file("b", "permit;".to_owned()), file("a", format!("@x {PERMIT};\n@y {PERMIT};"))]);
    let places: Vec<(String, Option<usize>)> = problems
        .expect_err("three")
        .into_iter()
        .map(|problem| (problem.file.map(|file| file.to_string()).unwrap_or_default(), problem.line))
        .collect();
    assert_eq!(places, [("a".to_owned(), Some(1)), ("a".to_owned(), Some(2)), ("b".to_owned(), Some(1))]);
}

/// Computed with: printf of each length as 8 bytes, then the bytes, by name, into sha256sum.
#[test]
fn the_hash_is_pinned_and_tells_names_texts_and_borders_apart() {
    let hash = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(name, text)| (a::<PolicyName>(name), (*text).to_owned())).collect();
        let engine: Engine = Engine::compile(files).expect("valid");
        engine.text().hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let text = "forbid (principal, action, resource);";
    let one = hash(&[("a", text), ("b", "//\n")]);
    assert_eq!(one, "7a05cd553c7df4bf728674027f5b6dd9c54b06627f49155453bf7f80230ee1ab");
    assert_eq!(one, hash(&[("b", "//\n"), ("a", text)]), "the order in which files are given does not matter");
    for other in [&[("a", text), ("c", "//\n")][..], &[("a", text), ("b", "//")], &[("a", text)], &[("a", "//\n"), ("b", text)]] {
        assert_ne!(one, hash(other));
    }
}
