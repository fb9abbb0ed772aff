//! Each thing that a configuration may not say, and the sample that says everything.

use super::*;
use crate::ambient::Entropy;
use crate::model::{FindingAction, FindingKind, KeyPurpose};

const SAMPLE: &str = include_str!("../../../docs/samples/curfew.toml");

const LEAST: &str = r#"
trust_domain = "example.org"
administrators = ["spiffe://example.org/administrator"]
[[trust]]
domain = "example.org"
bundle = "trust/example.org.pem"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/curfew/curfew.toml"))
}

/// `text` with its line for `field` replaced, or with a new line in front.
fn with(field: &str, line: &str) -> String {
    let is_field = |text: &str| text.split('=').next().is_some_and(|name| name.trim() == field);
    let mut found = false;
    let mut lines: Vec<&str> = Vec::new();
    for text in SAMPLE.lines() {
        let hit = is_field(text);
        found |= hit;
        lines.push(if hit { line } else { text });
    }
    assert!(found, "the sample has no field {field}");
    lines.join("\n")
}

#[track_caller]
fn refused(text: &str, field: &str, reason: &str) {
    let error = parse(text).expect_err("contradicts itself").to_string();
    assert!(error.contains(&format!("{field}: ")) && error.contains(reason), "{error}");
}

#[test]
fn the_sample_is_the_defaults() {
    assert_eq!(parse(SAMPLE).expect("the sample"), parse(LEAST).expect("the least"));
}

/// The configuration of the page on SCIM, behind the least there is.
fn provisioning() -> String {
    let page = include_str!("../../../docs/scim.md");
    let block = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).expect("a configuration");
    format!("{LEAST}{block}")
}

#[test]
fn a_source_is_configured_as_its_page_says_and_not_otherwise() {
    let config = parse(&provisioning()).expect("as it is written");
    let [client] = &*config.clients else { panic!("one client") };
    assert_eq!((client.rules.source.as_str(), client.rules.max_ended.in_percent()), ("entra", 10));
    assert_eq!(client.rules.fallback.business_owner.as_ref().map(|contact| contact.as_str()), Some("cto@example.org"));
    let with = |from: &str, to: &str| provisioning().replace(from, to);
    refused(&with("\"entra\"", "\"En tra\""), "source.name", "is not a source name");
    refused(&with("token_hash = \"", "token_hash = \"0"), "source.token_hash", "curfew source token");
    for share in ["101%", "10", "-1%"] {
        let error = parse(&with("10%", share)).expect_err("no share").to_string();
        assert!(error.contains(&format!("`{share}` is not a share")), "{error}");
    }
    refused(&with("256MiB", "9GiB"), "source.max_bytes", "1B to 8GiB");
    let twice = format!("{}{}", provisioning(), provisioning().replace(LEAST, ""));
    refused(&twice, "source.name", "declared more than once");
    refused(&twice.replacen("\"entra\"", "\"okta\"", 1), "source.token_hash", "the same token");
}

/// Each source of the page on sources, as it is written there.
fn sources_of_the_page() -> Vec<String> {
    let page = include_str!("../../../docs/sources.md");
    let blocks = page.split("```toml").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(|block| block.split("[[source]]").skip(1)).map(|source| format!("[[source]]{source}")).collect()
}

#[test]
fn every_source_of_the_page_is_one_and_all_of_them_together() {
    let sources = sources_of_the_page();
    let config = parse(&format!("{LEAST}{}", sources.concat())).expect("as it is written");
    assert_eq!(config.sources.len(), sources.len());
    let words: BTreeSet<&str> = config.sources.iter().map(|source| source.declared.kind.as_str()).collect();
    assert_eq!(words.into_iter().collect::<Vec<_>>(), ["feed", "folder", "sql"]);
}

