//! `certs/make`: identities as an organisation's own PKI would issue them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{AUDIENCE, Broker, Identity, REGISTRY, run};

#[test]
fn an_identity_of_an_authority_that_was_made_with_openssl_gets_a_token_once_its_bundle_is_trusted() {
    let mut broker = Broker::prepare();
    let made = broker.scratch().join("made");
    let make = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs/make");
    let arguments = ["example.org", "payments/api"];
    run(Command::new(&make).arg(&made).args(arguments)).done();
    let again = run(Command::new(&make).arg(&made).args(arguments)).exits(1);
    assert!(again.stderr.contains("exists"), "nothing is overwritten: {again:?}");

    broker.serve();
    broker.apply(REGISTRY);
    let workload = Identity::at(&made.join("payments-api"));
    let issue = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--field", "token"];
    assert_ne!(broker.curfew(&workload, issue).code, 0, "nobody vouches for it yet");
    assert!(broker.stop().success());

    let bundle = broker.dir().join("trust/example.org.pem");
    let authorities = [&bundle, &made.join("ca.pem")].map(|file| fs::read_to_string(file).unwrap());
    fs::write(&bundle, authorities.concat()).unwrap();
    broker.serve();
    let token = broker.curfew(&workload, issue).done();
    assert_eq!(token.trim().split('.').count(), 3, "{token}");
}
