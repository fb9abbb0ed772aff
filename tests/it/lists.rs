//! What is public, over HTTPS as a stranger fetches it: media types, entity tags, deltas; and a
//! follower that is shown a history which went back.

use std::collections::BTreeSet;
use std::time::Duration;

use curfew::formats::checkpoint::{self, Checkpoint};
use curfew::formats::jwk::Ed25519;
use curfew::formats::keyset::Keys;
use curfew::formats::list::{List, MAX_LIST};
use curfew::formats::{jws, list};
use curfew::model::KeyPurpose;
use curfew::verify::{Applied, ListRejected, Rejected};
use serde_json::Value;

use crate::harness::{AUDIENCE, Broker, eventually};
use crate::holder::Holder;
use crate::https::{Answer, get, send};
use crate::service::Service;

const LISTS: &str = "/v1/revocations";

/// Every public document: its media type, and how it may be cached.
const DOCUMENTS: [(&str, &str, &str); 8] = [
    ("/.well-known/jwks.json", "application/json", "public, max-age=60"),
    ("/.well-known/openid-configuration", "application/json", "public, max-age=60"),
    ("/v1/keys", "application/json", "public, max-age=60"),
    ("/v1/bundle", "application/json", "public, max-age=60"),
    (LISTS, "application/jwt", "no-cache"),
    ("/v1/checkpoint", "text/plain; charset=utf-8", "no-cache"),
    ("/v1/status", "application/json", "public, max-age=60"),
    ("/v1/status/0", "application/statuslist+jwt", "public, max-age=60"),
];

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

/// What a list says; whether it is signed is for the verifier.
fn read(answer: &Answer) -> List {
    let jws = jws::parse(&answer.body, MAX_LIST).unwrap();
    assert_eq!(jws.typ, list::TYP);
    List::decode(&jws.payload).unwrap()
}

fn revoke(broker: &Broker, owner: &str) -> u64 {
    let line = ["owner", "revoke", owner, "--reason", "cessation-of-operation", "--wait", "published", "--field", "position"];
    broker.curfew(&broker.administrator(), line).done().trim().parse().unwrap()
}

/// A token, and what is presented with it.
fn issue(broker: &Broker, workload: &str) -> (String, Holder) {
    let identity = broker.identity(workload);
    let line = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--field", "token"];
    (broker.curfew(&identity, line).done().trim().to_owned(), Holder::of(&identity))
}

#[test]
fn each_document_is_what_it_says_and_is_only_read() {
    let broker = Broker::start();
    for (path, media_type, caching) in DOCUMENTS {
        let got = get(&broker, path);
        let said = ["content-type", "cache-control", "x-content-type-options"].map(|name| got.header(name));
        assert_eq!(said, [media_type, caching, "nosniff"], "{path}");
        let tag = got.header("etag");
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{path}: {tag} is not a strong entity tag");
        let head = send(&broker, "HEAD", path, &[]);
        assert_eq!((head.status, head.header("content-type"), head.body.as_str()), (200, media_type, ""), "{path}");
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let refused = send(&broker, method, path, &[("Content-Length", "0")]);
            assert_eq!((refused.status, refused.header("content-type")), (405, "application/problem+json"), "{method} {path}");
            assert!(refused.header("allow").contains("GET"), "{method} {path}");
        }
    }
    for path in ["/", "/v1", "/v1/", "/v1/revocations/", "/v1/KEYS", "/v1/../v1/keys", "//v1/keys", "/metrics", "/livez", "/v1/crl"] {
        let missing = send(&broker, "GET", path, &[]);
        assert_eq!((missing.status, missing.header("content-type")), (404, "application/problem+json"), "{path}");
    }
}

#[test]
fn stock_libraries_find_the_keys_of_tokens_and_no_others() {
    let broker = Broker::start();
    let keys = Keys::from_json(&get(&broker, "/v1/keys").body).unwrap();
    let of_tokens: BTreeSet<&str> =
        keys.keys.iter().filter(|(_, key)| key.purpose == KeyPurpose::Token).map(|(_, key)| key.kid.as_str()).collect();
    assert!(!of_tokens.is_empty() && of_tokens.len() < keys.keys.len(), "{keys:?}");
    let jwks = json(&get(&broker, "/.well-known/jwks.json"));
    let found: BTreeSet<&str> = jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert_eq!(found, of_tokens);
    assert!(jwks["keys"].as_array().unwrap().iter().all(|key| key["alg"] == "ES256" && key["use"] == "sig" && key.get("d").is_none()));

    let discovered = json(&get(&broker, "/.well-known/openid-configuration"));
    assert_eq!(discovered["issuer"], keys.issuer);
    assert_eq!(discovered["jwks_uri"], format!("{}/.well-known/jwks.json", keys.issuer));
    let bundle = json(&get(&broker, "/v1/bundle"));
    assert!(bundle["spiffe_sequence"].as_u64() > Some(0), "{bundle}");
}

