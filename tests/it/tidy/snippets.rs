//! The rules themselves, tried on small files: good ones pass, bad ones are named by their line.

use super::order::Groups;
use super::rules::{self, Breaches};
use super::source::Source;

#[track_caller]
fn check(rule: impl Fn(&Source) -> Breaches, path: &str, text: &str, broken: &[usize]) {
    let found: Vec<usize> = rule(&Source::new(path, text)).iter().map(|breach| breach.line).collect();
    assert_eq!(found, broken, "{path}: {text}");
}

#[test]
fn a_file_says_what_it_is_for() {
    let rule = rules::opens_with_its_purpose;
    check(rule, "src/a.rs", "//! What it is for.\n", &[]);
    check(rule, "src/a.rs", "// A comment.\n", &[1]);
    check(rule, "src/a.rs", "use a::b;\n", &[1]);
    check(rule, "src/a.rs", "", &[1]);
}

#[test]
fn a_file_is_short_without_its_tests() {
    let rule = rules::is_short;
    let long = "//! x\n".repeat(401);
    check(rule, "src/a.rs", &"//! x\n".repeat(400), &[]);
    check(rule, "src/a.rs", &long, &[401]);
    check(rule, "tests/it/a.rs", &long, &[401]);
    check(rule, "src/a/tests.rs", &long, &[]);
    check(rule, "src/a.rs", &format!("//! x\n#[cfg(test)]\nmod tests {{\n{long}}}"), &[]);
}

#[test]
fn a_module_has_a_telling_name() {
    let rule = rules::has_a_telling_name;
    check(rule, "src/ledger/tree.rs", "", &[]);
    check(rule, "src/ledger/utils.rs", "", &[1]);
    check(rule, "src/common/mod.rs", "", &[1]);
}

#[test]
fn nothing_is_left_undone() {
    let rule = rules::leaves_nothing_undone;
    let mark = concat!("TO", "DO");
    check(rule, "src/a.rs", "//! x\n", &[]);
    check(rule, "src/a.rs", &format!("//! x\n// {mark}: more\n"), &[2]);
    check(rule, "src/a.rs", &format!("//! x\nlet {mark}S = 1;\n"), &[]);
}

#[test]
fn features_stand_on_modules() {
    let rule = rules::names_features_on_modules_only;
    let gated = "#[cfg(feature = \"broker\")]\n";
    check(rule, "src/lib.rs", &format!("{gated}mod a;\n{gated}#[doc(hidden)]\npub mod b;\n"), &[]);
    check(rule, "src/lib.rs", &format!("{gated}pub use a::b;\n"), &[1]);
    check(rule, "src/lib.rs", &format!("{gated}mod a {{}}\n"), &[1]);
    check(rule, "src/a.rs", &format!("{gated}mod b;\n"), &[1]);
    check(rule, "src/a.rs", "fn f() {\n if cfg!(any(test, feature = \"x\")) {}\n}\n", &[2]);
    check(rule, "src/a.rs", "#[cfg_attr(feature = \"x\", derive(Debug))]\nstruct A;\n", &[1]);
    check(rule, "src/a.rs", "#[cfg(test)]\nmod tests;\n", &[]);
}

#[test]
fn time_and_chance_are_arguments() {
    let rule = rules::takes_time_and_chance_as_arguments;
    for bad in [
        "SystemTime::now()",
        "std::time::Instant::now()",
        "tokio::time::Instant::now()",
        "chrono::Utc::now()",
        "ring::rand::SystemRandom::new()",
        "use ring::rand::{SecureRandom, SystemRandom};",
        "rand::random::<u8>()",
        "rand::rng()",
        "rcgen::KeyPair::generate()",
        "tokio::time::sleep(x)",
        "use tokio::time::{interval, timeout};",
    ] {
        check(rule, "src/mint/token.rs", &format!("//! x\n{bad}\n"), &[2]);
        check(rule, "src/ambient/clock.rs", bad, &[]);
    }
    let tested = "//! x\n#[cfg(test)]\nmod tests {\n KeyPair::generate();\n Instant::now();\n}";
    check(rule, "src/mint/token.rs", tested, &[5]);
    check(rule, "src/mint/token.rs", "clock.now(); // not Instant::now()\n\"Instant::now()\"; use ring::rand::SecureRandom;", &[]);
}

#[test]
fn environment_and_files_are_read_by_app_config() {
    let rule = rules::leaves_the_outside_to_app_config;
    for bad in
        ["std::env::var(x)", "use std::{env, io};", "use std::fs;", "std::fs::File::open(x)", "use tokio::fs::read;", "env::var_os(x)"]
    {
        check(rule, "src/broker/issue.rs", &format!("//! x\n{bad}\n"), &[2]);
        check(rule, "src/app/config.rs", bad, &[]);
        check(rule, "src/broker/issue.rs", &format!("//! x\n#[cfg(test)]\nmod tests {{\n{bad}\n}}"), &[]);
    }
    check(rule, "src/broker/issue.rs", "env!(\"CARGO_PKG_VERSION\")", &[]);
}

