//! What people write.

use std::path::PathBuf;

use crate::directory::{Draft, Names, yaml};
use crate::model::{SpiffeId, TrustDomain};
use crate::policy::Engine;

pub(super) fn spiffe_id(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(id) = text.parse::<SpiffeId>() else { return };
    assert_eq!(id.as_str(), text, "nothing is normalised");
    let domain = id.trust_domain();
    assert_eq!(domain.as_str().parse::<TrustDomain>().as_ref(), Ok(&domain), "the domain of an ID is one");
    assert_eq!(domain.id(id.path()), Ok(id), "an ID is its domain and its path");
}

/// What is read as a registry reads the same when it is written out again.
pub(super) fn registry(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let file = || PathBuf::from("registry.yaml");
    match yaml::read(vec![(file(), text.to_owned())], &Names::default()) {
        Ok(document) => {
            let again = serde_saphyr::to_string(&Draft::from(&document)).map_err(|error| error.to_string());
            let again = again.map(|written| yaml::read(vec![(file(), written)], &Names::default()));
            assert_eq!(again, Ok(Ok(document)), "a registry reads back");
        }
        Err(problems) => assert!(!problems.is_empty(), "a refusal says why"),
    }
}

/// A text that is valid is so for good: the ledger keeps it, and every start compiles it again.
pub(super) fn policy(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    compiles(text);
}

/// Any annotation of an otherwise good policy.
pub(super) fn policy_annotations(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    compiles(&format!("{text}\npermit (principal, action == Curfew::Action::\"IssueToken\", resource);"));
    compiles(&format!(
        "@max_ttl({})\npermit (principal, action == Curfew::Action::\"IssueToken\", resource);",
        serde_json::Value::from(text)
    ));
}

fn compiles(text: &str) {
    let Ok(file) = "a.cedar".parse() else { return };
    match Engine::compile(vec![(file, text.to_owned())]) {
        Ok(engine) => {
            let again = Engine::compile(engine.text().files.clone()).map(|again| (again.text().hash, again.names()));
            assert_eq!(again, Ok((engine.text().hash, engine.names())), "a policy text compiles again");
        }
        Err(problems) => assert!(!problems.is_empty(), "a refusal says why"),
    }
}
