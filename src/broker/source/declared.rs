//! Sources, as the configuration declares them.

use std::collections::BTreeSet;

use super::inventory::Covers;
use crate::directory::Subject;
use crate::model::{Share, SourceName};

/// How records come from a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceKind {
    /// The broker reads a folder.
    Folder,
    /// The broker reads a file, or asks an address.
    Feed,
    /// The broker asks a database.
    Sql,
    /// A client writes them one by one.
    Scim,
}

impl SourceKind {
    /// The word for it in configurations.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Feed => "feed",
            Self::Sql => "sql",
            Self::Scim => "scim",
        }
    }
}

/// A source, as the configuration declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    /// Its name.
    pub name: SourceName,
    /// How records come from it.
    pub kind: SourceKind,
    /// What it is authoritative for.
    pub holds: BTreeSet<Subject>,
    /// Whether it takes over what the administrators recorded, where it names that.
    pub takes_over: bool,
    /// How much of it may end within a day.
    pub max_ended: Share,
    /// Of which identities it names all that exist, if it is an inventory.
    pub covers: Option<Covers>,
    /// Whether it names all the people there are.
    pub is_complete: bool,
}

/// Whether people whom no source knows are nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::broker) enum Everybody {
    /// No source says that it names all.
    #[default]
    Unclaimed,
    /// One that says so was not read yet, or is not believed.
    Unknown,
    /// They are.
    Known,
}