#[test]
fn sql_is_spoken_by_the_ledger() {
    let rule = rules::leaves_sql_to_the_ledger;
    for bad in ["\"SELECT 1\"", "r#\"CREATE TABLE t\"#", "\"DELETE FROM t\"", "\"UPDATE t SET a = 1\"", "rusqlite::Connection::open(x)"] {
        check(rule, "src/broker/issue.rs", &format!("//! x\n{bad}\n"), &[2]);
        check(rule, "src/ledger/sqlite.rs", bad, &[]);
    }
    check(rule, "src/broker/issue.rs", "// SELECT 1\n\"select an UPDATE\"", &[]);
}

#[test]
fn generated_types_stay_at_the_edge() {
    let rule = rules::keeps_generated_types_at_the_edge;
    check(rule, "src/ledger/codec.rs", "use crate::proto::entry;", &[]);
    check(rule, "src/grpc/owners.rs", "use crate::proto::{api::Owner, DESCRIPTORS};", &[]);
    check(rule, "src/broker/a.rs", "//! x\nuse crate::proto::api::Owner;\nproto::entry::Cut", &[2, 3]);
    check(rule, "src/grpc/owners.rs", "use crate::proto::{api, entry};", &[1]);
    check(rule, "src/ledger/codec.rs", "use crate::proto::*;", &[1]);
}

#[test]
fn secrets_stay_out_of_debug() {
    let rule = rules::keeps_secrets_out_of_debug;
    check(rule, "src/a.rs", "#[derive(Clone, Debug)]\nstruct A {\n  a: u8,\n  b: Option<Zeroizing<String>>,\n}\n", &[4]);
    check(rule, "src/a.rs", "mod b {\n  #[derive(Debug)]\n  pub(crate) struct A(Zeroizing<Vec<u8>>);\n}\n", &[3]);
    check(rule, "src/a.rs", "#[derive(Clone)]\nstruct A(Zeroizing<String>);\n", &[]);
    check(rule, "src/a.rs", "#[derive(Debug)]\nstruct A {\n  a: u8,\n}\nstruct B {\n  b: Zeroizing<String>,\n}\n", &[]);
}

#[test]
fn tests_run_and_never_sleep() {
    let rule = rules::tests_run_and_never_sleep;
    let sleep = "std::thread::sleep(x);\ntokio::time::sleep(x)\n";
    check(rule, "tests/it/a.rs", sleep, &[1, 2]);
    check(rule, "src/a.rs", &format!("//! x\n#[cfg(test)]\nmod tests {{\n{sleep}}}"), &[4, 5]);
    check(rule, "src/a.rs", sleep, &[]);
    check(rule, "src/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}", &[2]);
}

const LIB: &str =
    "//! x\n\n// 1: words.\npub mod model;\n\n// 2: pure.\n#[cfg(feature = \"x\")]\nmod policy;\nmod proto;\n// 3: durable.\nmod ledger;\n";

#[test]
fn imports_point_upwards() {
    let groups = Groups::of(&Source::new("src/lib.rs", LIB)).ok().unwrap();
    assert_eq!(groups.modules().collect::<Vec<_>>(), ["ledger", "model", "policy", "proto"]);
    let rule = |source: &Source| groups.imports_point_upwards(source);
    check(rule, "src/policy/mod.rs", "use crate::model::Cut;\nuse crate::policy::grant;\nuse super::model;", &[]);
    check(rule, "src/policy/mod.rs", "use crate::ledger::Ledger;", &[1]);
    check(rule, "src/policy/a.rs", "use crate::{model::Cut, proto, ledger};", &[1, 1]);
    check(rule, "src/policy/a/b.rs", "fn f() -> crate::ledger::X", &[1]);
    check(rule, "src/policy.rs", "use super::ledger;", &[1]);
    check(rule, "src/policy/a.rs", "use super::ledger;\nuse super::super::ledger;", &[2]);
    check(rule, "src/policy/a.rs", "mod tests {\n use super::super::ledger;\n use super::super::super::ledger;\n}", &[3]);
    check(rule, "src/policy/a.rs", "use crate::Cut;", &[1]);
    check(rule, "src/policy/a.rs", "/// [`crate::ledger`]\nfn f() {}", &[]);
    check(rule, "src/ledger/a.rs", "use crate::{model, policy, proto};", &[]);
    check(rule, "src/main.rs", "curfew::ledger::x();", &[]);
}

#[test]
fn groups_are_counted_and_hold_every_module() {
    let broken = |lib: &str| Groups::of(&Source::new("src/lib.rs", lib)).err().map(|breaches| breaches[0].line);
    assert_eq!(broken(LIB), None);
    assert_eq!(broken("//! x\nmod a;\n"), Some(2));
    assert_eq!(broken("// 2: x\nmod a;\n// 1: y\nmod b;\n"), Some(3));
}
