//! What every call is held to, whatever it is: a time, counted from its first byte, a size, and a share of
//! the memory. All are answered in gRPC's words.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use tonic::Code;

use super::budget::{Budgets, InFlight};
use super::calls::CallMeters;
use super::peer::Peer;
use super::status::{self, Reason};
use crate::ambient::Clock;

/// What a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes of a request, but for those that carry a registry or policies.
    pub(crate) message: usize,
    /// How long a call may take, from its first byte to its answer.
    pub(crate) call: Duration,
    /// Bytes of requests that are in flight.
    pub(crate) in_flight: InFlight,
}

/// The same router, every call within its time, and told so in a status when it is not.
///
/// A stream is held to it until it begins.
pub(super) fn bounded(router: Router, bounds: Bounds, clock: Clock, meters: CallMeters) -> Router {
    let budgets = Budgets::new(bounds.in_flight);
    let bound = move |request: Request, next: Next| {
        let (clock, meters) = (clock.clone(), meters.clone());
        let peer = request.extensions().get::<Peer>();
        let charge = peer.map(|peer| budgets.charge(peer.caller().spiffe_id.clone(), request.uri().path()));
        let request = match &charge {
            Some(charge) => request.map(|body| charge.body(body)),
            None => request,
        };
        async move {
            let answer = tokio::select! {
                biased;
                answer = next.run(request) => answer,
                () = clock.sleep(bounds.call) => {
                    meters.refused(Reason::OutOfTime.as_str());
                    status::out_of_time().into_http()
                }
            };
            if charge.is_some_and(|charge| charge.is_refused()) {
                meters.refused(Reason::TooMuch.as_str());
                return status::too_much().into_http();
            }
            if !is_too_long(&answer) {
                return answer;
            }
            meters.refused(Reason::TooLong.as_str());
            status::too_long().into_http()
        }
    };
    router.layer(middleware::from_fn(bound))
}

/// Whether a request was longer than it may be. No call of ours answers this code; what reads
/// messages does.
fn is_too_long(answer: &Response) -> bool {
    let code = answer.headers().get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok());
    code == Some(Code::OutOfRange as i32)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use axum::body::Body;
    use axum::routing::post;
    use tonic::Status;
    use tonic_types::StatusExt;
    use tower::ServiceExt as _;

    use super::*;
    use crate::model::Timestamp;

    const LONGEST: Duration = Duration::from_secs(30);

    /// What a call is answered when it has taken `taken`.
    async fn ask(path: &str, taken: Duration) -> Option<Status> {
        let (clock, hand) = Clock::manual(Timestamp::from_seconds(1000));
        let too_long = || async { Status::out_of_range("Error, decoded message length too large").into_http::<Body>() };
        let router = Router::new()
            .route("/never", post(pending::<()>))
            .route("/at-once", post(|| async { "done" }))
            .route("/too-long", post(too_long));
        let router = bounded(
            router,
            Bounds { message: 1, call: LONGEST, in_flight: InFlight { each: 1, all: 2, longest: 1 } },
            clock,
            CallMeters::default(),
        );
        let request = Request::post(path).body(Body::empty()).expect("a request");
        let answer = tokio::spawn(router.oneshot(request));
        tokio::task::yield_now().await;
        hand.advance(taken);
        let answer = answer.await.expect("not lost").expect("infallible");
        Status::from_header_map(answer.headers())
    }

    #[tokio::test]
    async fn a_call_that_takes_too_long_is_answered_with_when_to_come_again() {
        let status = ask("/never", LONGEST).await.expect("a status");
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(status.get_details_error_info().map(|info| info.reason).as_deref(), Some("DEADLINE_EXCEEDED"));
        assert!(status.get_details_retry_info().is_some_and(|retry| retry.retry_delay.is_some()));
        assert!(ask("/at-once", LONGEST).await.is_none(), "what is answered is answered");
    }

    #[tokio::test]
    async fn a_request_that_is_too_long_is_refused_in_the_words_of_every_limit() {
        let status = ask("/too-long", Duration::ZERO).await.expect("a status");
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.get_details_error_info().map(|info| info.reason).as_deref(), Some("MESSAGE_TOO_LARGE"));
    }
}
