//! Filters, as the RFC and Entra have them.

use super::filtered;

#[test]
fn filters_find_what_rfc_7644_says() {
    for yes in [
        "userName eq \"ada@example.ORG\"",
        "USERNAME Eq \"ada@example.org\"",
        "urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"ada\"",
        "externalId eq \"x-1\"",
        "id eq \"12\"",
        "name.familyName co \"love\"",
        "emails eq \"ADA@home.example\"",
        "emails.value ew \".example\"",
        "emails[type eq \"work\" and value co \"example.org\"]",
        "emails[type eq \"work\"].value eq \"ada@example.org\"",
        "emails[type eq \"work\"].value eq \"ada@example.org\" and active eq true",
        "emails[not (type eq \"work\")]",
        "active eq true and not (displayName eq \"Bob\")",
        "displayName eq \"Bob\" or displayName eq \"Eve\" or displayName eq \"Ada\"",
        "displayName eq \"Bob\" and userName pr or active eq true",
        "meta.lastModified ge \"2026-09-21T14:13:20Z\"",
        "meta.created lt \"2027-01-01T00:00:00+01:00\"",
        "meta.resourceType eq \"User\"",
        "externalId ne null",
        "displayName gt \"abc\" and displayName le \"ADA\"",
        "not (active eq false)",
        "userName ne \"bob\"",
        "displayName eq \"\\u0041da\"",
    ] {
        assert_eq!(filtered(yes), Ok(true), "{yes}");
    }
    for no in [
        "userName eq \"6f1d2c3e-random\"",
        "externalId eq \"X-1\"",
        "emails[type eq \"home\" and value co \"example.org\"]",
        "emails[type eq \"home\"].value eq \"ada@example.org\"",
        "displayName eq \"Bob\" and (userName pr or active eq true)",
        "not (userName pr)",
        "externalId eq null",
    ] {
        assert_eq!(filtered(no), Ok(false), "{no}");
    }
}

#[test]
fn a_filter_that_is_none_or_asks_too_much_is_refused() {
    let deep = format!("{}userName pr{}", "(".repeat(9), ")".repeat(9));
    let negated = format!("{}userName pr{}", "not (".repeat(9), ")".repeat(9));
    let broad = vec!["userName pr"; 17].join(" or ");
    let long = format!("userName eq \"{}\"", "a".repeat(1024));
    let unclosed = "(".repeat(1000);
    for bad in [
        "",
        " ",
        "userName",
        "userName eq",
        "userName eq ada",
        "userName eq \"ada",
        "userName zz \"ada\"",
        "eq \"ada\"",
        "nobody eq \"x\"",
        "userName eq \"a\" and",
        "userName eq \"a\" userName",
        "(userName pr",
        "userName pr)",
        "emails[type eq \"work\"",
        "emails[]",
        "emails[nobody pr]",
        "emails[type eq \"work\"].",
        "emails[type eq \"work\"].nobody eq \"x\"",
        "emails[type eq \"work\"]value eq \"x\"",
        "emails[value[type pr]]",
        "name eq \"Ada\"",
        "userName[value pr]",
        "active gt true",
        "active eq \"no\"",
        "userName eq 7",
        "userName eq {}",
        "meta.created co \"2026\"",
        "meta.created gt \"yesterday\"",
        "userName eq \"\\q\"",
        "not userName pr",
        "password pr",
        "userName.x pr",
        &deep,
        &negated,
        &broad,
        &long,
        &unclosed,
    ] {
        assert_eq!(filtered(bad), Err("invalidFilter"), "{bad}");
    }
    let deep_enough = format!("{}userName pr{}", "(".repeat(8), ")".repeat(8));
    assert_eq!((filtered(&deep_enough), filtered(&vec!["userName pr"; 16].join(" and "))), (Ok(true), Ok(true)));
}