#[test]
fn the_page_on_reconciliation_writes_the_defaults_but_for_what_is_done() {
    let page = include_str!("../../../docs/reconciliation.md");
    let block = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).expect("a configuration");
    let mut expected = parse(LEAST).expect("the least").reconciling;
    expected.actions.extend([(FindingKind::Orphan, FindingAction::Revoke), (FindingKind::Dormant, FindingAction::Suspend)]);
    assert_eq!(parse(&format!("{LEAST}{block}")).expect("as it is written").reconciling, expected);
}

#[test]
fn what_shows_that_an_identity_is_shared_is_refused_with_what_to_write() {
    for (shared_by, told) in [("[]", "set actions.shared to ignore"), ("[\"hosts\"]", "`hosts` is not one of: keys, places")] {
        refused(&format!("{LEAST}[reconcile]\nshared_by = {shared_by}\n"), "reconcile.shared_by", told);
    }
    assert!(parse(&format!("{LEAST}[reconcile]\nshared_by = [\"keys\", \"places\"]\n")).is_ok());
}

#[test]
fn a_feed_is_refused_with_what_to_write() {
    let page = sources_of_the_page();
    let page: Vec<&String> = page.iter().filter(|source| source.contains("\"feed\"")).collect();
    let feed = |at: usize, from: &str, to: &str| {
        let source = page[at];
        assert!(source.contains(from), "{from}");
        format!("{LEAST}{}", source.replace(from, to))
    };
    for (at, from, to, field, told) in [
        (0, "holds = [\"people\"]", "holds = [\"people\", \"contracts\"]", "holds", "one row is one record"),
        (0, "holds = [\"people\"]", "holds = [\"persons\"]", "holds", "`persons` is not one of: owners, environments"),
        (0, "id = \"mail\"", "name = \"mail\"", "columns", "has no field `name`"),
        (0, "https://", "http://", "url", "`allow_http = true`"),
        (0, "https://", "https://user:word@", "url", "without a user in it"),
        (0, "https://", "file://", "url", "write https://host/path"),
        (0, "allow_http = false", "path = \"x.json\"", "path", "either the `path` of a file or a `url`"),
        (0, "people.json", "people", "format", "write \"csv\" or \"json\""),
        (0, "items =", "delimiter = \";\"\nitems =", "delimiter", "JSON has none"),
        (0, "timeout = \"60s\"", "timeout = \"0s\"", "timeout", "1s to 1h"),
        (0, "max_bytes = \"64MiB\"", "max_bytes = \"2GiB\"", "max_bytes", "1B to 1GiB"),
        (0, "max_rows = 1000000", "max_rows = 0", "max_rows", "from 1 to 10000000"),
        (1, "delimiter = \";\"", "delimiter = \"ab\"", "delimiter", "write one character"),
        (1, "delimiter = \";\"", "items = \"a\"", "items", "it is for JSON"),
        (1, "delimiter = \";\"", "allow_private = true", "path", "are for a `url`"),
        (1, "path = \"export/contracts.csv\"", "", "path", "either the `path` of a file or a `url`"),
        (2, "purpose =", "porpoise =", "columns", "a workload has no field `porpoise`"),
    ] {
        refused(&feed(at, from, to), &format!("source.{field}"), told);
    }
    for (at, from, to, field, told) in [
        (3, "covers = \"spiffe://example.org/payments/\"", "covers = \"spiffe://example.org/pay\"", "covers", "up to a `/`"),
        (3, "every =", "complete = true\nevery =", "complete", "it is for people"),
        (1, "delimiter =", "covers = \"spiffe://x/\"\ndelimiter =", "covers", "it is for an inventory"),
    ] {
        refused(&feed(at, from, to), &format!("source.{field}"), told);
    }
    let open = page[0].replace("https://", "http://").replace("allow_http = false", "allow_http = true");
    refused(&format!("{LEAST}{open}"), "source.authorization_file", "for everybody to read");
}

