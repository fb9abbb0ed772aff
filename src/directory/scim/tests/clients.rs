//! Changes as the documentation of Entra (*Tutorial: Develop and plan provisioning for a SCIM endpoint*, *Known issues with
//! SCIM 2.0 protocol compliance*) and of Okta (*Okta and SCIM Version 2.0*) have them.

use serde_json::json;

use super::{Kind, group, patched, user};

#[test]
fn what_entra_sends_is_understood() {
    let disabled = patched(Kind::User, &user(), &json!([{ "op": "Replace", "path": "active", "value": "False" }])).expect("done");
    assert_eq!(disabled["active"], json!(false));
    let operations = json!([
        { "op": "Add", "path": "emails[type eq \"other\"].value", "value": "ada@other.example" },
        { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "lovelace@example.org" },
        { "op": "Replace", "value": { "displayName": "Countess", "name.givenName": "Augusta", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": "x" } },
        { "op": "Remove", "path": "externalId" },
    ]);
    let changed = patched(Kind::User, &user(), &operations).expect("done");
    let addresses: Vec<_> = changed["emails"].as_array().expect("a list").iter().map(|email| (&email["type"], &email["value"])).collect();
    assert_eq!(
        addresses,
        [
            (&json!("work"), &json!("lovelace@example.org")),
            (&json!("home"), &json!("ada@home.example")),
            (&json!("other"), &json!("ada@other.example"))
        ]
    );
    assert_eq!(
        (&changed["displayName"], &changed["name"]),
        (&json!("Countess"), &json!({ "givenName": "Augusta", "familyName": "Lovelace" }))
    );
    assert!(changed.get("externalId").is_none());
    let unkept = [
        "title",
        "urn:ietf:params:scim:schemas:core:2.0:User:nickName",
        "phoneNumbers[type eq \"mobile\"].value",
        "addresses[type eq \"work\"].streetAddress",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
        "manager",
        "urn:example:2.0:User:tag",
    ];
    for op in ["Add", "Replace", "Remove"] {
        let with = |path: &&str| json!([{ "op": op, "path": path, "value": "x" }, { "op": "Replace", "path": "active", "value": "False" }]);
        let left: Vec<_> =
            unkept.iter().filter(|path| patched(Kind::User, &user(), &with(path)).is_ok_and(|ada| ada == disabled)).collect();
        assert_eq!(left, unkept.iter().collect::<Vec<_>>(), "what is not kept keeps nobody active");
    }
    let members = json!([
        { "op": "Add", "path": "members", "value": [{ "value": "9" }, { "value": "8" }] },
        { "op": "Remove", "path": "members", "value": [{ "value": "7" }] },
    ]);
    assert_eq!(patched(Kind::Group, &group(), &members).expect("done")["members"], json!([{ "value": "9" }, { "value": "8" }]));
}

#[test]
fn what_okta_sends_is_understood() {
    let disabled = patched(Kind::User, &user(), &json!([{ "op": "replace", "value": { "active": false } }])).expect("done");
    assert_eq!(disabled["active"], json!(false));
    let renamed = json!([{ "op": "replace", "value": { "id": "12", "displayName": "Payments and refunds" } }]);
    assert_eq!(patched(Kind::Group, &group(), &renamed).expect("done")["displayName"], "Payments and refunds");
    let left = json!([{ "op": "remove", "path": "members[value eq \"7\"]" }, { "op": "replace", "path": "members", "value": [{ "value": "8", "display": "Bob" }] }]);
    assert_eq!(patched(Kind::Group, &group(), &left).expect("done")["members"], json!([{ "value": "8" }]));
}
