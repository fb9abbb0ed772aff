//! One call: its answer, or a failure that says what is known of the outcome.

use tonic::{Response, Status};

use crate::client::Failure;

/// Waits for the answer of a call.
pub(super) async fn answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Failure> {
    call.await.map(Response::into_inner).map_err(Failure::from)
}