#[test]
fn a_query_is_refused_with_what_to_write() {
    let page = sources_of_the_page();
    let page: Vec<&String> = page.iter().filter(|source| source.contains("\"sql\"")).collect();
    for (at, from, to, field, told) in [
        (0, "curfew@", "curfew:word@", "url", "`password_file`"),
        (0, "curfew@", "", "url", "write postgresql://user@host/database"),
        (0, "postgresql://", "mysql:", "url", "write postgresql://user@host/database"),
        (0, "take_over = false", "allow_plain = true", "allow_plain", "on this machine alone"),
        (0, "take_over = false", "allow_plain = true", "cacert", "nobody vouches"),
        (0, "timeout = \"60s\"", "timeout = \"2h\"", "timeout", "1s to 1h"),
        (0, "max_rows = 1000000", "max_rows = 0", "max_rows", "from 1 to 10000000"),
        (0, "holds = [\"people\"]", "holds = []", "holds", "say what it is authoritative for"),
        (1, "allow_plain = true", "", "url", "a socket has no TLS"),
        (1, "query = \"", "query = \" \" # ", "query", "a row for each record"),
    ] {
        assert!(page[at].contains(from), "{from}");
        refused(&format!("{LEAST}{}", page[at].replace(from, to)), &format!("source.{field}"), told);
    }
    let text = format!("{LEAST}{}", page[0].replace("curfew@", "curfew:word@"));
    assert!(!parse(&text).expect_err("a password").to_string().contains("word@"));
}

#[test]
fn the_sample_names_every_field() {
    let raw = parse(SAMPLE).expect("the sample").raw;
    let toml::Value::Table(table) = toml::Value::try_from(&raw).expect("a table") else { panic!("a table") };
    let server = ["worker_threads", "unseal_with", "certificate", "key", "crl_url", "lists"];
    let hsm = ["module", "token", "pin_file", "token_key", "issuer_key", "list_key"];
    let optional = [server, hsm].concat();
    let optional: Vec<String> = optional.iter().map(|name| format!("# {name} = ")).collect();
    assert!(optional.iter().all(|line| SAMPLE.contains(line)));
    let inner = table.values().filter_map(toml::Value::as_table).flat_map(toml::Table::keys);
    for field in table.keys().chain(inner) {
        let named = SAMPLE.lines().any(|line| line.starts_with(&format!("{field} =")) || line.contains(&format!("[{field}]")));
        assert!(named, "{field} is missing in the sample");
    }
}

#[test]
fn what_is_in_force_reads_back_as_the_same() {
    for text in [SAMPLE.to_owned(), LEAST.to_owned(), with("names", "certificate = \"server.pem\"\nkey = \"/keys/server.key\"")] {
        let config = parse(&text).expect("sound");
        let effective = toml::to_string(&config.effective()).expect("writable");
        assert_eq!(parse(&effective).expect("sound"), config);
    }
}

#[test]
fn relative_paths_are_meant_from_the_folder_of_the_file() {
    let config = parse(&with("keys_dir", "keys_dir = \"/secure/keys\"")).expect("sound");
    assert_eq!(config.data_dir, Path::new("/etc/curfew/data"));
    assert_eq!(config.keys_dir, Path::new("/secure/keys"));
    assert_eq!(config.trust.values().next().map(PathBuf::as_path), Some(Path::new("/etc/curfew/trust/example.org.pem")));
}

#[test]
fn an_unknown_field_is_refused_by_name_anywhere() {
    let at_top = format!("colour = 1\n{SAMPLE}");
    for text in [at_top, with("grpc", "grcp = \"127.0.0.1:1\""), with("bundle", "bundel = \"a\""), with("drain", "drian = \"1s\"")] {
        let error = parse(&text).expect_err("unknown field");
        assert!(matches!(&error, ConfigError::Syntax { .. }), "{error}");
        assert!(error.to_string().contains("unknown field"), "{error}");
    }
}

#[test]
fn what_has_no_default_is_required() {
    for (field, text) in [("trust_domain", LEAST.replace("trust_domain", "#")), ("administrators", LEAST.replace("administrators", "#"))] {
        let error = parse(&text).expect_err("missing").to_string();
        assert!(error.contains(field), "{error}");
    }
    refused("trust_domain = \"a\"\nadministrators = [\"spiffe://a/b\"]", "trust", "at least one [[trust]]");
}

