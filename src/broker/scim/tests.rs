//! What clients of sources do, and what becomes of owners, people and credentials.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::broker::Reconciling;
use crate::broker::error::Limit;
use crate::broker::limits::Quotas;
use crate::broker::tests::{QUOTAS, START, World, administrator, caller};
use crate::directory::scim::{self, Patch, Wrong};
use crate::model::{Event, Share, Standing, Timestamp};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A registry whose workload is under an owner that a source provides.
const BESIDE: &str = "
environments:
  - {name: production}
workloads:
  - {spiffe_id: spiffe://example.org/refunds/api, owner: refunds, purpose: pays back, environments: [production]}
downstreams:
  - {name: ledger, accepts: [tokens], audiences: [https://ledger.example.org], environments: [production], verifier_kind: follower}
";

struct Sources {
    world: World,
    provisioning: Provisioning,
}

fn rules(source: &str) -> Rules {
    let fallback = Fallback { business_owner: "b@example.org".parse().ok(), technical_owner: "t@example.org".parse().ok() };
    Rules { source: source.parse().expect("a name"), fallback, max_ended: Share::percent(10), most_bytes: usize::MAX, is_complete: false }
}

fn group(name: &str) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name })
}

fn user(name: &str) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name, "emails": [{ "value": format!("{name}@example.org") }] })
}

impl Sources {
    async fn new() -> Self {
        Self::within(QUOTAS).await
    }

    async fn within(quotas: Quotas) -> Self {
        Self::of(World::within(quotas).await)
    }

    fn of(world: World) -> Self {
        let provisioning = Provisioning::new(Arc::clone(&world.broker), "https://c.example/scim/v2".to_owned());
        Self { world, provisioning }
    }

    async fn write(&self, source: &str, kind: Kind, what: What) -> Result<String, Trouble> {
        let write = Write { what, versions: None };
        let done = self.provisioning.write(&rules(source), kind, write).await.expect("the ledger commits");
        done.map(|number| number.to_string())
    }

    async fn create(&self, source: &str, kind: Kind, body: Value) -> Result<String, Trouble> {
        self.write(source, kind, What::Create(scim::take(kind, &body).expect("a resource"))).await
    }

    async fn set_active(&self, kind: Kind, id: &str, active: bool) -> Result<String, Trouble> {
        let operations = json!([{ "op": "Replace", "path": "active", "value": if active { "True" } else { "False" } }]);
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations });
        self.write("hr", kind, What::Patch(id.to_owned(), Patch::parse(kind, &body).expect("a patch"))).await
    }

    fn standing(&self, owner: &str) -> Option<Standing> {
        let facts = self.world.broker.ledger.facts();
        let known = facts.owner(&owner.parse().expect("an id"))?;
        Some(known.standing(self.world.broker.clock().now()))
    }

    /// Whether a person answers for anything; `None` for one that nobody knows.
    fn answers(&self, name: &str) -> Option<bool> {
        let facts = self.world.broker.ledger.facts();
        facts.person(&name.parse().expect("a contact")).map(|known| known.is_registered() && known.record.active)
    }

    async fn held(&self) -> usize {
        let entries = self.world.broker.ledger.entries(Position::new(1), 1000).await.expect("readable");
        entries.iter().filter(|stored| stored.entry.as_ref().is_ok_and(|entry| matches!(entry.event, Event::SourceHeld(_)))).count()
    }
}

fn refused(outcome: Result<String, Trouble>) -> Wrong {
    let Err(Trouble::Refused(refused)) = outcome else { panic!("{outcome:?}") };
    refused.wrong
}

#[tokio::test]
async fn a_team_that_is_deleted_or_inactive_is_offboarded_and_what_died_stays_dead() {
    let sources = Sources::new().await;
    let id = sources.create("hr", Kind::Group, group("Refunds")).await.expect("created");
    sources.world.apply(BESIDE, 100).await.expect("the workload is under the owner of the source");
    assert_eq!(sources.standing("refunds"), Some(Standing::Active), "the registry ends nothing of a source");
    let workload = caller("/refunds/api");
    let token = sources.world.token(&workload).await.expect("issued");
    sources.set_active(Kind::Group, &id, false).await.expect("ended");
    assert!(sources.world.is_dead(&token).await);
    assert!(sources.world.token(&workload).await.is_err());
    sources.set_active(Kind::Group, &id, true).await.expect("named again");
    assert!(sources.world.is_dead(&token).await, "activating again revives nothing");
    let newer = sources.world.token(&workload).await.expect("issued anew");
    sources.write("hr", Kind::Group, What::Delete(id.clone())).await.expect("deleted");
    assert!(sources.world.is_dead(&newer).await);
    assert!(sources.provisioning.find(&rules("hr").source, Kind::Group, &id).is_none());
    assert_eq!(sources.write("hr", Kind::Group, What::Delete(id)).await, Err(Trouble::Unknown));
}

