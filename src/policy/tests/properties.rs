//! Rules that hold whatever is asked of whatever policies.

use std::time::Duration;

use proptest::prelude::*;

use super::world::*;
use crate::model::{Closing, CredentialKind, DenialCode, Event, OwnerKind, Position, Recording};
use crate::policy::{Engine, IssueRequest};
