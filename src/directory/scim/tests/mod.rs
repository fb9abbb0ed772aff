//! Requests as the RFC, Entra and Okta have them, and ones that want to do harm.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::filter::Filter;
use super::meaning::{Fallback, names, owner, owner_id};
use super::schema::{GROUP, OWNER, USER};
use super::*;
use crate::model::{Position, Timestamp};

mod clients;
mod filters;

fn user() -> Value {
    json!({
        "schemas": [USER.id],
        "externalId": "x-1",
        "userName": "Ada@Example.org",
        "displayName": "Ada",
        "name": { "givenName": "Ada", "familyName": "Lovelace" },
        "emails": [
            { "value": "ada@example.org", "type": "work", "primary": true },
            { "value": "ada@home.example", "type": "home" },
        ],
        "active": true,
    })
}

fn group() -> Value {
    json!({ "schemas": [GROUP.id, OWNER], "displayName": "Payments", "members": [{ "value": "7" }, { "value": "8" }],
        OWNER: { "businessOwner": "b@example.org", "technicalOwner": "t@example.org" } })
}

fn taken(kind: Kind, body: &Value) -> Map<String, Value> {
    take(kind, body).expect("a good resource")
}

fn resource(kind: Kind, body: &Value) -> Resource {
    let kept = Resource::kept(kind, &taken(kind, body), None, Timestamp::from_seconds(1_790_000_000));
    Resource::of(Position::new(12), Position::new(15), &kept).expect("it reads back")
}

/// Whether a filter holds of Ada, or the SCIM word for why it is none.
fn filtered(filter: &str) -> Result<bool, &'static str> {
    Filter::parse(filter, Kind::User).map(|filter| resource(Kind::User, &user()).matches(&filter)).map_err(|refused| refused.wrong.word())
}

/// The attributes of a resource after operations, or the SCIM word for why not.
fn patched(kind: Kind, body: &Value, operations: &Value) -> Result<Value, &'static str> {
    let body = json!({ "schemas": [patch::PATCH], "Operations": operations, "resource": body });
    let patch = Patch::parse(kind, &body).map_err(|refused| refused.wrong.word())?;
    patch.apply(kind, taken(kind, &body["resource"])).map(Value::Object).map_err(|refused| refused.wrong.word())
}

#[test]
fn the_owner_of_a_group_is_changed_by_path_with_and_without_its_urn() {
    for path in ["active", &format!("{OWNER}:active"), &format!("{}:ACTIVE", OWNER.to_uppercase())] {
        let ended = patched(Kind::Group, &group(), &json!([{ "op": "replace", "path": path, "value": false }])).expect("done");
        assert_eq!(ended[OWNER]["active"], json!(false), "{path}");
        assert!(!meaning::owns(ended.as_object().expect("an object")) && meaning::owns(&taken(Kind::Group, &group())));
    }
    let whole = json!([{ "op": "replace", "path": OWNER, "value": { "kind": "vendor", "contractEnd": "2030-12-31T23:00:00+00:00" } }]);
    assert_eq!(
        patched(Kind::Group, &group(), &whole).expect("done")[OWNER],
        json!({ "kind": "vendor", "contractEnd": "2030-12-31T23:00:00Z" })
    );
    assert_eq!(patched(Kind::Group, &group(), &json!([{ "op": "remove", "path": OWNER }])).expect("done").get(OWNER), None);
}

