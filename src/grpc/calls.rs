//! One call: its identity, its answer, its error as `Status`, and its count.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use super::fields;
use super::peer::Peer;
use super::status::status;
use crate::ambient::Entropy;
use crate::broker::{Broker, Error};
use crate::model::Timestamp;
use crate::policy::Caller;
use crate::publish::Publisher;

/// What calls are answered with.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The use cases.
    pub(crate) broker: Arc<Broker>,
    /// The signed list and the checkpoint.
    pub(crate) publisher: Arc<Publisher>,
    /// Names faults.
    pub(crate) entropy: Entropy,
    /// What is counted.
    pub(crate) meters: CallMeters,
    /// The broker stops: streams end, so that they hold up nothing.
    pub(crate) stopping: CancellationToken,
}

/// Every service. Clones share their parts.
#[derive(Clone, Debug)]
pub(super) struct Api(pub(super) Arc<Parts>);

/// A request with everything that is needed to answer it.
pub(super) trait Call: Send {
    /// What it is answered with.
    type Answer: Send;

    /// Parses, asks the broker, and says what it answered.
    fn answer(self, parts: &Parts, caller: &Caller) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

/// What a caller gets until it goes away or is told why not.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A request that is answered by a stream. It is a call until that begins.
pub(super) trait Subscription: Send {
    /// What comes, one after the other.
    type Item: Send;

    /// Parses, asks the broker, and begins.
    fn begin(self, parts: Arc<Parts>, peer: Peer) -> impl Future<Output = Result<Answers<Self::Item>, Error>> + Send;
}

impl Api {
    /// Answers one call.
    pub(super) async fn call<C: Call>(&self, method: Method, request: Request<C>) -> Result<Response<C::Answer>, Status> {
        let parts = &*self.0;
        let (peer, call) = parts.peer(request)?;
        let trace = Trace::begin(parts, method, peer.caller());
        let outcome = match peer.believed(trace.started) {
            Ok(()) => call.answer(parts, peer.caller()).await,
            Err(denial) => Err(denial.into()),
        };
        trace.end(outcome)
    }

    /// Begins one stream.
    pub(super) async fn stream<S: Subscription>(&self, method: Method, request: Request<S>) -> Result<Response<Answers<S::Item>>, Status> {
        let (peer, subscription) = self.0.peer(request)?;
        let trace = Trace::begin(&self.0, method, peer.caller());
        let outcome = match peer.believed(trace.started) {
            Ok(()) => subscription.begin(Arc::clone(&self.0), peer.clone()).await,
            Err(denial) => Err(denial.into()),
        };
        trace.end(outcome)
    }
}

/// What a call leaves when it ends, though nobody waits for its answer any more: who goes away in time
/// must not leave less than others.
struct Trace<'a> {
    parts: &'a Parts,
    method: Method,
    caller: &'a Caller,
    started: Timestamp,
    code: Code,
}

impl<'a> Trace<'a> {
    fn begin(parts: &'a Parts, method: Method, caller: &'a Caller) -> Self {
        Self { parts, method, caller, started: parts.broker.clock().now(), code: Code::Cancelled }
    }

    fn end<T>(mut self, outcome: Result<T, Error>) -> Result<Response<T>, Status> {
        let answer = outcome.map(Response::new).map_err(|error| self.parts.refuse(self.caller, &error));
        self.code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        answer
    }
}

impl Drop for Trace<'_> {
    fn drop(&mut self) {
        let Self { parts, method, caller, started, code } = *self;
        parts.audit(method, caller, code);
        parts.meters.count(method, code, parts.broker.clock().now().since(started));
    }
}

impl Parts {
    /// Who asks, and what.
    fn peer<T>(&self, request: Request<T>) -> Result<(Peer, T), Status> {
        let (_, mut extensions, message) = request.into_parts();
        let peer = extensions.remove::<Peer>();
        Ok((peer.ok_or_else(|| self.status(&Error::Internal("the connection has no peer".into())))?, message))
    }

    /// What is sent to a caller for an error; a refusal is counted, and told in the ledger later.
    pub(super) fn refuse(&self, caller: &Caller, error: &Error) -> Status {
        if let Some(reason) = error.refusal() {
            self.meters.refused(reason);
            self.broker.note_refusal(caller, error);
        }
        self.status(error)
    }

    /// A line in the log for each call of an administrator; `docs/audit.md` says what else it leaves.
    fn audit(&self, Method { service, method }: Method, caller: &Caller, code: Code) {
        if self.broker.is_administrator(caller) {
            tracing::info!(target: "curfew::audit", caller = %caller.spiffe_id, service, method, code = code_name(code), "administrative call");
        }
    }

    /// What is sent for an error.
    fn status(&self, error: &Error) -> Status {
        status(error, &self.fault())
    }

    /// A name under which a fault can be found in the log.
    fn fault(&self) -> String {
        self.entropy.bytes::<8>().map_or_else(|_none| "an unnamed fault".to_owned(), |bytes| fields::hex(&bytes))
    }
}

/// Which call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Method {
    /// The service, such as `Owners`.
    pub(super) service: &'static str,
    /// The method, such as `revoke_by_owner`.
    pub(super) method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    service: &'static str,
    method: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// Counts and durations of calls. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct CallMeters {
    calls: Family<Outcome, Counter>,
    refusals: Family<Why, Counter>,
    seconds: Family<Method, Histogram, fn() -> Histogram>,
}

impl Default for CallMeters {
    fn default() -> Self {
        // The clock goes by milliseconds.
        let seconds: fn() -> Histogram = || Histogram::new([0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0]);
        Self { calls: Family::default(), refusals: Family::default(), seconds: Family::new_with_constructor(seconds) }
    }
}

impl CallMeters {
    /// Shows them in `registry`, whose prefix names the listener.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("calls", "Calls by service, method and gRPC status code", self.calls.clone());
        registry.register("refusals", "Requests that were refused, by reason; one in a batch counts by itself", self.refusals.clone());
        registry.register_with_unit("call_duration", "Time taken to answer a call", Unit::Seconds, self.seconds.clone());
    }

    /// Counts what was refused before it was a call.
    pub(super) fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&Why { reason }).inc();
    }

    fn count(&self, method: Method, code: Code, taken: std::time::Duration) {
        self.calls.get_or_create(&Outcome { service: method.service, method: method.method, code: code_name(code) }).inc();
        self.seconds.get_or_create(&method).observe(taken.as_secs_f64());
    }
}

/// The code as gRPC writes it.
pub(super) const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
