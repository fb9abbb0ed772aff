//! What this server can do, as SCIM has a server say it (RFC 7643, sections 5 to 7).

use serde_json::{Value, json};

use super::filter;
use super::list::MOST_RESULTS;
use super::schema::{Attribute, Kind, Schema, Type};

const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const PROVIDER: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";

/// What is supported, and how to prove who one is.
pub(crate) fn provider(base: &str) -> Value {
    json!({
        "schemas": [PROVIDER],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MOST_RESULTS },
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": format!("The token of the source, as `curfew source token` made it. A filter has at most {} bytes.", filter::LONGEST),
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig") },
    })
}

/// The types of resources.
pub(crate) fn resource_types(base: &str) -> Vec<Value> {
    Kind::ALL.into_iter().map(|kind| resource_type(kind, base)).collect()
}

fn resource_type(kind: Kind, base: &str) -> Value {
    let extensions: Vec<_> = kind.extension().map(|schema| json!({ "schema": schema.id, "required": false })).into_iter().collect();
    json!({
        "schemas": [RESOURCE_TYPE],
        "id": kind.name(),
        "name": kind.name(),
        "description": kind.core().about,
        "endpoint": format!("/{}", kind.endpoint()),
        "schema": kind.core().id,
        "schemaExtensions": extensions,
        "meta": { "resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{}", kind.name()) },
    })
}

/// The schemas of the resources.
pub(crate) fn schemas(base: &str) -> Vec<Value> {
    let all = Kind::ALL.into_iter().flat_map(|kind| std::iter::once(kind.core()).chain(kind.extension()));
    all.map(|schema| described(schema, base)).collect()
}

fn described(schema: &Schema, base: &str) -> Value {
    json!({
        "schemas": [SCHEMA],
        "id": schema.id,
        "name": schema.name,
        "description": schema.about,
        "attributes": schema.attributes.iter().map(attribute).collect::<Vec<_>>(),
        "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{}", schema.id) },
    })
}

fn attribute(attribute: &Attribute) -> Value {
    let of = match attribute.of {
        Type::Text => "string",
        Type::Boolean => "boolean",
        Type::DateTime => "dateTime",
        Type::Reference => "reference",
        Type::Complex => "complex",
    };
    let mut described = json!({
        "name": attribute.name,
        "type": of,
        "multiValued": attribute.many,
        "description": attribute.about,
        "required": attribute.required,
        "caseExact": attribute.exact,
        "mutability": attribute.mutability.as_str(),
        "returned": "default",
        "uniqueness": attribute.uniqueness.as_str(),
    });
    let more = [
        ("subAttributes", attribute.subs.iter().map(self::attribute).collect::<Vec<_>>()),
        ("canonicalValues", attribute.canonical.iter().map(|word| Value::from(*word)).collect()),
        ("referenceTypes", if attribute.of == Type::Reference { vec![Kind::User.name().into()] } else { Vec::new() }),
    ];
    if let Some(members) = described.as_object_mut() {
        members.extend(more.into_iter().filter(|(_, values)| !values.is_empty()).map(|(name, values)| (name.to_owned(), values.into())));
    }
    described
}
