//! What an address can answer to hurt, over real sockets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::fetch::{Answer, Unanswered, get};
use crate::app::config::sources::{Trusted, Web};

const MOST: u64 = 1000;

/// A server that reads one request and does with it what it is told.
fn server(answer: impl FnOnce(String, TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        let (mut request, mut byte) = (Vec::new(), [0]);
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|length| length == 1) {
            request.push(byte[0]);
        }
        answer(String::from_utf8(request).expect("text"), stream);
    });
    address
}

/// One that answers this, whatever it is asked.
fn saying(answer: &'static str) -> SocketAddr {
    server(move |_, mut stream| stream.write_all(answer.as_bytes()).expect("it listens"))
}

fn web(host: &str, port: u16) -> Web {
    Web {
        uri: format!("http://{host}:{port}/people?all=1").parse().expect("a URL"),
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port,
        is_https: false,
        timeout: Duration::from_secs(20),
        allow_private: true,
        trusted: Trusted(None),
        authorization: None,
    }
}

fn at(address: SocketAddr) -> Web {
    web("127.0.0.1", address.port())
}

async fn refused(web: &Web) -> String {
    match get(web, None, MOST).await {
        Err(Unanswered::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_leads_inside_is_not_connected_to_whatever_it_is_called() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    listener.set_nonblocking(true).expect("a socket");
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "127.1", "2130706433"] {
        let why = refused(&Web { allow_private: false, ..web(host, port) }).await;
        assert!(why.contains("which is not of the public network; write `allow_private = true`"), "{host}: {why}");
    }
    let nobody = listener.accept().expect_err("nobody came");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_redirect_is_followed_nowhere() {
    let address = saying("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n");
    assert!(refused(&at(address)).await.contains("302 Found, and nobody is followed elsewhere"));
}

#[tokio::test]
async fn a_body_without_end_or_longer_than_allowed_is_given_up() {
    let endless = server(|_, mut stream| {
        let begun = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        let mut going = begun.is_ok();
        while going {
            going = stream.write_all(b"a\r\n0123456789\r\n").is_ok();
        }
    });
    assert_eq!(get(&at(endless), None, MOST).await, Err(Unanswered::TooLong));
    let announced = saying("HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n");
    assert_eq!(get(&at(announced), None, MOST).await, Err(Unanswered::TooLong));
}

#[tokio::test]
async fn whoever_stalls_is_given_up_and_half_a_body_is_none() {
    let slow = server(|_, mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234").expect("it listens");
        // Until the other end hangs up.
        let _ended = stream.read(&mut [0; 8]);
    });
    let why = refused(&Web { timeout: Duration::from_millis(200), ..at(slow) }).await;
    assert!(why.starts_with("it did not answer whole within"), "{why}");
    let silent = server(|_, mut stream| drop(stream.read(&mut [0; 8])));
    assert!(refused(&Web { timeout: Duration::from_millis(200), ..at(silent) }).await.starts_with("it did not answer whole within"));
    for half in ["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n01234"] {
        let why = refused(&at(saying(half))).await;
        assert!(why.contains("before message completed") || why.contains("end of file"), "{why}");
    }
}

#[tokio::test]
async fn what_was_not_asked_for_is_refused() {
    for (answer, told) in [
        ("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx", "in the encoding \"gzip\""),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", "it answers 304"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "it answers 204"),
        ("HTTP/1.1 206 Partial Content\r\ncontent-length: 2\r\n\r\nxx", "it answers 206"),
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", "it answers 401"),
        ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", "it answers 503"),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "invalid HTTP"),
    ] {
        let why = refused(&at(saying(answer))).await;
        assert!(why.contains(told), "{why}");
    }
}

#[tokio::test]
async fn what_is_known_is_asked_for_by_its_tag_and_a_secret_goes_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("authorization");
    crate::app::config::files::create_secret(&secret, "Bearer hush\n").expect("new");
    let address = server(|request, mut stream| {
        assert!(request.starts_with("GET /people?all=1 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Bearer hush\r\n") && request.contains("accept-encoding: identity\r\n"), "{request}");
        stream.write_all(b"HTTP/1.1 200 OK\r\netag: \"7\"\r\ncontent-length: 2\r\n\r\n[]").expect("it listens");
    });
    let tag = HeaderValue::from_static("\"7\"");
    let asked = get(&Web { authorization: Some(secret), ..at(address) }, None, MOST).await;
    assert_eq!(asked, Ok(Answer::Body(b"[]".to_vec(), Some(tag.clone()))));
    let address = server(|request, mut stream| {
        assert!(request.contains("if-none-match: \"7\"\r\n") && !request.contains("authorization"), "{request}");
        stream.write_all(b"HTTP/1.1 304 Not Modified\r\n\r\n").expect("it listens");
    });
    assert_eq!(get(&at(address), Some(&tag), MOST).await, Ok(Answer::Same));
}

/// A TLS server for `name` that answers two callers, and the file of whom to trust for it.
async fn tls_server(name: &str, folder: &tempfile::TempDir) -> (u16, PathBuf) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new([name.to_owned()]).expect("a name").signed_by(&key, &authority).expect("signed");
    let trusted = folder.path().join(format!("{name}.pem"));
    std::fs::write(&trusted, authority.pem()).expect("written");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).expect("they fit");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _request = stream.read(&mut [0; 4096]).await;
            let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]").await;
        }
    });
    (port, trusted)
}

#[tokio::test]
async fn a_server_is_believed_by_its_name_and_by_whom_is_trusted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (port, trusted) = tls_server("localhost", &folder).await;
    let secure = |host: &str, cacert: Option<PathBuf>| Web { is_https: true, trusted: Trusted(cacert), ..web(host, port) };
    assert_eq!(get(&secure("localhost", Some(trusted.clone())), None, MOST).await, Ok(Answer::Body(b"[]".to_vec(), None)));
    let why = refused(&secure("127.0.0.1", Some(trusted))).await;
    assert!(why.contains("not valid for name"), "{why}");
    let (_, stranger) = tls_server("stranger", &folder).await;
    let why = refused(&secure("localhost", Some(stranger))).await;
    assert!(why.contains("UnknownIssuer") || why.contains("BadSignature"), "{why}");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").expect("written");
    assert!(refused(&secure("localhost", Some(empty))).await.contains("there is no certificate authority to trust"));
}
