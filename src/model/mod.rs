//! The vocabulary as types: ids, records, entries, and the rules of life and death.
//!
//! No I/O, no async, no clock, no randomness, no wire format, no cryptography.

mod accountable;
mod address;
mod cut;
mod denial;
mod ends;
mod enforcement;
mod event;
mod exception;
mod facts;
mod finding;
mod issued;
mod known;
mod life;
mod living;
mod name;
mod position;
mod record;
mod share;
mod signing;
mod spiffe;
mod time;
mod turnover;
mod vocabulary;
mod written;

pub use address::{Address, Place};
pub use cut::{CLOCK_STEP, CUT_GRACE, CUT_OF_KEY_ENDS, Cut, Cuts, MOST_DOWNSTREAMS, MOST_FURTHER, Subjects, cut_ends};
pub use denial::{Denial, DenialCode, Invalid, Refusal};
pub use enforcement::{Concern, Concerns, Ended, Enforcement, Sight, Sighting, Way, Windows};
pub use event::{CutMade, DownstreamConfirmed, Entry, Epoch, EpochBegun, Event, Held, PolicyText, Recording, Refused};
pub use exception::{Approval, Exception, Exceptions, KnownException, LONGEST_EXCEPTION};
pub use facts::Facts;
pub use finding::{About, Finding, FindingChange, Findings, KnownFinding, Resolution, Waiver};
pub use issued::Issued;
pub use known::{Known, KnownTask};
pub use life::{Bounds, Life, NoLifeLeft};
pub use living::{Accepted, Bucket, Buckets, Census, Group, Living, Whose};
pub use name::{
    Audience, Contact, DownstreamName, EnvironmentName, Instance, NameError, Note, OwnerId, PolicyName, RecordId, Scope, SourceName,
};
pub use position::{CredentialId, CredentialIdError, Position, PositionError};
pub use record::{Closed, Contract, Downstream, Environment, Origin, Owner, Person, PublicKey, Resource, Task, Workload};
pub use share::Share;
pub use signing::{KnownKey, Retirement, SigningKeys};
pub use spiffe::{SpiffeId, SpiffeIdError, TrustDomain};
pub use time::{Timestamp, TimestampError};
pub use turnover::Turnover;
pub use vocabulary::{
    Bound, Closing, CredentialKind, FindingAction, FindingKind, KeyPurpose, OwnerKind, Reason, Severity, SharedBy, Standing, VerifierKind,
    WordError,
};
