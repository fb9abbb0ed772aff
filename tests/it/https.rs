//! The public listener, as a stranger reads it: HTTPS/1.1, no client certificate, nothing cached.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::harness::Broker;

/// One answer. Names of headers are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
    }
}

/// Gets a document, which is there.
#[track_caller]
pub(crate) fn get(broker: &Broker, path: &str) -> Answer {
    let answer = send(broker, "GET", path, &[]);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer
}

/// Sends one request over a connection of its own.
pub(crate) fn send(broker: &Broker, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    send_body(broker, method, path, (headers, ""))
}

/// The same, with a body.
pub(crate) fn send_body(broker: &Broker, method: &str, path: &str, (headers, body): (&[(&str, &str)], &str)) -> Answer {
    let mut roots = RootCertStore::empty();
    CertificateDer::pem_file_iter(broker.ca()).unwrap().for_each(|authority| roots.add(authority.unwrap()).unwrap());
    let builder = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
    let config = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap().with_root_certificates(roots).with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let tcp = TcpStream::connect(&broker.addresses().public).unwrap();
    let mut stream = StreamOwned::new(connection, tcp);

    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())).unwrap();
    Answer { status, headers: lines.map(header).collect(), body: body.to_owned() }
}
