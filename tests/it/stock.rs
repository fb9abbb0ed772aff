//! CRLs and status lists at the real process: over plain HTTP, after a kill, and by the metrics.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use curfew::formats::crl;
use curfew::formats::jws;
use curfew::formats::status_list::{MAX_STATUS_LIST, StatusListToken, VALID};
use curfew::model::{CredentialId, Reason};
use serde_json::Value;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};

use crate::harness::{AUDIENCE, Broker, eventually, rounds};
use crate::process;

/// A broker that serves its lists over plain HTTP too.
fn prepare() -> Broker {
    let broker = Broker::prepare();
    let config = fs::read_to_string(broker.config()).unwrap();
    let listening = config.replace("# lists = \"127.0.0.1:7481\"", "lists = \"127.0.0.1:0\"");
    assert_ne!(listening, config);
    fs::write(broker.config(), listening).unwrap();
    broker
}

/// Gets something over plain HTTP: head and bytes.
fn get(broker: &Broker, path: &str) -> (String, Vec<u8>) {
    let mut tcp = TcpStream::connect(broker.addresses().lists.as_ref().expect("it listens there")).unwrap();
    write!(tcp, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).unwrap();
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    let body = answer.split_off(head + 4);
    (String::from_utf8(answer).unwrap(), body)
}

/// A certificate: its id, and where it says that its CRL is.
fn certificate(broker: &Broker, workload: &str) -> (CredentialId, String) {
    let folder = tempfile::tempdir_in(broker.scratch()).unwrap();
    let out = folder.path().join("leaf");
    let (identity, out) = (broker.identity(workload), out.to_str().unwrap());
    let line = ["cert", "issue", "--environment", "production", "--out", out, "--format", "json"];
    let issued: Value = broker.curfew(&identity, line).json();
    let leaf = fs::read(format!("{out}.pem")).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&leaf).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let point = certificate.extensions().iter().find_map(|extension| {
        let ParsedExtension::CRLDistributionPoints(points) = extension.parsed_extension() else { return None };
        points.points.first()?.distribution_point.clone()
    });
    let Some(DistributionPointName::FullName(names)) = point else { panic!("no point") };
    let [GeneralName::URI(uri)] = *names else { panic!("no URI") };
    (issued["credential_id"].as_str().unwrap().parse().unwrap(), uri.strip_prefix("https://localhost:7480").unwrap().to_owned())
}

fn revoke(broker: &Broker, owner: &str) {
    broker.curfew(&broker.administrator(), ["owner", "revoke", owner, "--reason", "affiliation-changed", "--wait", "committed"]).done();
}

#[test]
fn what_was_cut_before_a_kill_is_in_every_list_once_the_broker_listens_again() {
    let mut broker = prepare();
    broker.serve();
    broker.apply(crate::harness::REGISTRY);
    for _ in 0..rounds(3, 100) {
        let (id, path) = certificate(&broker, "acme/reporting");
        let line = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--field", "token"];
        let token = broker.curfew(&broker.identity("acme/reporting"), line).done();
        let claims: Value = serde_json::from_slice(&jws::parse(token.trim(), 1 << 14).unwrap().payload).unwrap();
        let (index, uri) = (&claims["status"]["status_list"]["idx"], claims["status"]["status_list"]["uri"].as_str().unwrap().to_owned());
        revoke(&broker, "acme");
        broker.restart();
        // The very first answers.
        let (_, der) = get(&broker, &path);
        assert!(crl::revoked(&der).unwrap().contains(&(id, Reason::AffiliationChanged)), "{id}");
        let (_, text) = get(&broker, uri.strip_prefix("https://localhost:7480").unwrap());
        let list = jws::parse(std::str::from_utf8(&text).unwrap(), MAX_STATUS_LIST).unwrap();
        let list = StatusListToken::decode(&list.payload).unwrap();
        assert_ne!(list.list.status(u32::try_from(index.as_u64().unwrap()).unwrap()), Some(VALID), "{uri} {index}");
        broker.curfew(&broker.administrator(), ["owner", "reinstate", "acme", "--note", "again"]).done();
    }
}

#[test]
fn a_running_broker_names_what_was_cut_within_seconds_and_says_so_in_its_metrics() {
    let mut broker = prepare();
    broker.serve();
    broker.apply(crate::harness::REGISTRY);
    let (id, path) = certificate(&broker, "payments/api");
    let (living, same) = certificate(&broker, "acme/reporting");
    assert_eq!(path, same);
    let (head, before) = get(&broker, &path);
    assert!(head.contains("content-type: application/pkix-crl") && head.contains("cache-control: public, max-age=60"), "{head}");
    assert_eq!(crl::revoked(&before), Some(Vec::new()));
    assert!(get(&broker, "/v1/keys").0.contains(" 404 "), "nothing else is served in the clear");
    revoke(&broker, "payments");
    let named = eventually(Duration::from_secs(10), || crl::revoked(&get(&broker, &path).1).filter(|named| !named.is_empty()));
    assert!(named.iter().any(|(named, _)| *named == id) && named.iter().all(|(named, _)| *named != living), "{named:?}");
    let metrics = process::get(&broker, "/metrics").1;
    for line in ["curfew_list_differences_total 0", "curfew_list_build_errors_total 0", "curfew_lists_dead 1", "curfew_crl_withheld 0"] {
        assert!(metrics.contains(&format!("\n{line}")), "{line}");
    }
    assert!(process::get(&broker, "/readyz").0.ends_with("200 OK"));
}
