//! What operators are given: alerts, a unit, completions and manual pages, held against the programs
//! that read them and against a running broker.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Broker, program, run};
use crate::process::get;

fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The words of a text that begin with `curfew_`.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("curfew_")).map(str::to_owned).collect()
}

/// The names under which a family has samples (OpenMetrics 1.0, section 5).
fn samples(family: &str, kind: &str) -> Vec<String> {
    let suffixes: &[&str] = match kind {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_sum", "_count"],
        "gauge" => &[""],
        _ => panic!("no samples are known of {family}, a {kind}"),
    };
    suffixes.iter().map(|suffix| format!("{family}{suffix}")).collect()
}

#[test]
fn every_metric_of_the_alerts_and_of_the_documentation_is_exported() {
    let broker = Broker::start();
    // What is counted by reason is exported from the first refusal on.
    broker.curfew(&broker.identity("payments/api"), ["owner", "list"]).exits(2);
    let (_, exported) = get(&broker, "/metrics");
    let types = exported.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let exported_names: BTreeSet<String> = types.flat_map(|(family, kind)| samples(family, kind)).collect();
    for page in ["docs/samples/alerts.yml", "docs/operations.md", "tests/outside/alerts.yml"] {
        let wanted = metrics_in(&fs::read_to_string(checkout(page)).unwrap());
        let missing: Vec<&String> = wanted.difference(&exported_names).collect();
        assert!(!wanted.is_empty() && missing.is_empty(), "{page} names what is not exported: {missing:?}\n{exported}");
    }
    let documented = metrics_in(&fs::read_to_string(checkout("docs/operations.md")).unwrap());
    let silent: Vec<&String> = exported_names
        .iter()
        .filter(|name| !name.ends_with("_sum") && !name.ends_with("_count"))
        .filter(|name| !documented.contains(*name))
        .collect();
    assert!(silent.is_empty(), "docs/operations.md does not say what these are: {silent:?}");
    // The labels that the alerts choose by.
    assert!(exported.contains("curfew_grpc_calls_total{service=\"Registry\",method=\"apply\",code=\"OK\"} "), "{exported}");
}

#[test]
fn prometheus_takes_the_alerts_and_they_do_what_they_say() {
    run(Command::new("promtool").args(["check", "rules"]).arg(checkout("docs/samples/alerts.yml"))).done();
    run(Command::new("promtool").args(["test", "rules"]).arg(checkout("tests/outside/alerts.yml"))).done();
}

/// Each command that there is, as words: from its help, which clap makes of the same tree.
fn commands(above: &[String]) -> Vec<Vec<String>> {
    let help = run(program().args(above).arg("--help")).done();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<String> = listed
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|name| name != "help")
        .collect();
    let mut found = vec![above.to_vec()];
    for name in names {
        found.extend(commands(&[above, &[name]].concat()));
    }
    found
}

#[test]
fn every_command_has_a_manual_page_that_formats_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    run(program().arg("man").arg(&pages)).done();
    let made: BTreeSet<String> = fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let all = commands(&[]);
    assert!(all.len() > 40, "{all:?}");
    let page = |words: &Vec<String>| format!("{}.1", [&["curfew".to_owned()], words.as_slice()].concat().join("-"));
    assert_eq!(made, all.iter().map(page).collect());
    for page in &made {
        let formatted = run(Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(pages.join(page)));
        assert_eq!((formatted.code, formatted.stderr.as_str()), (0, ""), "{page}");
    }
    run(program().arg("man").arg(&pages)).exits(1);
}

#[test]
fn shells_take_the_completions_and_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let all = commands(&[]);
    for (shell, check) in [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "-n"])] {
        let file = folder.path().join(shell);
        let text = run(program().args(["completions", shell])).done();
        fs::write(&file, &text).unwrap();
        run(Command::new(check[0]).arg(check[1]).arg(&file)).done();
        let missing: Vec<_> = all.iter().filter_map(|words| words.last()).filter(|word| !text.contains(word.as_str())).collect();
        assert!(missing.is_empty(), "{shell} does not know {missing:?}");
    }
    // What bash answers to `curfew owner re<TAB>`.
    let bash = folder.path().join("bash");
    let ask = format!(
        "source {}; COMP_WORDS=(curfew owner re); COMP_CWORD=2; _curfew curfew re owner; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        bash.display()
    );
    let answers = run(Command::new("bash").args(["-c", &ask])).done();
    let answers: BTreeSet<&str> = answers.lines().collect();
    assert!(answers.contains("revoke") && answers.contains("reinstate") && !answers.contains("list"), "{answers:?}");
}

#[test]
fn systemd_takes_the_unit_and_finds_little_exposed() {
    let folder = tempfile::tempdir().unwrap();
    let unit = fs::read_to_string(checkout("docs/samples/curfew.service")).unwrap();
    // The program is where cargo put it, and its pages are not installed.
    let here =
        unit.replace("/usr/local/bin/curfew", program().get_program().to_str().unwrap()).replace("Documentation=man:curfew(1)\n", "");
    let file = folder.path().join("curfew.service");
    fs::write(&file, here).unwrap();
    let verified = run(Command::new("systemd-analyze").arg("verify").arg(&file));
    assert_eq!((verified.code, verified.stderr.as_str()), (0, ""));
    // 10 is exposed to everything.
    run(Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=15"]).arg(&file)).done();
}
