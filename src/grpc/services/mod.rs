//! One file per service: each parses the fields of a request, asks the broker, and says what it
//! answered.

use tonic::service::Routes;
use tonic_health::server::{HealthReporter, health_reporter};

use super::calls::{Answers, Api, Call, Method, Parts, Subscription};
use crate::proto::{self, api};

mod credentials;
mod enforcement;
mod exceptions;
mod findings;
mod keys;
mod ledger;
mod owners;
mod policy;
mod registry;
mod revocations;
mod sources;
mod tasks;
mod trust;
mod watch;

/// What a request that carries a whole registry or policy text may have at any rate, in bytes.
pub(crate) const LONGEST_DOCUMENT: usize = 16 << 20;

/// Says of each method of a service which message it takes; the message answers. Streams have a name.
macro_rules! service {
    (
        $server:ident::$service:ident { $($method:ident($request:ident) -> $response:ident;)+ }
        $(streams { $($streaming:ident($subscription:ident) -> $stream:ident of $item:ident;)+ })?
    ) => {
        #[tonic::async_trait]
        impl api::$server::$service for super::Api {
            $(async fn $method(
                &self,
                request: tonic::Request<api::$request>,
            ) -> Result<tonic::Response<api::$response>, tonic::Status> {
                let method = super::Method { service: stringify!($service), method: stringify!($method) };
                self.call(method, request).await
            })+
            $($(
                type $stream = super::Answers<api::$item>;

                async fn $streaming(
                    &self,
                    request: tonic::Request<api::$subscription>,
                ) -> Result<tonic::Response<Self::$stream>, tonic::Status> {
                    let method = super::Method { service: stringify!($service), method: stringify!($streaming) };
                    self.stream(method, request).await
                }
            )+)?
        }
    };
}
use service;

/// Every service, with health and reflection; and what sets the health. No request may be longer
/// than `longest` bytes.
///
/// # Errors
/// If the descriptors cannot be served by reflection.
pub(super) fn routes(parts: Parts, longest: usize) -> Result<(Routes, HealthReporter), tonic_reflection::server::Error> {
    let document = longest.max(LONGEST_DOCUMENT);
    let api = Api(std::sync::Arc::new(parts));
    let (reporter, health) = health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let routes = Routes::new(health)
        .add_service(reflection)
        .add_service(api::credentials_server::CredentialsServer::new(api.clone()).max_decoding_message_size(longest))
        .add_service(api::exceptions_server::ExceptionsServer::new(api.clone()).max_decoding_message_size(longest))
        .add_service(api::findings_server::FindingsServer::new(api.clone()).max_decoding_message_size(longest))
        .add_service(api::keys_server::KeysServer::new(api.clone()).max_decoding_message_size(longest))
        .add_service(api::ledger_server::LedgerServer::new(api.clone()).max_decoding_message_size(longest))
        .add_service(api::owners_server::OwnersServer::new(api.clone()).max_decoding_message_size(longest))
        .add_service(api::policy_server::PolicyServer::new(api.clone()).max_decoding_message_size(document))
        .add_service(api::registry_server::RegistryServer::new(api.clone()).max_decoding_message_size(document))
        .add_service(api::revocations_server::RevocationsServer::new(api.clone()).max_decoding_message_size(longest))
        .add_service(api::sources_server::SourcesServer::new(api.clone()).max_decoding_message_size(longest))
        .add_service(api::tasks_server::TasksServer::new(api.clone()).max_decoding_message_size(longest))
        .add_service(api::trust_server::TrustServer::new(api).max_decoding_message_size(longest));
    Ok((routes, reporter))
}

#[cfg(test)]
mod tests;
