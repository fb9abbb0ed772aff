//! The house rules: each takes a file and says which lines break it.

use super::order::Groups;
use super::paths::paths;
use super::source::Source;

/// A line that breaks a rule.
#[derive(Debug)]
pub(super) struct Breach {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) what: String,
}

pub(super) type Breaches = Vec<Breach>;

/// Files in which something is allowed that is forbidden elsewhere: a prefix of the path, and why.
type Allowed = &'static [(&'static str, &'static str)];

/// All rules that look at one file.
pub(super) fn all(source: &Source, groups: &Groups) -> Breaches {
    let one_file = [
        opens_with_its_purpose,
        is_short,
        has_a_telling_name,
        leaves_nothing_undone,
        names_features_on_modules_only,
        takes_time_and_chance_as_arguments,
        leaves_the_outside_to_app_config,
        leaves_sql_to_the_ledger,
        keeps_generated_types_at_the_edge,
        keeps_secrets_out_of_debug,
        tests_run_and_never_sleep,
    ];
    one_file.iter().flat_map(|rule| rule(source)).chain(groups.imports_point_upwards(source)).collect()
}

pub(super) fn breach(source: &Source, line: usize, what: impl Into<String>) -> Breach {
    Breach { path: source.path.clone(), line, what: what.into() }
}

fn is_allowed(source: &Source, allowed: Allowed) -> bool {
    allowed.iter().any(|(prefix, _why)| source.path.starts_with(prefix))
}

/// Lines of `text` that meet a condition, counted from 1.
fn lines(text: &str, broken: impl Fn(&str) -> bool) -> impl Iterator<Item = usize> {
    text.lines().enumerate().filter(move |(_, line)| broken(line)).map(|(number, _)| number + 1)
}

pub(super) fn opens_with_its_purpose(source: &Source) -> Breaches {
    let opens = source.text.strip_prefix("//! ").is_some_and(|purpose| !purpose.starts_with('\n'));
    if opens { vec![] } else { vec![breach(source, 1, "open the file with `//!` and what it is for")] }
}

/// The longest file, without its tests.
const LONGEST: usize = 400;

pub(super) fn is_short(source: &Source) -> Breaches {
    let whole = source.path.starts_with("tests/") || source.path.starts_with("benches/");
    let length = source.text.lines().count();
    let length = if whole { length } else { length.min(source.tests_from() - 1) };
    if length <= LONGEST {
        return vec![];
    }
    vec![breach(source, length, format!("{length} lines without tests, more than {LONGEST}: split the file by what it is for"))]
}

const EMPTY_NAMES: [&str; 9] = ["util", "utils", "common", "helper", "helpers", "misc", "types", "shared", "prelude"];

pub(super) fn has_a_telling_name(source: &Source) -> Breaches {
    let path = source.path.trim_end_matches(".rs");
    let empty = path.split('/').find(|name| EMPTY_NAMES.contains(name));
    empty.map(|name| breach(source, 1, format!("`{name}` says nothing: name the module by what is in it"))).into_iter().collect()
}

pub(super) fn leaves_nothing_undone(source: &Source) -> Breaches {
    // In two pieces, so that this file does not break its own rule.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    let marked = |line: &str| line.split(|c: char| !c.is_alphanumeric()).any(|word| marks.contains(&word));
    lines(&source.text, marked).map(|line| breach(source, line, "do it, or file it; the code does not keep a list")).collect()
}

pub(super) fn names_features_on_modules_only(source: &Source) -> Breaches {
    if source.path == "build.rs" || !source.path.starts_with("src/") {
        return vec![];
    }
    let code: Vec<&str> = source.code.lines().map(str::trim).collect();
    let on_a_module = |line: usize| {
        let item = code.iter().skip(line).find(|line| !line.starts_with("#[") && !line.is_empty());
        item.is_some_and(|item| item.ends_with(';') && (item.starts_with("mod ") || item.starts_with("pub mod ")))
    };
    // The name of the feature is a string, so it is blank here.
    let named = |line: &str| line.replace(' ', "").contains("feature=") && line.contains("cfg");
    lines(&source.code, named)
        .filter(|line| source.path != "src/lib.rs" || !on_a_module(*line))
        .map(|line| breach(source, line, "name a feature only on a `mod` line of src/lib.rs"))
        .collect()
}

const CLOCK: Allowed = &[
    ("src/ambient/", "it is the clock"),
    ("tests/", "of a real process"),
    ("benches/", "of a real process"),
    ("examples/", "programs of their own"),
];
const WAITS: Allowed = &[("src/listen/", "pauses when the machine has no descriptor left")];
const CHANCE: Allowed = &[("src/ambient/", "it is the entropy"), ("benches/", "throwaway keys")];