#[test]
fn somebody_must_be_able_to_administer() {
    refused(&with("administrators", "administrators = []"), "administrators", "nothing could ever be revoked");
    refused(&with("administrators", "administrators = [\"admin\"]"), "administrators", "`admin`: a SPIFFE ID begins with");
    refused(&with("administrators", "administrators = [\"spiffe://other.org/a\"]"), "administrators", "no [[trust]] for other.org");
}

#[test]
fn a_trust_domain_is_well_formed_and_named_once() {
    refused(&with("trust_domain", "trust_domain = \"Example.org\""), "trust_domain", "`Example.org`");
    refused(&with("domain", "domain = \"\""), "trust.domain", "a trust domain is");
    refused(&format!("{SAMPLE}\n[[trust]]\ndomain = \"example.org\"\nbundle = \"b.pem\""), "trust", "named twice");
}

#[test]
fn the_public_url_is_https_and_stands_in_the_certificate() {
    for url in [
        "http://localhost:7480",
        "https://localhost:7480/",
        "https://localhost/a",
        "https://localhost?a",
        "localhost",
        "https://a@localhost",
        "",
    ] {
        refused(&with("public_url", &format!("public_url = \"{url}\"")), "public_url", "is not https://host");
    }
    refused(&with("public_url", "public_url = \"https://curfew.example.org\""), "public_url", "is not in server.names");
    for url in ["https://[::1]:7480", "https://127.0.0.1", "https://LOCALHOST:1"] {
        parse(&with("public_url", &format!("public_url = \"{url}\""))).expect(url);
    }
}

#[test]
fn the_server_certificate_comes_from_one_place() {
    refused(&with("names", "certificate = \"a.pem\""), "server.key", "needs its key");
    refused(&with("names", "key = \"a.key\""), "server.certificate", "needs its certificate");
    refused(&with("names", "names = [\"a\"]\ncertificate = \"a.pem\"\nkey = \"a.key\""), "server.names", "leave one of them out");
    refused(&with("names", "names = []"), "server.names", "at least one host");
    refused(&with("names", "names = [\"localhost\", \"a b\"]"), "server.names", "`a b` is neither");
}

#[test]
fn freshness_leaves_room_for_lost_beats() {
    refused(&with("heartbeat", "heartbeat = \"11s\""), "heartbeat", "more than a third of max_staleness (30s)");
    refused(&with("heartbeat", "heartbeat = \"0ms\""), "heartbeat", "more than 0ms");
    refused(&with("max_staleness", "max_staleness = \"999ms\""), "max_staleness", "at least 1s");
    refused(&with("max_staleness", "max_staleness = \"2h\""), "max_staleness", "at most 1h");
    parse(&with("heartbeat", "heartbeat = \"10s\"")).expect("a third");
}

#[test]
fn lists_for_stock_verifiers_are_built_in_time_and_cuts_are_known_for_as_long() {
    refused(&with("interval", "interval = \"201s\""), "lists.crl_lifetime", "less than three times lists.interval (201s)");
    refused(&with("interval", "interval = \"201s\""), "lists.status_lifetime", "less than three times lists.interval (201s)");
    refused(&with("interval", "interval = \"999ms\""), "lists.interval", "at least 1s");
    refused(&with("crl_lifetime", "crl_lifetime = \"61m\""), "lists.crl_lifetime", "at most 1h");
    refused(&with("status_lifetime", "status_lifetime = \"61m\""), "lists.status_lifetime", "at most 1h");
    refused(&with("status_ttl", "status_ttl = \"11m\""), "lists.status_ttl", "at most lists.status_lifetime");
    refused(&with("status_ttl", "status_ttl = \"0ms\""), "lists.status_ttl", "at least 1s");
    parse(&with("interval", "interval = \"200s\"")).expect("a third");
}