#[test]
fn the_checkpoint_is_signed_and_moves_with_the_ledger() {
    let broker = Broker::start();
    let keys = Keys::from_json(&get(&broker, "/v1/keys").body).unwrap();
    let (_, key) = keys.keys.iter().find(|(_, key)| key.purpose == KeyPurpose::Checkpoint).unwrap();
    let key = Ed25519::from_spki(&key.material).unwrap();
    let read = || {
        let note = get(&broker, "/v1/checkpoint").body;
        Checkpoint::decode(&note, &checkpoint::origin(&keys.trust_domain), &key).unwrap()
    };
    let before = read();
    assert_eq!(before, read(), "nothing has happened");
    let cut = revoke(&broker, "payments");
    let after = read();
    assert!(after.size.get() >= cut && cut > before.size.get() && after.root != before.root, "{before:?} {after:?}");
    assert_eq!(after.epoch, before.epoch);
}

#[test]
fn who_holds_the_same_list_is_told_so_and_who_holds_another_gets_the_new_one() {
    let broker = Broker::start();
    let held = |answer: &Answer| send(&broker, "GET", LISTS, &[("If-None-Match", answer.header("etag"))]);
    // A fresh list is signed at each beat, so one of a few attempts falls between two beats.
    let (got, same) = eventually(Duration::from_secs(10), || {
        let got = get(&broker, LISTS);
        let same = held(&got);
        (same.status == 304).then_some((got, same))
    });
    assert_eq!((same.body.as_str(), same.header("etag"), same.header("cache-control")), ("", got.header("etag"), "no-cache"));

    let cut = revoke(&broker, "payments");
    let next =
        eventually(Duration::from_secs(10), || Some(held(&got)).filter(|next| next.status == 200 && read(next).position.get() >= cut));
    assert_ne!(next.header("etag"), got.header("etag"));
    assert!(read(&next).cuts.iter().any(|cut_| cut_.position.get() == cut));
}

#[test]
fn a_delta_says_what_came_since_and_an_unknown_point_gets_the_whole_list() {
    let broker = Broker::start();
    let first = revoke(&broker, "acme");
    let service = Service::covering(&broker, first);
    let whole = read(&get(&broker, LISTS));
    let known = whole.position.get();
    service.apply(&get(&broker, LISTS).body).unwrap();
    let second = revoke(&broker, "payments");
    let since = |position: u64| get(&broker, &format!("{LISTS}?since={position}"));

    let delta = eventually(Duration::from_secs(10), || Some(since(known)).filter(|delta| read(delta).position.get() >= second));
    let said = read(&delta);
    assert_eq!((said.since.map(|since| since.get()), said.epoch), (Some(known), whole.epoch));
    assert_eq!(said.cuts.iter().map(|cut| cut.position.get()).collect::<Vec<_>>(), [second]);
    let fetched = service.position();
    assert!(fetched >= known);
    assert_eq!(service.apply(&delta.body), Ok(Applied::Advanced(said.position)));

    // Never published, not yet there, not of this ledger: the whole list, which always can be used.
    for unknown in [1, second + 1_000_000, u64::MAX / 2] {
        let snapshot = read(&since(unknown));
        assert_eq!(snapshot.since, None, "since {unknown}");
        let cuts: Vec<u64> = snapshot.cuts.iter().map(|cut| cut.position.get()).collect();
        assert_eq!(cuts, [first, second], "since {unknown}");
    }
    for wrong in ["0", "-1", "x", "017", "", "1&since=2"] {
        let refused = send(&broker, "GET", &format!("{LISTS}?since={wrong}"), &[]);
        assert_eq!((refused.status, refused.header("content-type")), (400, "application/problem+json"), "since={wrong}");
        assert!(refused.body.contains("since"), "{}", refused.body);
    }
}

#[test]
fn a_list_that_goes_back_or_contradicts_what_is_known_is_refused() {
    let mut broker = Broker::start();
    let (token, holder) = issue(&broker, "payments/api");
    assert!(broker.stop().success());
    // The same history up to here, and another one from here on: as after a careless restore.
    let mut twin = broker.twin();
    broker.serve();
    let service = Service::of(&broker);
    service.token(&token, holder.presented()).expect("alive");
    let before = get(&broker, LISTS).body;
    let cut = revoke(&broker, "payments");
    let listed = eventually(Duration::from_secs(10), || Some(get(&broker, LISTS)).filter(|list| read(list).position.get() >= cut));
    service.apply(&listed.body).unwrap();
    let dead = |what: &str| {
        let checked = service.token(&token, holder.presented());
        assert!(matches!(checked, Err(Rejected::Revoked { .. })), "{what}: {checked:?}");
    };
    dead("its owner was revoked");

    assert_eq!(service.apply(&before), Ok(Applied::Ignored));
    dead("a list of before was shown");
    let foreign = Broker::start();
    assert_eq!(service.apply(&get(&foreign, LISTS).body), Err(ListRejected::Key));

    twin.serve();
    let known = service.position();
    assert_eq!(service.apply(&get(&twin, LISTS).body), Ok(Applied::Ignored), "it has not come as far");
    // It goes on without the revocation, and further than the service has come.
    let behind = || read(&get(&twin, LISTS)).position.get() <= known;
    eventually(Duration::from_secs(30), || {
        issue(&twin, "acme/reporting");
        (!behind()).then_some(())
    });
    let contradiction = service.apply(&get(&twin, LISTS).body);
    assert!(matches!(contradiction, Err(ListRejected::Fork(_))), "{contradiction:?}");
    dead("a history without its end was shown");
    assert_eq!(service.position(), known, "nothing advances");
    let honest = service.apply(&get(&broker, LISTS).body);
    assert!(matches!(honest, Err(ListRejected::Fork(_))), "until somebody looks: {honest:?}");
}
