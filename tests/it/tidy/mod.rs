//! House rules as tests: the order of modules, and what stands where. Each breach is shown with its
//! file and line. The rules are tried on small bad files too, so that one that matches nothing is
//! noticed.

mod order;
mod paths;
mod rules;
mod snippets;
mod source;

use std::path::Path;

use order::Groups;
use source::Source;

/// Every Rust file of the checkout.
fn checkout() -> Vec<Source> {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").expect("run by cargo");
    let root = Path::new(&root);
    let mut found = vec![read(root, &root.join("build.rs"))];
    for folder in ["src", "tests", "benches", "examples"] {
        walk(root, &root.join(folder), &mut found);
    }
    let for_tests: Vec<String> = found.iter().flat_map(Source::test_modules).collect();
    for source in &mut found {
        source.is_test |= for_tests.contains(&source.path);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(read(root, &path));
        }
    }
}

fn read(root: &Path, path: &Path) -> Source {
    let name = path.strip_prefix(root).unwrap().to_str().unwrap();
    Source::new(name, &std::fs::read_to_string(path).unwrap())
}

#[test]
fn the_code_keeps_the_house_rules() {
    let sources = checkout();
    let lib = sources.iter().find(|source| source.path == "src/lib.rs").unwrap();
    let (groups, mut breaches) = match Groups::of(lib) {
        Ok(groups) => (groups, vec![]),
        Err(breaches) => panic!("src/lib.rs: {breaches:?}"),
    };
    for module in groups.modules() {
        let file = |path: &str| sources.iter().any(|source| source.path == path);
        assert!(file(&format!("src/{module}.rs")) || file(&format!("src/{module}/mod.rs")), "no file of `{module}` was read");
    }
    let map = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md")).unwrap();
    let row = |line: &str| line.split('|').take(3).map(|cell| format!("{cell}|")).collect::<String>();
    let numbered = |line: &&str| line.strip_prefix("| ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let told: std::collections::BTreeSet<String> = map.lines().filter(numbered).map(row).collect();
    assert_eq!(told, groups.rows(), "the table of docs/architecture.md is not that of src/lib.rs");
    breaches.extend(sources.iter().flat_map(|source| rules::all(source, &groups)));
    let shown: Vec<String> = breaches.iter().map(|at| format!("{}:{}: {}", at.path, at.line, at.what)).collect();
    assert!(shown.is_empty(), "{} lines break a house rule:\n{}\n", shown.len(), shown.join("\n"));
}

#[test]
fn what_is_fuzzed_has_the_versions_of_what_is_shipped() {
    let versions = |lock: &str| -> std::collections::BTreeSet<(String, String)> {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(lock)).unwrap();
        let packages = text.split("[[package]]").skip(1);
        let field = |package: &str, name: &str| package.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        packages.map(|package| (field(package, "name = "), field(package, "version = "))).collect()
    };
    let (shipped, fuzzed) = (versions("Cargo.lock"), versions("tests/fuzz/Cargo.lock"));
    let is_shipped = |name: &String| shipped.iter().any(|(shipped, _)| shipped == name);
    let others: Vec<_> = fuzzed.difference(&shipped).filter(|(name, _)| is_shipped(name)).collect();
    assert!(others.is_empty() && fuzzed.intersection(&shipped).count() > 100, "remove tests/fuzz/Cargo.lock and fuzz: {others:?}");
}
