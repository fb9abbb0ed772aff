//! What resources mean to the broker: a user is a person, a group is an owner.

use serde_json::{Map, Value};

use super::refused::{Refused, Wrong};
use super::schema::OWNER;
use crate::model::{Contact, Owner, OwnerId, OwnerKind};

/// Who answers for an owner that names nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fallback {
    pub business_owner: Option<Contact>,
    pub technical_owner: Option<Contact>,
}

fn wrong(attribute: &str, why: &dyn std::fmt::Display) -> Refused {
    Refused::new(Wrong::Value, format!("`{attribute}`: {why}"))
}

/// The names by which owners, workloads and services may name the person that a user is: the user name
/// first, then each mail address.
///
/// # Errors
/// If a name is none.
pub(crate) fn names(user: &Map<String, Value>) -> Result<Vec<Contact>, Refused> {
    let contact = |attribute: &str, text: &str| match text.parse::<Contact>() {
        // A name with an address in it would be another way to write that address.
        Ok(_) if text.contains(['<', '>']) => Err(wrong(attribute, &"write the name or the address alone, without < and >")),
        other => other.map_err(|error| wrong(attribute, &error)),
    };
    let mut names = vec![contact("userName", user.get("userName").and_then(Value::as_str).unwrap_or_default())?];
    for email in user.get("emails").and_then(Value::as_array).into_iter().flatten() {
        let Some(text) = email.get("value").and_then(Value::as_str) else { continue };
        let name = contact("emails.value", text)?;
        if !names.iter().any(|known| known.as_str().to_lowercase() == name.as_str().to_lowercase()) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Whether a user answers for anything, or what an owner's extension says.
pub(crate) fn is_active(attributes: &Map<String, Value>) -> bool {
    attributes.get("active") != Some(&Value::Bool(false))
}

/// The id of the owner that a group of this name becomes: lower case, and `-` for whatever an id cannot hold.
///
/// # Errors
/// If nothing is left of it.
pub(crate) fn owner_id(display_name: &str) -> Result<OwnerId, Refused> {
    let mut id = String::new();
    for letter in display_name.to_lowercase().chars() {
        if letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._".contains(letter) {
            id.push(letter);
        } else if !id.is_empty() && !id.ends_with('-') {
            id.push('-');
        }
    }
    let ends = |letter: char| !letter.is_ascii_alphanumeric();
    id.trim_matches(ends).parse().map_err(|error| wrong("displayName", &format!("no owner can be named after it: {error}")))
}

/// Whether a group owns anything.
pub(crate) fn owns(group: &Map<String, Value>) -> bool {
    group.get(OWNER).and_then(Value::as_object).is_none_or(is_active)
}

/// The owner that a group is, named `id`.
///
/// # Errors
/// What is missing or wrong.
pub(crate) fn owner(group: &Map<String, Value>, id: OwnerId, fallback: &Fallback) -> Result<Owner, Refused> {
    let text = |name: &str| group.get(OWNER)?.get(name)?.as_str();
    let contact = |name: &str, fallback: &Option<Contact>| match text(name) {
        Some(text) => text.parse().map_err(|error| wrong(name, &error)),
        None => {
            let nobody = || wrong(name, &format!("write it in `{OWNER}`, or have the configuration of the source name one"));
            fallback.clone().ok_or_else(nobody)
        }
    };
    let kind = text("kind").map_or(Ok(OwnerKind::Team), str::parse).map_err(|error| wrong("kind", &error))?;
    let contract_end = text("contractEnd").map(str::parse).transpose().map_err(|error| wrong("contractEnd", &error))?;
    if kind == OwnerKind::Vendor && contract_end.is_none() {
        return Err(wrong("contractEnd", &"a vendor has a contract that ends; write when"));
    }
    let business_owner = contact("businessOwner", &fallback.business_owner)?;
    let technical_owner = contact("technicalOwner", &fallback.technical_owner)?;
    Ok(Owner { id, kind, business_owner, technical_owner, contract_end })
}