#[test]
fn a_change_of_what_is_not_there_is_refused_and_nothing_of_the_request_is_done() {
    let check = |operation: Value, word: &'static str| {
        let operations = json!([{ "op": "replace", "path": "displayName", "value": "changed" }, operation]);
        assert_eq!(patched(Kind::User, &user(), &operations), Err(word), "{operation}");
    };
    check(json!({ "op": "replace", "path": "shoeSize", "value": 1 }), "invalidPath");
    check(json!({ "op": "replace", "path": "name.nobody", "value": "x" }), "invalidPath");
    check(json!({ "op": "replace", "path": "emails[", "value": "x" }), "invalidPath");
    check(json!({ "op": "replace", "path": "emails[type eq \"work\"]x", "value": "x" }), "invalidPath");
    check(json!({ "op": "replace", "path": "userName[value eq \"x\"]", "value": "x" }), "invalidPath");
    check(json!({ "op": "replace", "path": "a".repeat(5000), "value": "x" }), "invalidPath");
    check(json!({ "op": "replace", "path": 7, "value": "x" }), "invalidPath");
    check(json!({ "op": "replace", "path": "emails[type eq \"fax\"].value", "value": "x" }), "noTarget");
    check(json!({ "op": "remove", "path": "emails[type eq \"fax\"]" }), "noTarget");
    check(json!({ "op": "add", "path": "emails[type ne \"work\" and value eq \"x\"].value", "value": "x" }), "noTarget");
    check(json!({ "op": "remove" }), "noTarget");
    check(json!({ "op": "remove", "path": "userName" }), "mutability");
    check(json!({ "op": "replace", "path": "id", "value": "13" }), "mutability");
    check(json!({ "op": "add", "path": "meta.version", "value": "13" }), "mutability");
    check(json!({ "op": "replace", "path": "active", "value": "perhaps" }), "invalidValue");
    check(json!({ "op": "replace", "path": "userName", "value": null }), "invalidValue");
    check(json!({ "op": "replace", "path": "userName", "value": {} }), "invalidValue");
    check(json!({ "op": "replace", "value": 7 }), "invalidValue");
    check(
        json!({ "op": "add", "path": "emails", "value": [{ "value": "a", "primary": true }, { "value": "b", "primary": true }] }),
        "invalidValue",
    );
    check(json!({ "op": "test", "path": "userName", "value": "x" }), "invalidSyntax");
    check(json!(7), "invalidSyntax");
}

#[test]
fn a_request_without_its_schema_or_with_too_many_operations_is_refused() {
    let word = |body: &Value| Patch::parse(Kind::User, body).map_err(|refused| refused.wrong.word()).err();
    let operation = json!({ "op": "replace", "path": "displayName", "value": "x" });
    let patch = |operations: Value| json!({ "schemas": [patch::PATCH], "Operations": operations });
    assert_eq!(word(&json!({ "Operations": [operation] })), Some("invalidSyntax"));
    assert_eq!(word(&patch(json!([]))), Some("invalidSyntax"));
    assert_eq!(word(&patch(vec![operation.clone(); 101].into())), Some("invalidSyntax"));
    assert_eq!(word(&patch(vec![operation; 100].into())), None);
    assert_eq!(take(Kind::User, &json!({ "userName": "x" })).map_err(|refused| refused.wrong), Err(Wrong::Syntax));
    assert_eq!(take(Kind::Group, &user()).map_err(|refused| refused.wrong), Err(Wrong::Syntax));
}

#[test]
fn of_a_body_is_kept_what_a_client_may_write_in_one_form() {
    let body = json!({
        "schemas": [USER.id, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
        "id": "99", "meta": { "created": "never" }, "password": "secret", "USERNAME": "ada", "active": "TRUE", "displayName": "", "externalId": null,
        "emails": { "VALUE": "a@b", "colour": "red" }, "name": {},
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "x" },
    });
    assert_eq!(Value::Object(taken(Kind::User, &body)), json!({ "userName": "ada", "active": true, "emails": [{ "value": "a@b" }] }));
    let wrong = |name: &str, value: Value| {
        let mut body = user();
        body[name] = value;
        take(Kind::User, &body).map_err(|refused| refused.wrong).err()
    };
    assert_eq!(wrong("userName", json!("a".repeat(1025))), Some(Wrong::Value));
    assert_eq!(wrong("emails", vec![json!({ "value": "x" }); 10_001].into()), Some(Wrong::Value));
    assert_eq!(wrong("name", json!("Ada")), Some(Wrong::Value));
    assert_eq!(wrong("displayName", json!("Countess")), None);
}