#[tokio::test]
async fn an_owner_keeps_its_id_when_its_group_is_renamed_and_what_is_said_of_it_is_recorded() {
    let sources = Sources::new().await;
    let id = sources.create("hr", Kind::Group, group("Refunds")).await.expect("created");
    let mut body = group("Refunds and more");
    body[scim_owner()] = json!({ "kind": "vendor", "contractEnd": "2030-01-01T00:00:00Z", "businessOwner": "ada@example.org" });
    let attributes = scim::take(Kind::Group, &body).expect("a group");
    sources.write("hr", Kind::Group, What::Replace(id, attributes)).await.expect("replaced");
    let facts = sources.world.broker.ledger.facts();
    let owner = facts.owner(&"refunds".parse().expect("an id")).expect("there");
    assert_eq!((owner.record.kind.as_str(), owner.record.business_owner.as_str()), ("vendor", "ada@example.org"));
    assert_eq!(owner.origin.as_ref().map(|origin| origin.source.as_str()), Some("hr"));
}

const fn scim_owner() -> &'static str {
    "urn:curfew:params:scim:schemas:extension:1.0:Owner"
}

#[tokio::test]
async fn a_team_ends_also_where_whoever_says_so_leaves_out_what_an_owner_needs() {
    let sources = Sources::new().await;
    let alone = Rules { fallback: Fallback::default(), ..rules("hr") };
    let write = async |what| {
        let done = sources.provisioning.write(&alone, Kind::Group, Write { what, versions: None }).await.expect("the ledger commits");
        done.map(|number| number.to_string())
    };
    let taken = |said: Value| {
        let mut body = group("Refunds");
        body[scim_owner()] = said;
        scim::take(Kind::Group, &body).expect("a group")
    };
    let whole = taken(json!({
        "kind": "vendor", "contractEnd": "2030-01-01T00:00:00Z", "businessOwner": "ada@example.org", "technicalOwner": "bob@example.org",
    }));
    let id = write(What::Create(whole.clone())).await.expect("created");
    sources.world.apply(BESIDE, 100).await.expect("the workload is under the owner of the source");
    let path = json!([{ "op": "replace", "path": scim_owner(), "value": { "active": false } }]);
    let patch = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": path });
    let patch = What::Patch(id.clone(), Patch::parse(Kind::Group, &patch).expect("a patch"));
    for what in [What::Replace(id.clone(), taken(json!({ "kind": "vendor", "active": false }))), patch] {
        let token = sources.world.token(&caller("/refunds/api")).await.expect("issued");
        write(what).await.expect("ended");
        assert!(sources.world.is_dead(&token).await && sources.standing("refunds") != Some(Standing::Active));
        assert_eq!(
            refused(write(What::Replace(id.clone(), taken(json!({ "active": true })))).await),
            Wrong::Value,
            "nobody answers for it"
        );
        write(What::Replace(id.clone(), whole.clone())).await.expect("named again, as it was");
    }
}

#[tokio::test]
async fn a_person_is_known_by_each_name_until_deactivated_renamed_or_deleted() {
    let sources = Sources::new().await;
    let id = sources.create("hr", Kind::User, user("ada")).await.expect("created");
    assert_eq!((sources.answers("ADA"), sources.answers("ada@example.org"), sources.answers("bob")), (Some(true), Some(true), None));
    sources.set_active(Kind::User, &id, false).await.expect("deactivated");
    assert_eq!((sources.answers("ada"), sources.answers("ada@example.org")), (Some(false), Some(false)));
    sources.set_active(Kind::User, &id, true).await.expect("activated");
    let renamed = scim::take(Kind::User, &user("countess")).expect("a user");
    sources.write("hr", Kind::User, What::Replace(id.clone(), renamed)).await.expect("renamed");
    assert_eq!((sources.answers("ada"), sources.answers("countess")), (Some(false), Some(true)));
    sources.write("hr", Kind::User, What::Delete(id)).await.expect("deleted");
    assert_eq!(sources.answers("countess@example.org"), Some(false));
}

