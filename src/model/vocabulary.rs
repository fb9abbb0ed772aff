//! The closed sets of words that records, requests and reports use.

use std::fmt;
use std::str::FromStr;

/// Why a word is not in the set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not one of: {known}")]
pub struct WordError {
    found: String,
    known: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word as it is written in files, on the command line and in reports.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or_else(|| WordError {
                    found: text.chars().take(80).collect(),
                    known: Self::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

words!(
    /// What kind of credential.
    CredentialKind {
        /// An access token of RFC 9068's shape.
        AccessToken = "access-token",
        /// A SPIFFE JWT-SVID.
        JwtSvid = "jwt-svid",
        /// An X.509-SVID.
        Certificate = "certificate",
    }
);

words!(
    /// Why something was revoked: a closed set that maps to RFC 5280, section 5.3.1.
    Reason {
        /// What it was for has ended.
        CessationOfOperation = "cessation-of-operation",
        /// The party has left or was moved.
        AffiliationChanged = "affiliation-changed",
        /// Something newer takes its place.
        Superseded = "superseded",
        /// The right to it was taken away.
        PrivilegeWithdrawn = "privilege-withdrawn",
        /// A key is known to somebody else.
        KeyCompromise = "key-compromise",
    }
);

impl Reason {
    /// The `CRLReason` of RFC 5280, section 5.3.1.
    pub const fn code(self) -> u8 {
        match self {
            Self::KeyCompromise => 1,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::PrivilegeWithdrawn => 9,
        }
    }

    /// The reason with this `CRLReason` code, if it is one of the set.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

words!(
    /// Where an owner, workload, environment or downstream stands.
    Standing {
        /// Credentials are issued.
        Active = "active",
        /// Closed to issuing for now; everything issued before is dead.
        Suspended = "suspended",
        /// Closed to issuing until the owner that it was moved to accepts it; everything issued before is dead.
        AwaitsOwner = "awaits-owner",
        /// Closed to issuing; what was issued before is dead, and some of it has not expired.
        Offboarding = "offboarding",
        /// Closed to issuing, and nothing that was issued before can be alive anywhere.
        Offboarded = "offboarded",
    }
);

words!(
    /// What sort of party an owner is.
    OwnerKind {
        /// A team of the organisation.
        Team = "team",
        /// An outside party under a contract that ends.
        Vendor = "vendor",
        /// One person.
        Person = "person",
    }
);

words!(
    /// How a downstream service checks credentials.
    VerifierKind {
        /// It follows the signed list and confirms what it applied.
        Follower = "follower",
        /// It asks the guard beside it.
        Guard = "guard",
        /// A stock TLS stack with a CRL.
        Crl = "crl",
        /// A stock token library with a status list.
        StatusList = "status_list",
        /// It checks signature and expiry only.
        None = "none",
    }
);

words!(
    /// What bounded the life of a credential.
    Bound {
        /// The life that was asked for.
        Requested = "requested",
        /// The default of the kind, where nothing was asked for.
        Default = "default",
        /// `@max_ttl` of a policy that allowed it.
        Policy = "policy",
        /// The longest life of the kind.
        Kind = "kind",
        /// The deadline of the task.
        Task = "task",
        /// `valid_until` of the workload.
        Workload = "workload",
        /// The contract end of the owner.
        Contract = "contract",
        /// The end of the signing key.
        SigningKey = "signing-key",
        /// The end of the client certificate that the token is bound to.
        ClientCertificate = "client-certificate",
        /// The end of the exception by which it was issued.
        Exception = "exception",
    }
);

words!(
    /// What a cut does beside killing what was issued before it.
    Closing {
        /// Nothing: a credential or a key has no issuing to close.
        Nothing = "nothing",
        /// Closed to issuing until reinstated, and expected back.
        Suspend = "suspend",
        /// Closed to issuing until reinstated, and not expected back.
        Offboard = "offboard",
        /// The registry no longer names it: closed until the registry names it again.
        Unregister = "unregister",
        /// Issuing goes on: what was issued before belonged to another owner.
        MoveOwner = "move-owner",
        /// The same, and closed to issuing until the other owner has accepted it.
        AwaitOwner = "await-owner",
        /// A task has ended: closed for good.
        CloseTask = "close-task",
        /// An exception has ended: over for good.
        EndException = "end-exception",
    }
);

words!(
    /// What sort of thing does not fit together.
    FindingKind {
        /// A workload is open and its owner has ended.
        Orphan = "orphan",
        /// An identity in no record asks.
        Unregistered = "unregistered",
        /// Nothing was issued to a workload for long.
        Dormant = "dormant",
        /// One identity uses several keys at once, or comes from several places.
        Shared = "shared",
        /// A workload may act where it does not.
        OverPrivileged = "over-privileged",
        /// Something is open beyond its own end.
        Overdue = "overdue",
        /// A contract ends soon.
        Expiring = "expiring",
        /// A workload is open, and no inventory that speaks for it names it.
        Ghost = "ghost",
        /// Nobody answers any more: a business or technical owner left, or is known nowhere.
        Ownerless = "ownerless",
    }
);

words!(
    /// By what it is seen that one identity is in several hands.
    SharedBy {
        /// Client certificates that it uses in turn.
        Keys = "keys",
        /// Addresses that it comes from in turn.
        Places = "places",
    }
);

words!(
    /// What is done about a finding.
    FindingAction {
        /// It is not raised.
        Ignore = "ignore",
        /// It is told.
        Report = "report",
        /// Its subject is suspended.
        Suspend = "suspend",
        /// Its subject is revoked.
        Revoke = "revoke",
    }
);

words!(
    /// How much a finding matters.
    Severity {
        /// Worth a look.
        Low = "low",
        /// To be looked at.
        Medium = "medium",
        /// To be looked at today.
        High = "high",
    }
);

words!(
    /// What a signing key signs.
    KeyPurpose {
        /// Access tokens and JWT-SVIDs.
        Token = "token",
        /// Certificates (the issuer).
        Issuer = "issuer",
        /// Revocation lists.
        List = "list",
        /// Checkpoints of the ledger.
        Checkpoint = "checkpoint",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_the_codes_of_rfc_5280_and_never_zero() {
        for reason in Reason::ALL {
            assert_ne!(reason.code(), 0);
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
        assert_eq!(Reason::from_code(6), None, "certificateHold is not used");
    }

    #[test]
    fn an_unknown_word_is_refused_with_the_known_ones() {
        let error = "Team".parse::<OwnerKind>().expect_err("another case");
        assert_eq!(error.to_string(), "`Team` is not one of: team, vendor, person");
    }
}
