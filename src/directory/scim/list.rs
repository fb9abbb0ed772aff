//! Questions for several resources, and their answers (RFC 7644, section 3.4.2).

use serde_json::{Value, json};

use super::filter::Filter;
use super::refused::{Refused, Wrong};
use super::resource::{Resource, Selection};
use super::schema::Kind;

const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// The most resources in one answer.
pub(crate) const MOST_RESULTS: usize = 200;

/// A question for resources of a kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    /// Which; all of them without it.
    filter: Option<Filter>,
    /// What of each.
    pub selection: Selection,
    /// From the how manieth on, from 1.
    start: usize,
    count: usize,
}

impl Query {
    /// Reads the parameters of a question. Those that this server has nothing for are passed over.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn parse(kind: Kind, parameters: &[(String, String)]) -> Result<Self, Refused> {
        let given = |wanted: &str| parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str());
        let number = |name: &str| match given(name).map(str::parse::<i64>) {
            None => Ok(None),
            // What is too small counts as the smallest there is.
            Some(Ok(number)) => Ok(Some(usize::try_from(number.max(0)).unwrap_or(usize::MAX))),
            Some(Err(_)) => Err(Refused::new(Wrong::Value, format!("`{name}` takes a whole number"))),
        };
        Ok(Self {
            filter: given("filter").map(|filter| Filter::parse(filter, kind)).transpose()?,
            selection: Selection::parse(given("attributes"), given("excludedAttributes"))?,
            start: number("startIndex")?.unwrap_or(1).max(1),
            count: number("count")?.unwrap_or(MOST_RESULTS).min(MOST_RESULTS),
        })
    }

    /// Whether a resource of the kind is asked for.
    pub(crate) fn matches(&self, resource: &Resource) -> bool {
        self.filter.as_ref().is_none_or(|filter| resource.matches(filter))
    }

    /// Those of all that match which belong in the answer.
    pub(crate) fn page<T>(&self, matching: impl Iterator<Item = T>) -> Vec<T> {
        matching.skip(self.start - 1).take(self.count).collect()
    }

    /// The answer with a page of `total`.
    pub(crate) fn answer(&self, total: usize, page: &[Value]) -> Value {
        answer(total, self.start, page)
    }
}

/// An answer with everything that there is.
pub(crate) fn whole(resources: &[Value]) -> Value {
    answer(resources.len(), 1, resources)
}

fn answer(total: usize, start: usize, resources: &[Value]) -> Value {
    json!({ "schemas": [LIST], "totalResults": total, "startIndex": start, "itemsPerPage": resources.len(), "Resources": resources })
}
