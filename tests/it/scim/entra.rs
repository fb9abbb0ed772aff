//! What Microsoft Entra sends: each request of *Tutorial: Develop and plan provisioning for a SCIM endpoint in Microsoft
//! Entra ID* (learn.microsoft.com/entra/identity/app-provisioning/use-scim-to-provision-users-and-groups), and both forms
//! of those of *Known issues with SCIM 2.0 protocol compliance* (…/application-provisioning-config-problem-scim-compatibility),
//! without and with `aadOptscim062020`. As read in November 2026; names and numbers are ours.

use serde_json::{Value, json};

use super::{GROUP, Provisioned, USER, operations};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A user as it is created: what has no value is written too.
fn user() -> Value {
    json!({
        "schemas": [USER, ENTERPRISE], "externalId": "ada", "userName": "ada@example.org", "active": true, "addresses": null,
        "displayName": "Ada Lovelace", "emails": [{ "primary": true, "type": "work", "value": "ada@example.org" }],
        "meta": { "resourceType": "User" }, "name": { "formatted": "Ada Lovelace", "familyName": "Lovelace", "givenName": "Ada" },
        "phoneNumbers": null, "preferredLanguage": null, "title": null, "roles": [], "department": null, "manager": null,
    })
}

/// How many are found by a filter, and the first.
fn found(world: &Provisioned, path: &str, filter: &str) -> (Value, Value) {
    let filter = filter.replace(' ', "%20").replace('"', "%22").replace('[', "%5B").replace(']', "%5D");
    let answer = world.ask("GET", &format!("{path}filter={filter}"), &Value::Null, 200);
    (answer["totalResults"].clone(), answer["Resources"][0].clone())
}

