//! What people write.

use std::path::PathBuf;

use crate::directory::{Draft, Names, scim, yaml};
use crate::model::{Position, SpiffeId, Timestamp, TrustDomain};
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
    match yaml::read(&[(file(), text.to_owned())], &Names::default()) {
        Ok(document) => {
            let again = serde_saphyr::to_string(&Draft::from(&document)).map_err(|error| error.to_string());
            let again = again.map(|written| yaml::read(&[(file(), written)], &Names::default()));
            assert_eq!(again, Ok(Ok(document)), "a registry reads back");
        }
        Err(problems) => assert!(!problems.is_empty(), "a refusal says why"),
    }
}

/// A user, as a client may have written it.
const USER: &str = r#"{"meta":{"resourceType":"User","created":"2026-09-21T14:13:20Z","lastModified":"2026-09-21T14:13:20Z"},
    "userName":"ada","externalId":"x","name":{"givenName":"Ada"},"emails":[{"value":"a@x","type":"work","primary":true},{"value":"b@x"}],"active":true}"#;

/// What a filter does not find, its negation finds.
pub(super) fn scim_filter(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Some(user) = scim::Resource::of(Position::new(7), Position::new(9), USER) else { return };
    let found = |filter: String| scim::Query::parse(scim::Kind::User, &[("filter".to_owned(), filter)]).map(|query| query.matches(&user));
    if let (Ok(found), Ok(negated)) = (found(text.to_owned()), found(format!("not ({text})"))) {
        assert_ne!(found, negated, "a filter and its negation");
    }
}

/// What a change leaves is a whole resource, which reads back.
pub(super) fn scim_patch(input: &[u8]) {
    let Some(user) = scim::Resource::of(Position::new(7), Position::new(9), USER) else { return };
    let Ok(body) = serde_json::from_slice(input) else { return };
    let kind = scim::Kind::User;
    let Ok(attributes) = scim::Patch::parse(kind, &body).and_then(|patch| patch.apply(kind, user.written())) else { return };
    let kept = scim::Resource::kept(kind, &attributes, user.created(), Timestamp::EPOCH);
    let again = scim::Resource::of(user.number, user.changed, &kept).map(|again| again.written());
    assert_eq!(again, Some(attributes), "a resource reads back");
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
