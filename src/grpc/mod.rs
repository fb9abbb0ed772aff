//! The gRPC listener: mutual TLS, one file per service, and the only mapping from errors to `Status`.

mod peer;
mod svid;
mod trust;
