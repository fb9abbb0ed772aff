//! The gRPC listener: mutual TLS, one file per service, and the only mapping from errors to `Status`.

use axum::Router;
use tonic_health::server::HealthReporter;

mod bounds;
mod budget;
mod calls;
mod fields;
mod peer;
mod services;
mod status;
mod time;
mod trust;

pub(crate) use bounds::Bounds;
pub(crate) use budget::InFlight;
pub(crate) use calls::{CallMeters, Parts};
pub(crate) use peer::{ClientVerifier, MutualTls, Peer};
pub(crate) use services::LONGEST_DOCUMENT;
pub(crate) use trust::{Issuer, Trust, TrustBundles};

/// Every service with health and reflection, each call within `bounds`; and what sets the health.
///
/// # Errors
/// If the descriptors cannot be served by reflection.
pub(crate) fn router(parts: Parts, bounds: Bounds) -> Result<(Router, HealthReporter), tonic_reflection::server::Error> {
    let (clock, meters) = (parts.broker.clock().clone(), parts.meters.clone());
    let (routes, health) = services::routes(parts, bounds.message)?;
    Ok((bounds::bounded(routes.prepare().into_axum_router(), bounds, clock, meters), health))
}