#[tokio::test]
async fn no_source_touches_what_is_anothers() {
    let sources = Sources::new().await;
    let user_id = sources.create("hr", Kind::User, user("ada")).await.expect("created");
    let group_id = sources.create("hr", Kind::Group, group("Refunds")).await.expect("created");
    assert_eq!(refused(sources.create("other", Kind::User, user("Ada")).await), Wrong::Uniqueness);
    assert_eq!(refused(sources.create("other", Kind::Group, group("refunds")).await), Wrong::Uniqueness);
    assert_eq!(refused(sources.create("hr", Kind::Group, group("Payments")).await), Wrong::Uniqueness, "the registry's");
    assert_eq!(sources.write("other", Kind::User, What::Delete(user_id.clone())).await, Err(Trouble::Unknown));
    assert_eq!(sources.write("other", Kind::Group, What::Delete(group_id.clone())).await, Err(Trouble::Unknown));
    assert_eq!(sources.write("hr", Kind::User, What::Delete(group_id.clone())).await, Err(Trouble::Unknown), "of another type");
    assert_eq!(sources.write("hr", Kind::Group, What::Delete(format!("0{group_id}"))).await, Err(Trouble::Unknown));
    assert!(sources.provisioning.find(&rules("other").source, Kind::User, &user_id).is_none());
    let mut body = group("Others");
    body["members"] = json!([{ "value": user_id }]);
    assert_eq!(refused(sources.create("other", Kind::Group, body.clone()).await), Wrong::Value);
    let with_members = sources.create("hr", Kind::Group, body).await.expect("created");
    let shown = |sources: &Sources| {
        let found = sources.provisioning.find(&rules("hr").source, Kind::Group, &with_members).expect("there");
        sources.provisioning.shown(&rules("hr").source, &found, &Selection::default())
    };
    assert_eq!(shown(&sources)["members"][0]["value"], json!(user_id));
    sources.write("hr", Kind::User, What::Delete(user_id)).await.expect("deleted");
    assert_eq!(shown(&sources)["members"], json!([]));
    assert_eq!(sources.standing("refunds"), Some(Standing::Active));
}

#[tokio::test]
async fn more_ends_than_the_share_within_a_day_are_not_believed() {
    let sources = Sources::new().await;
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(sources.create("hr", Kind::Group, group(&format!("team {number}"))).await.expect("created"));
    }
    for id in &ids[..3] {
        sources.set_active(Kind::Group, id, false).await.expect("three may always");
    }
    for id in [&ids[3], &ids[3], &ids[4]] {
        let stopped = sources.set_active(Kind::Group, id, false).await;
        assert!(matches!(stopped, Err(Trouble::Stopped(Stop { ends: 4, of: 20, .. }))), "{stopped:?}");
    }
    assert_eq!((sources.standing("team-3"), sources.held().await), (Some(Standing::Active), 1), "nothing ended; told once");
    assert!(matches!(sources.write("hr", Kind::Group, What::Delete(ids[3].clone())).await, Err(Trouble::Stopped(_))));
    sources.write("hr", Kind::Group, What::Delete(ids[0].clone())).await.expect("what has ended already ends nothing");
    let person = sources.create("hr", Kind::User, user("ada")).await.expect("created");
    sources.set_active(Kind::User, &person, false).await.expect("people have a share of their own");
    sources.world.hand.set(sources.world.broker.clock().now().plus(DAY));
    sources.set_active(Kind::Group, &ids[3], false).await.expect("a day later");
    assert_ne!(sources.standing("team-3"), Some(Standing::Active));
}

#[tokio::test]
async fn what_ended_before_a_person_let_a_source_go_on_counts_no_more() {
    let sources = Sources::of(World::told_by(rules("hr").declared(), Reconciling::default()).await);
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(sources.create("hr", Kind::Group, group(&format!("team {number}"))).await.expect("created"));
    }
    for (at, of) in [(0, 20), (3, 17), (6, 14)] {
        for id in &ids[at..at + 3] {
            sources.set_active(Kind::Group, id, false).await.expect("three may always");
        }
        let stopped = sources.set_active(Kind::Group, &ids[at + 3], false).await;
        let Err(Trouble::Stopped(stop)) = stopped else { panic!("{stopped:?}") };
        assert_eq!((stop.ends, stop.of, stop.until), (4, of, Some(START.plus(DAY))));
        sources.world.broker.confirm_source(&administrator(), &rules("hr").source, stop.digest).await.expect("let through");
    }
}

