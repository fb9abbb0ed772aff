//! Generated wire types. The API is named only by `grpc`, `client` and `cli`, the ledger's messages
//! only by `ledger`.

/// The API, package `curfew.v1`.
pub mod api {
    #![expect(
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::too_many_lines,
        unused_qualifications,
        reason = "generated"
    )]
    tonic::include_proto!("curfew.v1");
}

/// The bytes of the ledger, package `curfew.ledger.v1`.
pub(crate) mod entry {
    #![expect(clippy::module_inception, unreachable_pub, reason = "generated")]
    tonic::include_proto!("curfew.ledger.v1");
}

/// Every descriptor, for reflection.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/curfew.descriptors"));