#[test]
fn crls_may_be_fetched_over_plain_http_and_are_found_at_the_public_url_if_nothing_is_said() {
    assert_eq!(parse(SAMPLE).expect("the sample").urls().crl, "https://localhost:7480");
    let naming = |url: &str| with("data_dir", &format!("data_dir = \"data\"\ncrl_url = \"{url}\""));
    assert_eq!(parse(&naming("http://crl.example.org:7481")).expect("plain").urls().crl, "http://crl.example.org:7481");
    for url in ["http://crl.example.org/", "ldap://crl.example.org", "crl.example.org", "http://a/b", ""] {
        refused(&naming(url), "crl_url", "is not http://host or https://host");
    }
    let listening = |address: &str| with("admin", &format!("admin = \"127.0.0.1:7490\"\nlists = \"{address}\""));
    refused(&listening("127.0.0.1:7490"), "listen.lists", "that of listen.admin too");
    assert!(parse(&listening("127.0.0.1:7481")).expect("free").listen.lists.is_some());
}

#[test]
fn a_duration_needs_its_unit() {
    let error = parse(&with("max_staleness", "max_staleness = \"30\"")).expect_err("no unit").to_string();
    assert!(error.contains("such as 30s") && error.contains("line "), "{error}");
}

#[test]
fn two_listeners_do_not_share_an_address_unless_it_is_any() {
    refused(&with("admin", "admin = \"127.0.0.1:7480\""), "listen.admin", "that of listen.public too");
    parse(&with("admin", "admin = \"127.0.0.1:0\"").replace("127.0.0.1:7480\"", "127.0.0.1:0\"")).expect("any free port");
}

#[test]
fn limits_leave_room_to_work() {
    for field in [
        "connections",
        "identity_connections",
        "handshakes",
        "streams",
        "workload_rate",
        "owner_rate",
        "administrator_rate",
        "source_rate",
        "workload_live",
        "owner_tasks",
        "identity_watches",
        "watches",
    ] {
        refused(&with(field, &format!("{field} = 0")), &format!("limits.{field}"), "at least 1");
    }
    refused(&with("handshakes", "handshakes = 5000"), "limits.handshakes", "at most limits.connections");
    refused(&with("handshake_time", "handshake_time = \"0s\""), "limits.handshake_time", "above zero");
    refused(&with("headers", "headers = \"1KiB\""), "limits.headers", "between 4KiB and 1MiB");
    refused(&with("call", "call = \"10ms\""), "limits.call", "at least 1s");
    refused(&with("message", "message = \"1KiB\""), "limits.message", "between 4KiB and 1GiB");
    refused(&with("identity_in_flight", "identity_in_flight = \"15MiB\""), "limits.identity_in_flight", "one request has to fit");
    refused(&with("in_flight", "in_flight = \"63MiB\""), "limits.in_flight", "at least twice");
    refused(&format!("worker_threads = 0\n{SAMPLE}"), "worker_threads", "at least 1");
}

#[test]
fn a_module_that_holds_no_key_is_a_mistake() {
    let hsm = "[pkcs11]\nmodule = \"m.so\"\ntoken = \"curfew\"\npin_file = \"pin\"\n";
    refused(&format!("{LEAST}{hsm}"), "pkcs11", "at least one of token_key, issuer_key and list_key");
    let hsm = format!("{hsm}token_key = \"curfew-token\"\n");
    refused(&format!("{LEAST}{hsm}sign_time = \"50ms\"\n"), "pkcs11.sign_time", "between 100ms and 30s");
    refused(&format!("{LEAST}{hsm}sessions = 0\n"), "pkcs11.sessions", "between 1 and 64");
    let config = parse(&format!("{LEAST}{hsm}")).expect("sound");
    assert_eq!(config.key_labels(KeyPurpose::Token), ["curfew-token"]);
    let files: Vec<KeyPurpose> = config.key_files().expect("no folder yet").into_iter().map(|(purpose, _)| purpose).collect();
    assert_eq!(files, [KeyPurpose::Issuer, KeyPurpose::List, KeyPurpose::Checkpoint]);
    let effective = toml::to_string(&config.effective()).expect("writable");
    assert!(effective.contains("/etc/curfew/m.so") && parse(&effective).expect("sound") == config, "{effective}");
}

