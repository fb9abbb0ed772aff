//! The public listener, where anybody may come.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::Attacked;
use super::wire::{rest, tls};

/// Sends bytes as they are, and everything that is answered.
async fn ask(attacked: &Attacked, request: &[u8]) -> String {
    let mut stream = tls(&attacked.broker, None, &["http/1.1"]).await.unwrap();
    // It may be refused before everything is sent.
    let _closed = stream.write_all(request).await;
    String::from_utf8_lossy(&rest(stream, Duration::from_secs(20)).await.expect("closed")).into_owned()
}

pub(super) async fn get(attacked: &Attacked, path: &str) -> String {
    ask(attacked, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await
}

#[test]
fn no_trick_with_a_path_reaches_anything() {
    let attacked = Attacked::new();
    let long = format!("/{}", "a".repeat(100_000));
    for path in [
        "/v1/../v1/keys",
        "//v1/keys",
        "/v1//keys",
        "/v1/keys/",
        "/v1/%6beys",
        "/v1/keys%2f",
        "/v1/keys%00",
        "/V1/KEYS",
        "/..%2f..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/keys/issuer.key",
        "/v1/keys;a=b",
        "/v1\\keys",
        "*",
        "/metrics",
        "/curfew.v1.Credentials/IssueToken",
        &long,
    ] {
        let answer = attacked.runtime.block_on(get(&attacked, path));
        let shown: String = path.chars().take(40).collect();
        assert!(!answer.starts_with("HTTP/1.1 2") && !answer.starts_with("HTTP/1.1 3"), "{shown}: {answer}");
    }
    assert!(attacked.runtime.block_on(get(&attacked, "/v1/keys")).starts_with("HTTP/1.1 200"));
    attacked.stands();
}

#[test]
fn malformed_requests_and_floods_of_headers_are_refused() {
    let attacked = Attacked::new();
    let many: String = (0..20_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let large = format!("x: {}\r\n", "z".repeat(4 << 20));
    for head in [many.as_str(), large.as_str(), "Content-Length: -1\r\n", " folded\r\n"] {
        let request = format!("GET /v1/keys HTTP/1.1\r\nHost: localhost\r\n{head}Connection: close\r\n\r\n");
        let answer = attacked.runtime.block_on(ask(&attacked, request.as_bytes()));
        assert!(!answer.contains("\"keys\""), "{answer}");
    }
    attacked.stands();
}

#[test]
fn requests_that_come_slowly_or_never_end_hold_nothing() {
    let attacked = Attacked::with(&[("handshake_time = \"10s\"", "handshake_time = \"1s\"")]);
    let heads: [&[u8]; 3] = [
        b"",
        b"GET /v1/keys HTTP/1.1\r\nHost: local",
        b"POST /v1/revocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nbody",
    ];
    for head in heads {
        let answer = attacked.runtime.block_on(async {
            let mut stream = tls(&attacked.broker, None, &["http/1.1"]).await.unwrap();
            stream.write_all(head).await.unwrap();
            rest(stream, Duration::from_secs(15)).await
        });
        let answer = answer.map(|answer| String::from_utf8_lossy(&answer).into_owned());
        assert!(answer.as_deref().is_some_and(|answer| !answer.starts_with("HTTP/1.1 2")), "{answer:?}");
    }
    attacked.stands();
}