pub(super) fn takes_time_and_chance_as_arguments(source: &Source) -> Breaches {
    let clock: &[&[&str]] = &[&["SystemTime", "now"], &["Instant", "now"], &["Utc", "now"], &["Local", "now"]];
    let waits: &[&[&str]] = &[&["time", "sleep"], &["time", "sleep_until"], &["time", "interval"], &["time", "interval_at"]];
    let chance: &[&[&str]] = &[
        &["SystemRandom"],
        &["OsRng"],
        &["rand", "rng"],
        &["rand", "random"],
        &["getrandom"],
        &["fastrand"],
        &["KeyPair", "generate"],
        &["KeyPair", "generate_for"],
    ];
    let clock_allowed = is_allowed(source, CLOCK);
    let waits_allowed = clock_allowed || is_allowed(source, WAITS);
    let chance_allowed = is_allowed(source, CHANCE);
    let mut found = Vec::new();
    for path in paths(source) {
        // Tests may make keys of their own; the time they set by hand.
        let chance_allowed = chance_allowed || path.line >= source.tests_from();
        for (allowed, reads, what) in [
            (clock_allowed, clock, "only `ambient` reads a clock: take `now` as an argument"),
            (waits_allowed, waits, "wait by the clock of `ambient`, which tests can move"),
            (chance_allowed, chance, "only `ambient` makes randomness: take it as an argument"),
        ] {
            if !allowed && reads.iter().any(|names| path.names(names)) {
                found.push(breach(source, path.line, what));
            }
        }
    }
    found
}

const ENVIRONMENT_AND_FILES: Allowed = &[
    ("src/app/config", "the one reader of configuration"),
    ("src/ledger/", "the file of the ledger, and its lock"),
    ("build.rs", "cargo says where to write by the environment"),
    ("tests/", "tests/run says by the environment where its tools are"),
    ("benches/", "they make their own folders"),
    ("examples/", "programs of their own"),
];

pub(super) fn leaves_the_outside_to_app_config(source: &Source) -> Breaches {
    if is_allowed(source, ENVIRONMENT_AND_FILES) {
        return vec![];
    }
    let outside: &[&[&str]] = &[&["std", "env"], &["std", "fs"], &["tokio", "fs"], &["env", "var"], &["env", "var_os"], &["env", "vars"]];
    paths(source)
        .into_iter()
        .filter(|path| path.line < source.tests_from() && outside.iter().any(|names| path.names(names)))
        .map(|path| breach(source, path.line, "only `app/config` reads environment and files: take what is in them as an argument"))
        .collect()
}

pub(super) fn leaves_sql_to_the_ledger(source: &Source) -> Breaches {
    if !source.path.starts_with("src/") || source.path.starts_with("src/ledger/") {
        return vec![];
    }
    let verbs = [
        "SELECT ",
        "INSERT INTO ",
        "INSERT OR ",
        "CREATE TABLE ",
        "CREATE INDEX ",
        "CREATE TRIGGER ",
        "DELETE FROM ",
        "DROP TABLE ",
        "PRAGMA ",
    ];
    let statement = |line: &str| {
        let start = line.trim_start_matches(|c: char| !c.is_alphabetic());
        verbs.iter().any(|verb| line.contains(verb)) || (start.starts_with("UPDATE ") && line.contains(" SET "))
    };
    let strings = lines(&source.strings, statement);
    let library = paths(source).into_iter().filter(|path| path.segments[0] == "rusqlite").map(|path| path.line);
    strings.chain(library).map(|line| breach(source, line, "only `ledger` speaks SQL")).collect()
}

const ENTRIES: Allowed = &[("src/proto.rs", "declares them"), ("src/ledger/", "encodes them")];
const API: Allowed =
    &[("src/proto.rs", "declares it"), ("src/grpc/", "serves it"), ("src/client/", "calls it"), ("src/cli/", "calls it through `client`")];

pub(super) fn keeps_generated_types_at_the_edge(source: &Source) -> Breaches {
    if !source.path.starts_with("src/") {
        return vec![];
    }
    let mut found = Vec::new();
    for path in paths(source) {
        let all = path.names(&["proto", "*"]);
        if (all || path.names(&["proto", "entry"])) && !is_allowed(source, ENTRIES) {
            found.push(breach(source, path.line, "only `ledger` names the messages of the ledger"));
        }
        if (all || path.names(&["proto", "api"])) && !is_allowed(source, API) {
            found.push(breach(source, path.line, "only `grpc`, `client` and `cli` name the messages of the API"));
        }
    }
    found
}

/// `Zeroizing` wipes a secret, and prints it to whoever asks.
pub(super) fn keeps_secrets_out_of_debug(source: &Source) -> Breaches {
    let lines: Vec<&str> = source.code.lines().collect();
    let derives = |line: &str| line.trim_start().starts_with("#[derive(") && line.contains("Debug");
    let mut found = Vec::new();
    for derive in (0..lines.len()).filter(|at| derives(lines[*at])) {
        let indent = lines[derive].len() - lines[derive].trim_start().len();
        // The item ends with a brace below its attribute, or on its own line.
        let ends = |line: &&str| line.get(indent..).is_some_and(|rest| rest.starts_with('}') || rest.ends_with(';'));
        let length = lines[derive..].iter().position(ends).map_or(0, |last| last + 1);
        let secret = (derive..derive + length).find(|at| lines[*at].contains("Zeroizing<"));
        found.extend(secret.map(|at| breach(source, at + 1, "a derived `Debug` prints this secret: write one that does not")));
    }
    found
}

pub(super) fn tests_run_and_never_sleep(source: &Source) -> Breaches {
    let ignored = lines(&source.code, |line| line.trim_start().starts_with("#[ignore"));
    let ignored = ignored.map(|line| breach(source, line, "a test runs or is not there"));
    let sleeps = paths(source)
        .into_iter()
        .filter(|path| path.line >= source.tests_from() && (path.names(&["thread", "sleep"]) || path.names(&["time", "sleep"])));
    let sleeps = sleeps.map(|path| breach(source, path.line, "wait for what you mean, with a limit; a sleep is slow and still too short"));
    ignored.chain(sleeps).collect()
}
