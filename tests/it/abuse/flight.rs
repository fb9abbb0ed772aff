//! Requests that are large and never end: what they may take of the memory is bounded.

use std::time::Duration;

use curfew::ambient::Clock;
use curfew::client::api;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use super::Attacked;
use super::wire::{Bytes, channel};
use crate::harness::eventually;
use crate::holder::token;

const CONNECTIONS: usize = 4;
const STREAMS: usize = 100;

/// A request that announces and sends a message of nearly a mebibyte, and never ends. Only a refusal is an answer.
async fn endless(channel: Channel) -> tonic::Status {
    let length: usize = (1 << 20) - 64;
    // The field 2 is a text: the length in groups of seven bits.
    let group = |bits: usize| u8::try_from(bits & 0x7f).unwrap();
    let head = [0x12, group(length) | 0x80, group(length >> 7) | 0x80, group(length >> 14)];
    let message = [head.as_slice(), &vec![b'x'; length]].concat();
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let body = tokio_stream::once(message).chain(tokio_stream::pending());
    let path = http::uri::PathAndQuery::from_static("/curfew.v1.Credentials/IssueToken");
    grpc.client_streaming::<_, Vec<u8>, Vec<u8>, _>(tonic::Request::new(body), path, Bytes).await.unwrap_err()
}

#[test]
fn requests_that_are_large_and_never_end_take_no_more_memory_than_they_may() {
    let attacked = Attacked::new();
    let client = attacked.runtime.block_on(attacked.broker.client(&attacked.attacker));
    let deadline = Clock::system().now().plus(Duration::from_secs(600));
    let open = api::TasksOpenRequest {
        environment: "production".to_owned(),
        deadline: Some(prost_types::Timestamp { seconds: deadline.seconds().try_into().unwrap(), nanos: 0 }),
        purpose: "a job".to_owned(),
        ..Default::default()
    };
    let task = attacked.runtime.block_on(client.tasks().open(open)).unwrap().into_inner().task.unwrap().task;

    let (told, mut refusals) = tokio::sync::mpsc::unbounded_channel();
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let channel = attacked.runtime.block_on(channel(attacked.broker.client_config(&attacked.attacker)));
        for _ in 0..STREAMS {
            let (channel, told) = (channel.clone(), told.clone());
            streams.spawn_on(async move { told.send(endless(channel).await) }, attacked.runtime.handle());
        }
    }
    // 32 MiB hold some thirty of them.
    let most = CONNECTIONS * STREAMS - 40;
    for _ in 0..most {
        let refused = attacked.runtime.block_on(refusals.recv()).unwrap();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        assert_eq!(refused.get_details_error_info().unwrap().reason, "TOO_MUCH_IN_FLIGHT");
        assert!(refused.get_details_retry_info().is_some());
    }
    attacked.others_are_served();
    // What its own requests take is no hindrance to end something.
    let close = api::TasksCloseRequest { task, ..Default::default() };
    attacked.runtime.block_on(client.tasks().close(close)).unwrap();
    drop(streams);
    // The connections notice that nobody wants those calls any more, and it is as if they had not been.
    eventually(super::PATIENCE, || attacked.runtime.block_on(token(&client, "production", 0)).ok());
    attacked.stands();
}
