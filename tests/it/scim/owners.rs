//! What a group says of its owner in the extension: one that is inactive, or whose contract is moved to now, is
//! offboarded, and a verifier rejects what was issued before, whatever is said later.

use std::time::Duration;

use curfew::ambient::Clock;
use curfew::model::Timestamp;
use serde_json::{Value, json};

use super::{GROUP, Provisioned, operations, with_refunds};
use crate::harness::{AUDIENCE, Identity, Ran, eventually};
use crate::holder::Holder;
use crate::service::Service;

const OWNER: &str = "urn:curfew:params:scim:schemas:extension:1.0:Owner";

/// When a contract ends that is not over for long.
const LATE: &str = "2099-12-31T23:00:00Z";

/// The group `Refunds` of a source, and a workload of its owner.
struct Refunds {
    world: Provisioned,
    group: String,
    workload: Identity,
}

impl Refunds {
    /// One of which this is said.
    fn start(said: &Value) -> Self {
        let world = Provisioned::start();
        let group = world.create("/Groups", &json!({ "schemas": [GROUP, OWNER], "displayName": "Refunds", OWNER: said }));
        world.broker.apply(&with_refunds());
        let workload = world.broker.identity("refunds/api");
        Self { world, group: format!("/Groups/{group}"), workload }
    }

    /// Says something else of its owner; the entry that records it.
    fn say(&self, name: &str, value: &Value) -> u64 {
        let change = operations(&json!([{ "op": "replace", "path": format!("{OWNER}:{name}"), "value": value }]));
        let changed = self.world.ask("PATCH", &self.group, &change, 200);
        assert_eq!(&changed[OWNER][name], value, "{changed}");
        let version = changed["meta"]["version"].as_str().unwrap();
        version.trim_start_matches("W/\"").trim_end_matches('"').parse().unwrap()
    }

    fn issue(&self) -> Ran {
        let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--field", "token"];
        self.world.broker.curfew(&self.workload, ask)
    }

    /// What a service says that has heard of this entry: nothing if it takes the token.
    fn verdict(&self, token: &str, entry: u64) -> Option<&'static str> {
        let service = Service::covering(&self.world.broker, entry);
        service.token(token.trim(), Holder::of(&self.workload).presented()).err().map(|rejected| rejected.code())
    }

    /// It is refused, and soon as one whose owner is closed.
    fn is_offboarded(&self) {
        self.issue().exits(2);
        eventually(Duration::from_secs(10), || self.issue().exits(2).stderr.contains("OWNER_NOT_ACTIVE").then_some(()));
        let administrator = self.world.broker.administrator();
        let standing = self.world.broker.curfew(&administrator, ["owner", "show", "refunds", "--field", "standing"]).done();
        assert!(standing.starts_with("offboard"), "{standing}");
    }
}

#[test]
fn a_group_that_is_inactive_is_an_owner_offboarded_and_active_again_revives_nothing() {
    let mut refunds = Refunds::start(&json!({ "kind": "team", "active": true }));
    let token = refunds.issue().done();
    assert_eq!(refunds.verdict(&token, 0), None);
    let inactive = refunds.say("active", &json!(false));
    assert_eq!(refunds.verdict(&token, inactive), Some("REVOKED"));
    refunds.is_offboarded();
    refunds.world.broker.restart();
    refunds.is_offboarded();

    let active = refunds.say("active", &json!(true));
    let newer = refunds.issue().done();
    assert_eq!((refunds.verdict(&token, active), refunds.verdict(&newer, active)), (Some("REVOKED"), None));
}

#[test]
fn what_outlives_the_contract_of_a_vendor_dies_and_one_that_is_moved_to_now_offboards() {
    let refunds = Refunds::start(&json!({ "kind": "vendor", "contractEnd": LATE }));
    let ends_within = |seconds: u64| {
        let end = Timestamp::from_seconds(Clock::system().now().seconds() + seconds);
        refunds.say("contractEnd", &json!(end.to_string()))
    };
    let first = refunds.issue().done();
    assert_eq!(refunds.verdict(&first, 0), None);
    let earlier = ends_within(180);
    assert_eq!(refunds.verdict(&first, earlier), Some("REVOKED"), "it would live for five minutes");
    let second = refunds.issue().done();
    assert_eq!(refunds.verdict(&second, earlier), None);
    let ended = ends_within(0);
    assert_eq!(refunds.verdict(&second, ended), Some("REVOKED"));
    refunds.is_offboarded();
    let later = refunds.say("contractEnd", &json!(LATE));
    assert_eq!([&first, &second].map(|token| refunds.verdict(token, later)), [Some("REVOKED"); 2]);
}