#[tokio::test]
async fn a_stop_is_told_for_a_day_and_is_over_by_itself_if_the_client_does_not_insist() {
    let sources = Sources::new().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(sources.create("hr", Kind::User, user(&format!("p{number}"))).await.expect("created"));
    }
    let told = || sources.world.broker.sources_in_trouble().0;
    let later = |by: Duration| sources.world.hand.set(sources.world.broker.clock().now().plus(by));
    for id in &ids[..3] {
        sources.set_active(Kind::User, id, false).await.expect("three may always");
    }
    let insists = async || assert!(matches!(sources.set_active(Kind::User, &ids[3], false).await, Err(Trouble::Stopped(_))));
    let rights = async || sources.set_active(Kind::User, &ids[4], true).await.expect("nothing ends by it");
    insists().await;
    rights().await;
    assert_eq!(told(), 1);
    later(DAY / 2);
    insists().await;
    later(DAY / 2 - Duration::from_secs(1));
    rights().await;
    assert_eq!(told(), 1, "not a day later");
    insists().await;
    later(Duration::from_secs(1));
    rights().await;
    assert_eq!((told(), sources.held().await), (0, 1), "whoever deleted them by mistake has set that right");
}

#[tokio::test]
async fn what_is_created_inactive_has_not_ended_and_is_none_of_those_that_may() {
    let sources = Sources::new().await;
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(sources.create("hr", Kind::User, user(&format!("here{number}"))).await.expect("created"));
    }
    for number in 0..40 {
        let mut left = user(&format!("left{number}"));
        left["active"] = json!(false);
        sources.create("hr", Kind::User, left).await.expect("created");
    }
    assert_eq!(sources.answers("left0"), Some(false));
    for id in &ids[..3] {
        sources.set_active(Kind::User, id, false).await.expect("three may always, whoever left before");
    }
    let stopped = sources.set_active(Kind::User, &ids[3], false).await;
    assert!(matches!(stopped, Err(Trouble::Stopped(Stop { ends: 4, of: 4, .. }))), "{stopped:?}");
}

/// What a group says of a vendor whose contract ends `at`.
fn vendor(name: &str, at: Timestamp) -> serde_json::Map<String, Value> {
    let mut body = group(name);
    body[scim_owner()] = json!({ "kind": "vendor", "contractEnd": at.to_string() });
    scim::take(Kind::Group, &body).expect("a group")
}

#[tokio::test]
async fn a_contract_that_is_over_or_kills_at_once_is_of_the_share_of_a_day_as_a_deletion_is() {
    let sources = Sources::new().await;
    let (now, late) = (sources.world.broker.clock().now(), START.plus(400 * DAY));
    let mut ids = Vec::new();
    for name in ["Refunds", "one", "two", "three", "four"] {
        ids.push(sources.write("hr", Kind::Group, What::Create(vendor(name, late))).await.expect("created"));
    }
    sources.world.apply(BESIDE, 100).await.expect("the workload is under an owner of the source");
    let token = sources.world.token(&caller("/refunds/api")).await.expect("issued");
    let ends = |at: usize, end: Timestamp| {
        let name = ["Refunds", "one", "two", "three", "four"][at];
        sources.write("hr", Kind::Group, What::Replace(ids[at].clone(), vendor(name, end)))
    };
    let earlier = now.plus(Duration::from_secs(60));
    ends(1, late.minus(DAY)).await.expect("no end, and nothing dies of it");
    ends(1, now).await.expect("one is over");
    ends(2, now).await.expect("two");
    ends(3, earlier).await.expect("nothing of it is alive");
    ends(3, now).await.expect("three");
    for end in [late, now, late] {
        ends(1, end).await.expect("what has a contract again still counts, and what ends twice counts once");
    }
    for end in [now, earlier] {
        let stopped = ends(0, end).await;
        assert!(matches!(stopped, Err(Trouble::Stopped(Stop { ends: 4, of: 5, .. }))), "{stopped:?}");
    }
    assert!(matches!(sources.set_active(Kind::Group, &ids[4], false).await, Err(Trouble::Stopped(_))), "one share for all");
    assert!(!sources.world.is_dead(&token).await);
    sources.world.hand.set(now.plus(DAY));
    let token = sources.world.token(&caller("/refunds/api")).await.expect("issued");
    let earlier = now.plus(DAY).plus(Duration::from_secs(60));
    ends(0, earlier).await.expect("a day later");
    assert!(sources.world.is_dead(&token).await);
}

