//! What Okta sends: each request of *Okta and SCIM Version 2.0* (developer.okta.com/docs/api/openapi/okta-scim/guides/scim-20).
//! An application of its catalogue deactivates, and changes groups, by PATCH; one that was made with the App Integration
//! Wizard does both by PUT. As read in November 2026; names and numbers are ours.

use serde_json::{Value, json};

use super::{GROUP, Provisioned, USER, operations};

fn user() -> Value {
    json!({
        "schemas": [USER], "userName": "bob@example.org", "name": { "givenName": "Bob", "familyName": "Roe" },
        "emails": [{ "primary": true, "value": "bob@example.org", "type": "work" }], "displayName": "Bob Roe", "locale": "en-US",
        "externalId": "00u1bob", "groups": [], "password": "1mz050nq", "active": true,
    })
}

#[test]
fn users_are_looked_for_created_read_back_and_deactivated_either_way() {
    let world = Provisioned::start();
    let filter = "/Users?filter=userName%20eq%20%22bob%40example.org%22&startIndex=1&count=100";
    let none = world.ask("GET", filter, &Value::Null, 200);
    assert_eq!((&none["totalResults"], &none["startIndex"], &none["itemsPerPage"]), (&json!(0), &json!(1), &json!(0)));
    assert_eq!(none["Resources"], json!([]));
    let id = world.create("/Users", &user());
    let path = format!("/Users/{id}");
    assert_eq!(world.ask("POST", "/Users", &user(), 409)["scimType"], "uniqueness");
    let found = world.ask("GET", filter, &Value::Null, 200);
    assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &json!(id)));
    // The test of the connector, and an import, page by page.
    for page in ["/Users?startIndex=1&count=2", "/Users?startIndex=1&count=100"] {
        let page = world.ask("GET", page, &Value::Null, 200);
        assert_eq!((&page["startIndex"], &page["itemsPerPage"], page["Resources"][0].get("password")), (&json!(1), &json!(1), None));
    }
    assert_eq!(world.ask("GET", "/Users?startIndex=101&count=100", &Value::Null, 200)["Resources"], json!([]));

    let deactivate = operations(&json!([{ "op": "replace", "value": { "active": false } }]));
    assert_eq!(world.ask("PATCH", &path, &deactivate, 200)["active"], false);
    // What was read is changed, and put back whole.
    let put = |changes: Value| {
        let mut whole = world.ask("GET", &path, &Value::Null, 200);
        whole.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        world.ask("PUT", &path, &whole, 200)
    };
    assert_eq!(put(json!({ "active": true }))["active"], true);
    let named = put(json!({ "name": { "givenName": "Robert", "middleName": "Excited", "familyName": "Roe" }, "groups": [] }));
    assert_eq!((&named["name"]["givenName"], &named["externalId"], &named["active"]), (&json!("Robert"), &json!("00u1bob"), &json!(true)));
    assert_eq!(put(json!({ "active": false }))["active"], false);
    assert_eq!(world.ask("GET", filter, &Value::Null, 200)["Resources"][0]["active"], false, "it is found all the same");
}

#[test]
fn groups_are_pushed_renamed_filled_and_deleted_either_way() {
    let world = Provisioned::start();
    let [bob, eve] =
        ["bob@example.org", "eve@example.org"].map(|name| world.create("/Users", &json!({ "schemas": [USER], "userName": name })));
    let id = world.create("/Groups", &json!({ "schemas": [GROUP], "displayName": "Platform EU", "members": [] }));
    let path = format!("/Groups/{id}");
    let page = world.ask("GET", "/Groups?startIndex=1&count=100", &Value::Null, 200);
    assert_eq!((&page["totalResults"], &page["Resources"][0]["id"]), (&json!(1), &json!(id)));
    let member = |id: &str| json!({ "value": id, "display": "somebody@example.org" });
    let members = |answer: &Value| {
        let members = answer["members"].as_array().cloned().unwrap_or_default();
        members.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let change = |operation: Value| world.ask("PATCH", &path, &operations(&operation), 200);
    let all = change(json!([{ "op": "replace", "path": "members", "value": [member(&bob), member(&eve)] }]));
    assert_eq!(members(&all), [bob.clone(), eve.clone()]);
    let taken_out = change(json!([{ "op": "remove", "path": format!("members[value eq \"{bob}\"]") }]));
    assert_eq!(members(&taken_out), [eve.as_str()]);
    let exchanged = change(json!([
        { "op": "remove", "path": format!("members[value eq \"{eve}\"]") },
        { "op": "add", "path": "members", "value": [member(&bob)] },
    ]));
    assert_eq!(members(&exchanged), [bob.as_str()]);
    let renamed = change(json!([{ "op": "replace", "value": { "id": id, "displayName": "Platform Europe" } }]));
    assert_eq!((&renamed["displayName"], members(&renamed)), (&json!("Platform Europe"), vec![bob]));
    let whole = json!({ "schemas": [GROUP], "id": id, "displayName": "Platform", "members": [member(&eve)] });
    let put = world.ask("PUT", &path, &whole, 200);
    assert_eq!((&put["displayName"], members(&put)), (&json!("Platform"), vec![eve]));
    world.ask("DELETE", &path, &Value::Null, 204);
    let owner = world.broker.curfew(&world.broker.administrator(), ["owner", "show", "platform-eu", "--format", "json"]).json();
    assert!(owner.to_string().contains("offboard"), "{owner}");
}