#[test]
fn a_resource_shows_what_was_written_where_it_is_and_only_members_that_are_there() {
    let shown = resource(Kind::Group, &group()).shown("https://c.example/scim/v2", |id| id == "8");
    assert_eq!(shown["schemas"], json!([GROUP.id, OWNER]));
    assert_eq!(shown["members"], json!([{ "value": "8", "$ref": "https://c.example/scim/v2/Users/8", "type": "User" }]));
    assert_eq!(
        shown["meta"],
        json!({ "resourceType": "Group", "created": "2026-09-21T14:13:20Z", "lastModified": "2026-09-21T14:13:20Z",
            "location": "https://c.example/scim/v2/Groups/12", "version": "W/\"15\"" })
    );
    assert_eq!(Value::Object(resource(Kind::Group, &group()).written()), Value::Object(taken(Kind::Group, &group())));
}

#[test]
fn a_client_gets_the_attributes_that_it_asks_for() {
    let shown = |attributes: Option<&str>, excluded: Option<&str>| {
        let selection = Selection::parse(attributes, excluded).expect("a selection");
        let mut shown = selection.of(Kind::User, resource(Kind::User, &user()).shown("", |_| true));
        assert_eq!((shown.remove("id"), shown.remove("schemas")), (Some(json!("12")), Some(json!([USER.id]))), "always");
        Value::Object(shown)
    };
    assert_eq!(
        shown(Some("username, name.givenName, emails.type, nothing"), None),
        json!({ "userName": "Ada@Example.org", "name": { "givenName": "Ada" }, "emails": [{ "type": "work" }, { "type": "home" }] })
    );
    assert_eq!(
        shown(None, Some("meta,emails,name.familyName,displayName,id,schemas,active")),
        json!({ "userName": "Ada@Example.org", "externalId": "x-1", "name": { "givenName": "Ada" } })
    );
    assert!(Selection::parse(Some("id"), Some("id")).is_err());
    let owner = Selection::parse(Some(OWNER), None).expect("a selection");
    let shown = owner.of(Kind::Group, resource(Kind::Group, &group()).shown("", |_| true));
    assert_eq!((shown.len(), &shown[OWNER]["businessOwner"]), (3, &json!("b@example.org")));
}

#[test]
fn pages_begin_at_one_and_are_bounded() {
    let page = |parameters: &[(&str, &str)]| {
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let query = Query::parse(Kind::User, &parameters).map_err(|refused| refused.wrong.word())?;
        let page = query.page(1..=500);
        let shown: Vec<_> = page.iter().map(|number| json!(number)).collect();
        let answer = query.answer(500, &shown);
        assert_eq!(answer["itemsPerPage"], json!(page.len()));
        Ok::<_, &str>((page.first().copied(), page.len(), answer["startIndex"].clone()))
    };
    assert_eq!(page(&[]), Ok((Some(1), 200, json!(1))));
    assert_eq!(page(&[("startIndex", "0"), ("count", "1000000000")]), Ok((Some(1), 200, json!(1))));
    assert_eq!(page(&[("startIndex", "-7"), ("count", "-7")]), Ok((None, 0, json!(1))));
    assert_eq!(page(&[("startIndex", "499"), ("count", "10")]), Ok((Some(499), 2, json!(499))));
    assert_eq!(page(&[("startIndex", "501")]), Ok((None, 0, json!(501))));
    assert_eq!(page(&[("count", "many")]), Err("invalidValue"));
    assert_eq!(page(&[("filter", "userName eq")]), Err("invalidFilter"));
}

#[test]
fn a_person_is_known_by_the_user_name_and_each_address() {
    let names: Vec<_> = names(&taken(Kind::User, &user())).expect("names").iter().map(ToString::to_string).collect();
    assert_eq!(names, ["Ada@Example.org", "ada@home.example"], "one that differs in case is no other");
    let spaced = json!({ "schemas": [USER.id], "userName": " ada" });
    assert_eq!(meaning::names(&taken(Kind::User, &spaced)).map_err(|refused| refused.wrong), Err(Wrong::Value));
}

