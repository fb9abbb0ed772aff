//! A service is decommissioned: what was issued for it is accepted nowhere any more, and nothing else ends.

use serde_json::Value;

use crate::harness::{AUDIENCE, Broker, REGISTRY, program, run};
use crate::holder::{self, Holder};
use crate::service::Service;

const OTHER: &str = "
  - name: reports-api
    accepts: [tokens]
    audiences: [\"https://reports.example.org\"]
    environments: [production]
    verifier_kind: none
";

/// What `cred show` tells of a credential.
fn shown(broker: &Broker, id: &str) -> Value {
    broker.curfew(&broker.administrator(), ["cred", "show", id, "--format", "json"]).json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verifier_rejects_what_was_issued_for_a_downstream_that_is_gone_and_the_rest_lives_on() {
    let mut broker = Broker::start_empty();
    broker.apply(&format!("{}{OTHER}", REGISTRY.trim_end()));
    let identity = broker.identity("payments/api");
    let holder = Holder::of(&identity);
    let client = holder.connect(&broker).await;
    let token = holder::token(&client, "production", 0).await.unwrap();
    let (certificate, certified) = holder::certificate(&client, "production", 0).await.unwrap();
    let ask = ["token", "issue", "--environment", "production", "--audience", "https://reports.example.org", "--format", "json"];
    let other = broker.curfew(&identity, ask).json();
    let service = Service::of(&broker);
    assert!(service.token(&token.token, holder.presented()).is_ok());

    // What was issued for it ends, and it goes on.
    let revoke = ["downstream", "revoke", "ledger-api", "--reason", "key-compromise", "--wait", "published", "--format", "json"];
    let revoked = broker.curfew(&broker.administrator(), revoke).json();
    assert_eq!((revoked["ended"]["total"].as_u64(), revoked["repeated"].as_bool()), (Some(1), Some(false)), "{revoked}");
    let service = Service::covering(&broker, revoked["position"].as_u64().unwrap());
    assert_eq!(service.token(&token.token, holder.presented()).unwrap_err().code(), "REVOKED");
    assert!(service.certificate(&certified.leaf).is_ok());
    let repeated = broker.curfew(&broker.administrator(), revoke).json();
    assert_eq!((&repeated["position"], repeated["repeated"].as_bool()), (&revoked["position"], Some(true)));
    assert!(broker.curfew(&identity, revoke).exits(2).stderr.contains("POLICY_DENIED"));
    let token = holder::token(&client, "production", 0).await.unwrap();
    assert!(service.token(&token.token, holder.presented()).is_ok());

    // The ledger service goes; the file still names the other two.
    let (before, rest) = REGISTRY.split_once("  - name: ledger-api").unwrap();
    let (_, mesh) = rest.split_once("  - name: mesh").unwrap();
    let without = format!("{before}  - name: mesh{}{OTHER}", mesh.trim_end());
    std::fs::write(broker.scratch().join("without.yaml"), &without).unwrap();
    let file = broker.scratch().join("without.yaml");
    let difference = broker.curfew(&broker.administrator(), ["registry", "diff", file.to_str().unwrap(), "--format", "json"]).json();
    let change = &difference["changes"][0];
    assert_eq!((change["action"].as_str(), change["name"].as_str(), change["living"].as_u64()), (Some("end"), Some("ledger-api"), Some(1)));
    broker.apply(&without);

    let head = shown(&broker, &token.issuance.as_ref().unwrap().credential_id);
    let cut = head["cut"]["position"].as_u64().unwrap_or_else(|| panic!("it has not ended: {head}"));
    assert_eq!(head["cut"]["subject"].as_str(), Some("downstream"), "{head}");
    let service = Service::covering(&broker, cut);
    assert_eq!(service.token(&token.token, holder.presented()).unwrap_err().code(), "REVOKED");
    assert!(service.certificate(&certified.leaf).is_ok(), "a certificate is for every downstream of its environment");
    for id in [&certificate.credential_id, other["credential_id"].as_str().unwrap()] {
        assert_eq!(shown(&broker, id)["state"].as_str(), Some("alive"));
    }
    let list = ["cred", "list", "--owner", "payments", "--live", "--format", "json"];
    let listed = broker.curfew(&broker.administrator(), list).json();
    let alive: Vec<_> = listed["credentials"].as_array().unwrap().iter().filter_map(|one| one["credential_id"].as_str()).collect();
    assert_eq!(alive, [other["credential_id"].as_str().unwrap(), &certificate.credential_id]);

    // Named again, it is a new one: what is issued for it is accepted, what died stays dead.
    broker.apply(&format!("{}{OTHER}", REGISTRY.trim_end()));
    let again = holder::token(&client, "production", 0).await.unwrap();
    let service = Service::covering(&broker, cut);
    assert!(service.token(&again.token, holder.presented()).is_ok());
    assert!(service.token(&token.token, holder.presented()).is_err());
    assert!(broker.stop().success());
    let verified = run(program().args(["ledger", "verify"]).arg(broker.dir().join("data/ledger.db")).args(["--format", "json"])).json();
    assert!(verified["entries"].as_u64().unwrap() > cut, "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verifier_rejects_what_was_issued_for_a_downstream_that_is_suspended_and_takes_what_comes_after_it_is_reinstated() {
    let mut broker = Broker::start();
    let administrator = broker.administrator();
    let identity = broker.identity("payments/api");
    let holder = Holder::of(&identity);
    let client = holder.connect(&broker).await;
    let before = holder::token(&client, "production", 0).await.unwrap();
    let (_, certified) = holder::certificate(&client, "production", 0).await.unwrap();
    let ended = ["--reason", "privilege-withdrawn", "--wait", "published", "--format", "json"];
    let suspend: Vec<&str> = ["downstream", "suspend", "ledger-api"].into_iter().chain(ended).collect();
    let dry = broker.curfew(&administrator, suspend.iter().chain(&["--dry-run"])).json();
    assert_eq!((dry["position"].as_u64(), dry["ended"]["total"].as_u64()), (None, Some(1)), "{dry}");
    let cut = broker.curfew(&administrator, &suspend).json();
    assert_eq!((cut["ended"]["total"].as_u64(), cut["stage"].as_str()), (Some(1), Some("published")), "{cut}");

    let service = Service::covering(&broker, cut["position"].as_u64().unwrap());
    assert_eq!(service.token(&before.token, holder.presented()).unwrap_err().code(), "REVOKED");
    assert!(service.certificate(&certified.leaf).is_ok());
    let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];
    let standing = |broker: &Broker| {
        let listed = broker.curfew(&administrator, ["downstream", "list", "--format", "json"]).json();
        let standings: Vec<_> =
            listed["downstreams"].as_array().unwrap().iter().map(|one| one["standing"].as_str().unwrap().to_owned()).collect();
        let shown = broker.curfew(&administrator, ["downstream", "show", "ledger-api", "--field", "standing"]).done();
        assert_eq!(shown.trim(), standings[0], "{listed}");
        standings
    };
    // Nor when the broker is back.
    for restart in [false, true] {
        if restart {
            broker.restart();
        }
        let refused = broker.curfew(&identity, ask).exits(2).stderr;
        assert!(refused.contains("DOWNSTREAM_NOT_ACTIVE") && refused.contains("downstream ledger-api"), "{refused}");
        assert_eq!(standing(&broker), ["suspended", "active"]);
    }
    let repeated = broker.curfew(&administrator, &suspend).json();
    assert_eq!((&repeated["position"], repeated["repeated"].as_bool()), (&cut["position"], Some(true)));
    broker.curfew(&identity, &suspend).exits(2);

    let reinstate = ["downstream", "reinstate", "ledger-api", "--note", "it is repaired", "--format", "json"];
    broker.curfew(&identity, reinstate).exits(2);
    assert_eq!(broker.curfew(&administrator, reinstate).json()["was_active"].as_bool(), Some(false));
    assert_eq!(broker.curfew(&administrator, reinstate).json()["was_active"].as_bool(), Some(true));
    assert_eq!(standing(&broker), ["active", "active"]);
    let client = holder.connect(&broker).await;
    let after = holder::token(&client, "production", 0).await.unwrap();
    let service = Service::covering(&broker, after.issuance.as_ref().unwrap().position);
    assert!(service.token(&after.token, holder.presented()).is_ok());
    assert_eq!(service.token(&before.token, holder.presented()).unwrap_err().code(), "REVOKED");
    assert!(broker.stop().success());
    run(program().args(["ledger", "verify"]).arg(broker.dir().join("data/ledger.db"))).done();
}