#[tokio::test]
async fn a_change_of_what_was_changed_since_is_refused_and_nothing_new_is_no_entry() {
    let sources = Sources::new().await;
    let id = sources.create("hr", Kind::User, user("ada")).await.expect("created");
    let found = || sources.provisioning.find(&rules("hr").source, Kind::User, &id).expect("there");
    let before = found().version();
    let head = sources.world.head();
    let same = scim::take(Kind::User, &user("ada")).expect("a user");
    sources.write("hr", Kind::User, What::Replace(id.clone(), same)).await.expect("the same");
    assert_eq!((sources.world.head(), found().version()), (head, before.clone()));
    sources.set_active(Kind::User, &id, false).await.expect("deactivated");
    let stale = Write { what: What::Delete(id.clone()), versions: Some(before) };
    assert_eq!(sources.provisioning.write(&rules("hr"), Kind::User, stale).await.expect("decided"), Err(Trouble::Version));
    let fresh = Write { what: What::Delete(id.clone()), versions: Some(format!("W/\"1\", {}", found().version())) };
    assert!(sources.provisioning.write(&rules("hr"), Kind::User, fresh).await.expect("decided").is_ok());
}

#[tokio::test]
async fn a_source_that_asks_too_often_is_told_how_long_to_wait_and_keeps_no_other_source_waiting() {
    let sources = Sources::within(Quotas { source_rate: 2, ..QUOTAS }).await;
    let (hr, other) = (rules("hr").source, rules("other").source);
    sources.provisioning.hear(&hr).expect("one");
    sources.provisioning.hear(&hr).expect("two");
    let wait = Duration::from_millis(500);
    let refused = sources.provisioning.hear(&hr);
    assert!(matches!(refused, Err(Error::Limited { limit: Limit::SourceRate, retry_after }) if retry_after == wait), "{refused:?}");
    sources.provisioning.hear(&other).expect("another source");
    sources.world.hand.set(START.plus(wait));
    sources.provisioning.hear(&hr).expect("it waited");
}

#[tokio::test]
async fn a_client_that_wrote_as_much_as_it_may_writes_no_more_and_can_still_end_what_it_wrote() {
    let sources = Sources::new().await;
    let named = |name: &str| {
        let mut body = user(name);
        body["displayName"] = "x".repeat(900).into();
        scim::take(Kind::User, &body).expect("a user")
    };
    let team = sources.create("hr", Kind::Group, group("Refunds")).await.expect("created");
    let one = sources.write("hr", Kind::User, What::Create(named("one"))).await.expect("created");
    let two = sources.write("hr", Kind::User, What::Create(named("two"))).await.expect("created");
    let full = Rules { most_bytes: sources.world.broker.ledger.facts().written(&rules("hr").source), ..rules("hr") };
    let write = async |kind, what| {
        let done = sources.provisioning.write(&full, kind, Write { what, versions: None }).await.expect("the ledger commits");
        done.map(|number| number.to_string())
    };
    let patch = |kind, operation: Value| {
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation] });
        Patch::parse(kind, &body).expect("a patch")
    };
    let told = || sources.world.broker.sources_in_trouble().1;

    let (head, longer) = (sources.world.head(), json!({ "op": "add", "path": "name.givenName", "value": "Ada" }));
    assert_eq!(write(Kind::User, What::Create(named("three"))).await, Err(Trouble::Full));
    assert_eq!(write(Kind::User, What::Patch(one.clone(), patch(Kind::User, longer))).await, Err(Trouble::Full));
    assert_eq!((sources.world.head(), told()), (head, 1), "nothing is written, and that is told");
    sources.create("other", Kind::User, user("ada")).await.expect("another source has room of its own");

    for (kind, id) in [(Kind::User, &one), (Kind::Group, &team)] {
        let inactive = json!({ "op": "add", "path": "active", "value": false });
        write(kind, What::Patch(id.clone(), patch(kind, inactive))).await.expect("ended");
    }
    assert_eq!(sources.answers("one"), Some(false));
    assert_ne!(sources.standing("refunds"), Some(Standing::Active));
    let much = json!({ "op": "add", "value": { "active": false, "name": { "formatted": "x".repeat(900) } } });
    assert_eq!(write(Kind::User, What::Patch(two.clone(), patch(Kind::User, much))).await, Err(Trouble::Full), "that takes little");
    for id in [one, two] {
        write(Kind::User, What::Delete(id)).await.expect("deleted");
    }
    write(Kind::User, What::Create(named("three"))).await.expect("there is room again");
    assert_eq!(told(), 0);
}
