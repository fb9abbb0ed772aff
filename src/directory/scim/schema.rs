//! What resources consist of (RFC 7643): the attributes that this server keeps. Others that a client
//! sends are passed over.

/// The extension that makes a group an owner.
pub(crate) const OWNER: &str = "urn:curfew:params:scim:schemas:extension:1.0:Owner";

/// The two types of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A person.
    User,
    /// A team, a vendor or a person as an owner.
    Group,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Boolean,
    DateTime,
    Reference,
    Complex,
}

/// Whether a client may write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutability {
    ReadWrite,
    ReadOnly,
}

impl Mutability {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "readWrite",
            Self::ReadOnly => "readOnly",
        }
    }
}

/// Whether two resources of a source may have the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uniqueness {
    None,
    Server,
}

impl Uniqueness {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Server => "server",
        }
    }
}

/// An attribute (RFC 7643, section 7).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) of: Type,
    pub(super) many: bool,
    pub(super) required: bool,
    pub(super) exact: bool,
    pub(super) mutability: Mutability,
    pub(super) uniqueness: Uniqueness,
    pub(super) subs: &'static [Self],
    pub(super) canonical: &'static [&'static str],
    pub(super) about: &'static str,
}

/// A text that may be left out.
const fn text(name: &'static str, about: &'static str) -> Attribute {
    let (subs, canonical): (&[Attribute], &[&str]) = (&[], &[]);
    let (mutability, uniqueness) = (Mutability::ReadWrite, Uniqueness::None);
    Attribute { name, of: Type::Text, many: false, required: false, exact: false, mutability, uniqueness, subs, canonical, about }
}

/// The attributes of one schema.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Schema {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) attributes: &'static [Attribute],
}

/// What every resource has.
pub(super) const COMMON: Schema = Schema {
    id: "",
    name: "",
    about: "",
    attributes: &[
        Attribute { exact: true, mutability: Mutability::ReadOnly, ..text("id", "The number of the resource.") },
        Attribute { exact: true, ..text("externalId", "What the client calls it.") },
        Attribute {
            exact: true,
            mutability: Mutability::ReadOnly,
            many: true,
            of: Type::Reference,
            ..text("schemas", "The schemas of the resource.")
        },
        Attribute {
            of: Type::Complex,
            mutability: Mutability::ReadOnly,
            subs: &[
                Attribute { exact: true, mutability: Mutability::ReadOnly, ..text("resourceType", "The type of the resource.") },
                Attribute { of: Type::DateTime, mutability: Mutability::ReadOnly, ..text("created", "When it was created.") },
                Attribute { of: Type::DateTime, mutability: Mutability::ReadOnly, ..text("lastModified", "When it was last changed.") },
                Attribute { of: Type::Reference, exact: true, mutability: Mutability::ReadOnly, ..text("location", "Where it is found.") },
                Attribute { exact: true, mutability: Mutability::ReadOnly, ..text("version", "Its entity tag.") },
            ],
            ..text("meta", "About the resource.")
        },
    ],
};

pub(super) const USER: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:User",
    name: "User",
    about: "A person, whom owners, workloads and services may name as business or technical owner.",
    attributes: &[
        Attribute { required: true, uniqueness: Uniqueness::Server, ..text("userName", "One of the names by which the person is known.") },
        text("displayName", "The name for people to read."),
        Attribute {
            of: Type::Complex,
            subs: &[text("formatted", "The whole name."), text("familyName", "The family name."), text("givenName", "The given name.")],
            ..text("name", "The person's name.")
        },
        Attribute {
            of: Type::Complex,
            many: true,
            subs: &[
                text("value", "The address: one of the names by which the person is known."),
                text("display", "The address for people to read."),
                Attribute { canonical: &["work", "home", "other"], ..text("type", "What it is used for.") },
                Attribute { of: Type::Boolean, ..text("primary", "Whether it is the first to use.") },
            ],
            ..text("emails", "Mail addresses.")
        },
        Attribute { of: Type::Boolean, ..text("active", "Whether the person answers for anything. Without it: yes.") },
    ],
};

pub(super) const GROUP: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:Group",
    name: "Group",
    about: "An owner: the party that answers for workloads.",
    attributes: &[
        Attribute { required: true, ..text("displayName", "Its name; the id of the owner is made from the first one.") },
        Attribute {
            of: Type::Complex,
            many: true,
            subs: &[
                Attribute { exact: true, ..text("value", "The id of a user of the same source.") },
                Attribute { of: Type::Reference, exact: true, ..text("$ref", "Where the user is found.") },
                Attribute { canonical: &["User"], ..text("type", "The type of the member.") },
            ],
            ..text("members", "The people of the group.")
        },
    ],
};

pub(super) const OWNER_SCHEMA: Schema = Schema {
    id: OWNER,
    name: "Owner",
    about: "What makes a group an owner of workloads.",
    attributes: &[
        Attribute {
            canonical: &["team", "vendor", "person"],
            exact: true,
            ..text("kind", "What sort of party it is. Without it: a team.")
        },
        text("businessOwner", "Who answers for the purpose. Without it: whom the configuration of the source names."),
        text("technicalOwner", "Who answers for the running. Without it: whom the configuration of the source names."),
        Attribute { of: Type::DateTime, ..text("contractEnd", "When the contract ends. A vendor has one.") },
        Attribute { of: Type::Boolean, ..text("active", "Whether it owns anything. Set to false, everything under it ends.") },
    ],
};

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::User, Self::Group];

    /// The word for it in `meta.resourceType`.
    pub(crate) const fn name(self) -> &'static str {
        self.core().name
    }

    /// Where its resources are found.
    pub(crate) const fn endpoint(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
        }
    }

    pub(super) const fn core(self) -> &'static Schema {
        match self {
            Self::User => &USER,
            Self::Group => &GROUP,
        }
    }

    pub(super) const fn extension(self) -> Option<&'static Schema> {
        match self {
            Self::User => None,
            Self::Group => Some(&OWNER_SCHEMA),
        }
    }
}

/// The attribute of a name, which SCIM compares without case.
pub(super) fn named<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}
