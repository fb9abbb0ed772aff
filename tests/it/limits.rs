//! What is too much, over the wire: told in the words of every limit, and nothing else suffers.

use curfew::client::{Failure, api};
use tonic::Code;

use crate::harness::{AUDIENCE, Broker};

fn ask() -> api::IssueTokenRequest {
    api::IssueTokenRequest { environment: "production".to_owned(), audience: AUDIENCE.to_owned(), ..Default::default() }
}

#[test]
fn a_batch_has_500_items_and_a_message_has_its_size() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let broker = Broker::start();
    let client = runtime.block_on(broker.client(&broker.identity("payments/api")));
    let batch = |requests| {
        let answer = runtime.block_on(client.credentials().batch_issue_tokens(api::BatchIssueTokensRequest { requests }));
        answer.map(|answer| answer.into_inner().tokens).map_err(Failure::from)
    };
    let tokens = batch(vec![ask(); 500]).expect("issued");
    let issued = tokens.iter().filter(|token| matches!(token.outcome, Some(api::batched_token::Outcome::Issued(_)))).count();
    assert_eq!((tokens.len(), issued), (500, 500));
    for count in [0, 501] {
        let failure = batch(vec![ask(); count]).expect_err("refused");
        assert_eq!((failure.code, failure.reason.as_deref()), (Code::InvalidArgument, Some("INVALID_ARGUMENT")), "{count}");
    }
    let long = api::IssueTokenRequest { purpose: "x".repeat(2 << 20), ..ask() };
    let failure = batch(vec![long]).expect_err("2 MiB");
    assert_eq!((failure.code, failure.reason.as_deref()), (Code::ResourceExhausted, Some("MESSAGE_TOO_LARGE")));
    assert!(batch(vec![ask()]).is_ok(), "the connection is good for more");
}
