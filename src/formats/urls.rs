//! Where that is found which credentials refer to: the URLs in them, and the paths that are served.

use crate::model::Position;

/// Path of the status lists; each has its number behind it.
pub const STATUS_PATH: &str = "/v1/status";

/// Path of the CRLs; each has the number of its issuing key behind it, and `.crl`.
pub const CRL_PATH: &str = "/v1/crl";

/// What the URLs in credentials begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls {
    /// `iss` of tokens; their status lists are found below it.
    pub issuer: String,
    /// The CRLs of certificates are found below it.
    pub crl: String,
}

impl Urls {
    /// Where the status list with this number is found.
    pub fn status_list(&self, list: u64) -> String {
        format!("{}{STATUS_PATH}/{list}", self.issuer)
    }

    /// Where all status lists are named.
    pub fn status_lists(&self) -> String {
        format!("{}{STATUS_PATH}", self.issuer)
    }

    /// Where the CRL of an issuing key is found.
    pub fn crl(&self, key: Position) -> String {
        format!("{}{CRL_PATH}/{key}.crl", self.crl)
    }
}
