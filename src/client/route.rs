//! One broker under several addresses: calls go to the one that answered last, and to the next one after it
//! could not be reached.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::transport::{Channel, Endpoint, Error};
use tower::{Service, ServiceExt as _};

use super::Failure;

/// What carries calls. Clones share it.
#[derive(Clone, Debug)]
pub struct Route {
    /// The one that was reached first.
    first: Channel,
    others: Arc<[Channel]>,
    preferred: Arc<AtomicUsize>,
}

impl Route {
    /// Connects to the first of the addresses that can be reached.
    pub(super) async fn to(mut endpoints: Vec<Endpoint>) -> Result<Self, Failure> {
        let mut failure = Failure::unusable("no address of the broker is given".to_owned());
        for at in 0..endpoints.len() {
            let Some(endpoint) = endpoints.get(at) else { break };
            match endpoint.connect().await {
                Ok(first) => {
                    endpoints.rotate_left(at);
                    let others = endpoints.iter().skip(1).map(Endpoint::connect_lazy).collect();
                    return Ok(Self { first, others, preferred: Arc::default() });
                }
                Err(error) => failure = error.into(),
            }
        }
        Err(failure)
    }

    fn at(&self, place: usize) -> Channel {
        place.checked_sub(1).and_then(|place| self.others.get(place)).unwrap_or(&self.first).clone()
    }
}

impl Service<http::Request<Body>> for Route {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    /// Each channel says for itself whether it is ready.
    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let route = self.clone();
        Box::pin(async move {
            let place = route.preferred.load(Ordering::Relaxed);
            let answer = route.at(place).oneshot(request).await;
            if answer.is_err() {
                // Whoever finds out first turns; the others see that it was turned.
                let next = (place + 1) % (route.others.len() + 1);
                let _turned = route.preferred.compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed);
            }
            answer
        })
    }
}