#[test]
fn an_owner_is_named_after_its_group_and_has_two_people() {
    for (name, id) in [
        ("Payments", Some("payments")),
        ("Payments & Refunds (EU)", Some("payments-refunds-eu")),
        ("--a--", Some("a")),
        ("支払", None),
        ("", None),
    ] {
        assert_eq!(owner_id(name).ok().map(|id| id.to_string()).as_deref(), id, "{name}");
    }
    let owner_of = |extension: Value, fallback: &Fallback| {
        let mut body = group();
        body[OWNER] = extension;
        owner(&taken(Kind::Group, &body), owner_id("p").expect("an id"), fallback).map_err(|refused| refused.to_string())
    };
    let nobody = Fallback::default();
    let somebody = Fallback { business_owner: "b@x".parse().ok(), technical_owner: "t@x".parse().ok() };
    assert!(owner_of(json!({ "businessOwner": "b@x" }), &nobody).is_err_and(|error| error.starts_with("`technicalOwner`")));
    let plain = owner_of(json!({}), &somebody).expect("an owner");
    assert_eq!((plain.kind.as_str(), plain.business_owner.as_str(), plain.technical_owner.as_str()), ("team", "b@x", "t@x"));
    assert!(owner_of(json!({ "kind": "vendor" }), &somebody).is_err_and(|error| error.starts_with("`contractEnd`")));
    assert!(owner_of(json!({ "kind": "club" }), &somebody).is_err_and(|error| error.starts_with("`kind`")));
    let vendor = owner_of(json!({ "kind": "vendor", "contractEnd": "2030-12-31T23:00:00Z", "technicalOwner": "v@x" }), &somebody);
    let vendor = vendor.expect("an owner");
    assert_eq!(
        (vendor.technical_owner.as_str(), vendor.contract_end.map(|end| end.to_string()).as_deref()),
        ("v@x", Some("2030-12-31T23:00:00Z"))
    );
}

#[test]
fn what_is_described_is_what_is_kept() {
    let schemas = schemas("https://c.example/scim/v2");
    let ids: Vec<_> = schemas.iter().map(|schema| schema["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, [USER.id, GROUP.id, OWNER]);
    assert_eq!(schemas[2]["attributes"][3]["type"], "dateTime");
    let types = resource_types("https://c.example/scim/v2");
    assert_eq!((&types[0]["endpoint"], &types[1]["schemaExtensions"][0]["schema"]), (&json!("/Users"), &json!(OWNER)));
    assert_eq!(provider("")["filter"]["maxResults"], json!(200));
}

/// A text that looks like a filter.
fn filter_like() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "userName",
        "emails",
        "emails[",
        "]",
        "(",
        ")",
        "not",
        "and",
        "or",
        "eq",
        "ne",
        "co",
        "pr",
        "gt",
        "\"a\"",
        "true",
        "null",
        "type",
        "value",
        "active",
        "meta.created",
        "\"2027-01-01T00:00:00Z\"",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn a_filter_and_its_negation_never_hold_of_the_same(filter in filter_like()) {
        if let (Ok(one), Ok(other)) = (filtered(&filter), filtered(&format!("not ({filter})"))) {
            prop_assert_ne!(one, other);
        }
    }

    #[test]
    fn no_text_harms_the_reader(filter in ".{0,40}", path in ".{0,40}") {
        let _read_or_not = filtered(&filter);
        let _done_or_not = patched(Kind::User, &user(), &json!([{ "op": "add", "path": path, "value": filter }]));
    }

    #[test]
    fn what_is_kept_is_kept_again_as_it_is(name in "\\PC{1,20}", truth in any::<bool>(), address in "\\PC{0,20}") {
        let body = json!({ "schemas": [USER.id], "userName": name, "active": truth, "emails": [{ "value": address }, { "value": address, "primary": "True" }] });
        let once = taken(Kind::User, &body);
        let mut again = Value::Object(once.clone());
        again["schemas"] = json!([USER.id]);
        prop_assert_eq!(taken(Kind::User, &again), once);
    }
}