#[test]
fn a_key_is_changed_no_sooner_than_its_successor_can_be_found() {
    let keys = |fields: &str| format!("{LEAST}[keys]\n{fields}\n");
    refused(&keys("announce = \"20d\""), "keys.rotate_every.token", "at least twice the time");
    refused(&keys("announce = \"0s\""), "keys.announce", "at least 1s");
    parse(&keys("rotate_every = { token = \"0s\" }\nannounce = \"40d\"")).expect("changed by hand alone");
}

#[test]
fn a_next_key_of_a_module_follows_another_of_it() {
    let hsm = |fields: &str| format!("{LEAST}[pkcs11]\nmodule = \"m.so\"\ntoken = \"curfew\"\npin_file = \"pin\"\n{fields}");
    let config = parse(&hsm("token_key = \"a\"\nnext_token_key = \"b\"\n")).expect("sound");
    assert_eq!(config.key_labels(KeyPurpose::Token), ["a", "b"]);
    refused(&hsm("token_key = \"a\"\nnext_token_key = \"a\"\n"), "pkcs11", "name both");
    refused(&hsm("token_key = \"a\"\nnext_list_key = \"b\"\n"), "pkcs11", "name both");
}

#[test]
fn a_log_filter_that_means_nothing_is_refused() {
    refused(&with("filter", "filter = \"curfew=loud\""), "log.filter", "curfew=loud");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = with("administrators", "administrators = []").replace("heartbeat = \"2s\"", "heartbeat = \"20s\"");
    let ConfigError::Invalid { problems, .. } = parse(&text).expect_err("two problems") else { panic!("understood") };
    assert_eq!(problems.iter().map(|problem| problem.field).collect::<Vec<_>>(), ["administrators", "heartbeat"]);
}

#[test]
fn the_operators_key_is_refused_if_others_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("curfew.toml");
    files::create_file(&path, with("names", "certificate = \"s.pem\"\nkey = \"s.key\"")).expect("new");
    files::create_file(&folder.path().join("s.pem"), "chain").expect("new");
    files::create_secret(&folder.path().join("s.key"), "key").expect("new");
    let config = Config::load(&path).expect("sound");
    let (chain, key) = config.server_certificate().expect("ours").expect("files");
    assert_eq!((chain.as_str(), key.as_str()), ("chain", "key"));
    std::fs::set_permissions(folder.path().join("s.key"), std::fs::Permissions::from_mode(0o644)).expect("ours");
    assert!(matches!(config.server_certificate(), Err(ConfigError::Named { field: "server.key", error: FileError::Open { .. }, .. })));
}

#[test]
fn what_a_field_names_and_is_not_there_is_told_with_the_field_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = |text: &str, read: &dyn Fn(&Config) -> Option<ConfigError>| {
        let config = Config::parse(text, &folder.path().join("curfew.toml")).expect("sound");
        read(&config).expect("nothing is there").to_string()
    };
    let sealed = SAMPLE.replace("# unseal_with = ", "unseal_with = ");
    let brought = with("names", "certificate = \"s.pem\"\nkey = \"s.key\"");
    let keys = |config: &Config| config.keys(&Entropy::system()).err();
    for (error, field, path, remedy) in [
        (said(SAMPLE, &|config| config.policies().err()), "policies_dir", "policies", "`curfew init` writes a default set"),
        (said(SAMPLE, &|config| config.trust_bundles().err()), "trust.bundle", "trust/example.org.pem", "put the certificates"),
        (said(SAMPLE, &keys), "keys_dir", "keys/token.key", "from a backup"),
        (said(&sealed, &keys), "unseal_with", "", "put the secret there"),
        (said(&brought, &|config| config.server_certificate().err()), "server.certificate", "s.pem", "issues its own"),
    ] {
        assert!(error.starts_with(&format!("{field}: cannot ")) && error.contains(path) && error.contains(remedy), "{error}");
    }
}
