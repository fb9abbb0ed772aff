//! The closed sets of words and their numbers in entries.

use crate::{model, proto::entry as wire};

/// A word of a closed set. No word has the number 0, which stands for a missing field.
pub(super) trait Word: Sized {
    /// Its number.
    fn number(self) -> i32;
    /// The word with this number.
    fn numbered(number: i32) -> Option<Self>;
}

macro_rules! words {
    ($($name:ident { $($variant:ident),+ })+) => { $(
        impl Word for model::$name {
            fn number(self) -> i32 {
                match self { $(Self::$variant => wire::$name::$variant.into()),+ }
            }

            fn numbered(number: i32) -> Option<Self> {
                match wire::$name::try_from(number).ok()? {
                    wire::$name::Unspecified => None,
                    $(wire::$name::$variant => Some(Self::$variant)),+
                }
            }
        }
    )+ };
}

words! {
    KeyPurpose { Token, Issuer, List, Checkpoint }
    OwnerKind { Team, Vendor, Person }
    VerifierKind { Follower, Guard, Crl, StatusList, None }
    CredentialKind { AccessToken, JwtSvid, Certificate }
    Bound { Requested, Default, Policy, Kind, Task, Workload, Contract, SigningKey, ClientCertificate, Exception }
    FindingKind { Orphan, Unregistered, Dormant, Shared, OverPrivileged, Overdue, Expiring, Ghost, Ownerless }
    FindingAction { Ignore, Report, Suspend, Revoke }
    Closing { Nothing, Suspend, Offboard, Unregister, MoveOwner, AwaitOwner, CloseTask, EndException }
}
