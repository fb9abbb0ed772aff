//! Policy: pure decisions on facts. Only this module makes a [`Grant`].

mod grant;

pub use grant::{Caller, Grant, IssueRequest, OwnCertificate};
