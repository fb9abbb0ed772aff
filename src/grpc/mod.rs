//! The gRPC listener: mutual TLS, one file per service, and the only mapping from errors to `Status`.

use axum::Router;
use tonic_health::server::HealthReporter;

mod calls;
mod fields;
mod peer;
mod services;
mod status;
mod time;
mod trust;

pub(crate) use calls::{CallMeters, Parts};
pub(crate) use peer::{ClientVerifier, MutualTls, Peer};
pub(crate) use trust::{Issuer, Trust, TrustBundles};

/// Every service with health and reflection, and what sets the health. No request may be longer
/// than `longest` bytes, but for those that carry a registry or policies.
///
/// # Errors
/// If the descriptors cannot be served by reflection.
pub(crate) fn router(parts: Parts, longest: usize) -> Result<(Router, HealthReporter), tonic_reflection::server::Error> {
    let (routes, health) = services::routes(parts, longest)?;
    Ok((routes.prepare().into_axum_router(), health))
}
