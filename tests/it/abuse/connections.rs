//! Connections: handshakes that lead nowhere, thousands that stay idle, and what is no TLS at all.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::wire::{rest, tls};
use super::{Attacked, PATIENCE};
use crate::harness::eventually;

/// A TLS 1.3 record that promises a ClientHello of 512 bytes.
const HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

/// How many connections may be open in this process, and in the brokers that it starts.
fn allow_connections(most: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    if now.current.is_some_and(|current| current < most) {
        let most = now.maximum.map_or(most, |maximum| maximum.min(most));
        assert!(most > 11_000, "only {most} files may be open; raise the hard limit (ulimit -Hn)");
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: now.maximum }).expect("up to the hard limit");
    }
}

#[test]
fn handshakes_that_take_too_long_are_shed_and_others_are_served() {
    let attacked = Attacked::with(&[("handshake_time = \"10s\"", "handshake_time = \"1s\"")]);
    for address in [&attacked.broker.addresses().grpc, &attacked.broker.addresses().public] {
        let mut slow = JoinSet::new();
        attacked.runtime.block_on(async {
            for number in 0..200 {
                let mut tcp = TcpStream::connect(address).await.unwrap();
                slow.spawn(async move {
                    if number % 2 == 0 {
                        // A byte now and then does not buy more time.
                        for byte in HELLO {
                            let sent = tcp.write_all(&[*byte]).await;
                            if sent.is_err() || rest(&mut tcp, Duration::from_millis(200)).await.is_some() {
                                return true;
                            }
                        }
                    }
                    rest(tcp, Duration::from_secs(15)).await.is_some()
                });
            }
        });
        attacked.others_are_served();
        let shed = attacked.runtime.block_on(slow.join_all());
        assert!(shed.iter().all(|shed| *shed), "a handshake went on");
    }
    attacked.stands();
}

#[test]
fn ten_thousand_idle_connections_keep_nobody_out() {
    allow_connections(32_768);
    let attacked = Attacked::new();
    let idle = attacked.runtime.block_on(async {
        let mut idle = Vec::new();
        for _ in 0..10_000 {
            idle.push(TcpStream::connect(&attacked.broker.addresses().grpc).await.unwrap());
        }
        idle
    });
    attacked.others_are_served();
    attacked.others_are_served();
    drop(idle);
    attacked.stands();
}

#[test]
fn two_thousand_idle_strangers_with_a_handshake_take_bounded_memory_and_make_room() {
    allow_connections(32_768);
    let attacked = Attacked::new();
    let mut idle = Vec::new();
    attacked.runtime.block_on(async {
        for _ in 0..2000 {
            idle.push(tls(&attacked.broker, None, &["h2"]).await.expect("a handshake"));
        }
    });
    attacked.others_are_served();
    let fetched = attacked.runtime.block_on(super::public::get(&attacked, "/v1/keys"));
    assert!(fetched.starts_with("HTTP/1.1 200"), "{fetched}");
    drop(idle);
    attacked.stands();
}

#[test]
fn of_one_identity_so_many_connections_are_served_and_of_another_at_the_same_address_too() {
    let attacked = Attacked::with(&[("identity_connections = 256", "identity_connections = 4")]);
    // A connection that is served is greeted with settings; the others end after their handshake.
    let served = || {
        attacked.runtime.block_on(async {
            let mut stream = tls(&attacked.broker, Some(&attacked.attacker), &["h2"]).await.ok()?;
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.ok()?;
            stream.read_u8().await.ok().map(|_| stream)
        })
    };
    let mut held: Vec<_> = (0..4).map(|_| served().expect("within the limit")).collect();
    for _ in 0..8 {
        assert!(served().is_none(), "one more than there may be");
        attacked.others_are_served();
    }
    held.pop();
    held.push(eventually(PATIENCE, served));
    assert!(served().is_none(), "one that was given back, and no more");
    attacked.stands();
}

#[test]
fn what_is_no_tls_is_refused_on_both_ports() {
    let attacked = Attacked::new();
    let plain: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        b"\x16\x03\x01\xff\xff",
        &[0; 70_000],
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ];
    for address in [&attacked.broker.addresses().grpc, &attacked.broker.addresses().public] {
        for bytes in plain {
            let answer = attacked.runtime.block_on(async {
                let mut tcp = TcpStream::connect(address).await.unwrap();
                // It may be closed before everything is sent.
                let _closed = tcp.write_all(bytes).await;
                let _closed = tcp.shutdown().await;
                rest(tcp, Duration::from_secs(15)).await
            });
            let answer = answer.expect("closed");
            assert!(answer.len() <= 7, "more than an alert: {answer:?}");
        }
    }
    attacked.stands();
}

#[test]
fn http_1_gets_no_call_through_on_the_grpc_port() {
    let attacked = Attacked::new();
    let refused = attacked.runtime.block_on(tls(&attacked.broker, Some(&attacked.attacker), &["http/1.1"]));
    assert!(refused.is_err(), "HTTP/1.1 was agreed on");
    let answer = attacked.runtime.block_on(async {
        let mut stream = tls(&attacked.broker, Some(&attacked.attacker), &[]).await.unwrap();
        let call = "POST /curfew.v1.Credentials/IssueToken HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/grpc\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";
        stream.write_all(call.as_bytes()).await.unwrap();
        stream.write_all(&[0; 5]).await.unwrap();
        rest(stream, Duration::from_secs(15)).await
    });
    let answer = String::from_utf8_lossy(&answer.expect("closed")).into_owned();
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    attacked.stands();
}