#[test]
fn users_are_found_created_changed_disabled_and_deleted() {
    let mut world = Provisioned::start();
    // The test of a connection: a user that cannot be.
    assert_eq!(found(&world, "/Users?", "userName eq \"6f1d2c3e-8d0b-4d0e-9d60-b1d3a6a1d8e5\""), (json!(0), Value::Null));
    let id = world.create("/Users", &user());
    let path = format!("/Users/{id}");
    assert_eq!(world.ask("POST", "/Users", &user(), 409)["scimType"], "uniqueness");
    assert_eq!(world.ask("GET", "/Users/999999", &Value::Null, 404)["status"], "404");
    for filter in ["userName eq \"ADA@example.org\"", "externalId eq \"ada\"", "emails[type eq \"work\"].value eq \"ada@example.org\""] {
        let (count, first) = found(&world, "/Users?", filter);
        assert_eq!((&count, &first["id"]), (&json!(1), &json!(id)), "{filter}");
    }
    assert_eq!(found(&world, "/Users?", "emails[type eq \"other\"].value eq \"ada@example.org\"").0, 0);

    let change = |operation: Value| world.ask("PATCH", &path, &operations(&operation), 200);
    let changed = change(json!([
        { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "lovelace@example.org" },
        { "op": "Replace", "path": "name.familyName", "value": "Byron" },
    ]));
    assert_eq!((&changed["emails"][0]["value"], &changed["name"]["familyName"]), (&json!("lovelace@example.org"), &json!("Byron")));
    assert_eq!(changed["emails"][0]["primary"], true);
    let renamed = change(json!([{ "op": "Replace", "path": "userName", "value": "ada.byron@example.org" }]));
    assert_eq!(renamed["userName"], "ada.byron@example.org");

    // Several at once, and what is not kept among them.
    let changed = change(json!([
        { "op": "Replace", "path": "displayName", "value": "Ada Byron" },
        { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "byron@example.org" },
        { "op": "Replace", "path": "externalId", "value": "byron" },
        { "op": "Replace", "path": format!("{ENTERPRISE}:employeeNumber"), "value": "7" },
        { "op": "Add", "path": "nickName", "value": "Ada" },
        { "op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "1" },
        { "op": "Add", "path": "manager", "value": [{ "$ref": "https://c.example/scim/v2/Users/1", "value": "1" }] },
        { "op": "Remove", "path": format!("{ENTERPRISE}:manager") },
    ]));
    assert_eq!((&changed["displayName"], &changed["externalId"]), (&json!("Ada Byron"), &json!("byron")));
    let changed = change(json!([
        { "op": "replace", "path": "emails[type eq \"work\"].value", "value": "king@example.org" },
        { "op": "replace", "value": { "displayName": "Ada King", "name.givenName": "Augusta", format!("{ENTERPRISE}:employeeNumber"): "8" } },
    ]));
    assert_eq!((&changed["displayName"], &changed["name"]["givenName"]), (&json!("Ada King"), &json!("Augusta")));
    assert_eq!(changed["emails"][0]["value"], "king@example.org");

    // Disabled, in each of the ways in which that is written, also beside a title that is not kept; and enabled again.
    for disabled in [json!(false), json!("False")] {
        for op in ["Replace", "replace"] {
            let disabled = change(json!([{ "op": op, "path": "active", "value": disabled }, { "op": op, "path": "title", "value": "" }]));
            assert_eq!(disabled["active"], false);
            assert_eq!(found(&world, "/Users?", "userName eq \"ada.byron@example.org\"").1["active"], false, "it is found all the same");
            assert_eq!(change(json!([{ "op": op, "path": "active", "value": "True" }]))["active"], true);
        }
    }
    let read = world.ask("GET", &path, &Value::Null, 200);
    world.broker.restart();
    assert_eq!(world.ask("GET", &path, &Value::Null, 200), read);
    world.ask("DELETE", &path, &Value::Null, 204);
    world.ask("GET", &path, &Value::Null, 404);
}

#[test]
fn groups_are_found_created_renamed_filled_and_deleted() {
    let world = Provisioned::start();
    let [ada, bob] = ["ada", "bob"].map(|name| world.create("/Users", &json!({ "schemas": [USER], "userName": name })));
    let group = json!({
        "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": "8aa1a0c0", "displayName": "Refunds", "meta": { "resourceType": "Group" },
    });
    let id = world.create("/Groups", &group);
    let path = format!("/Groups/{id}");
    let change = |operation: Value| {
        world.ask("PATCH", &path, &operations(&json!([operation])), 200);
        let members = world.ask("GET", &path, &Value::Null, 200)["members"].take();
        let members = members.as_array().cloned().unwrap_or_default();
        members.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let add = |id: &str| json!({ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": id }] });
    assert_eq!((change(add(&ada)), change(add(&bob))), (vec![ada.clone()], vec![ada.clone(), bob.clone()]));
    for shown in [
        world.ask("GET", &format!("{path}?excludedAttributes=members"), &Value::Null, 200),
        found(&world, "/Groups?excludedAttributes=members&", "displayName eq \"Refunds\"").1,
    ] {
        assert_eq!((&shown["id"], shown.get("members")), (&json!(id), None));
    }
    assert_eq!(found(&world, "/Groups?attributes=id&", &format!("id eq \"{id}\" and members eq \"{bob}\"")).0, 1);
    assert_eq!(change(json!({ "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": ada }] })), [bob.as_str()]);
    assert_eq!(change(json!({ "op": "remove", "path": format!("members[value eq \"{bob}\"]") })), [""; 0]);
    change(json!({ "op": "Replace", "path": "displayName", "value": "Refunds and returns" }));
    assert_eq!(found(&world, "/Groups?", "displayName eq \"Refunds and returns\"").1["id"], json!(id));
    world.ask("DELETE", &path, &Value::Null, 204);
    let owner = world.broker.curfew(&world.broker.administrator(), ["owner", "show", "refunds", "--format", "json"]).json();
    assert!(owner.to_string().contains("offboard"), "{owner}");
}
