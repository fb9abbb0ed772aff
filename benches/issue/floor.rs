//! The floor: what the parts cost that nobody can do without.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use curfew::client::api::credentials_server::{Credentials, CredentialsServer};
use curfew::client::{Config, api};
use rcgen::{CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use tonic::transport::{Certificate, Identity, Server as Tonic, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::load::{Call, Target, token_request};
use crate::process::{Process, own_cpu_seconds};

/// The argument that makes this program the server of empty calls.
pub(crate) const SERVE: &str = "--serve-empty-calls";

/// The bytes of an answer: about those of a token.
const ANSWER: usize = 700;

/// Rows a transaction.
const BATCH: usize = 64;

/// CPU of `work`, in microseconds for each thing that it says it did.
fn cpu_micros(length: Duration, mut work: impl FnMut() -> usize) -> f64 {
    work();
    let (cpu, start, mut done) = (own_cpu_seconds(), Instant::now(), 0);
    while start.elapsed() < length {
        done += work();
    }
    (own_cpu_seconds() - cpu) * 1e6 / done as f64
}

/// One ES256 signature.
pub(crate) fn signature(length: Duration) -> f64 {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("a key");
    let message = [7; ANSWER];
    cpu_micros(length, || {
        key.sign(&random, &message).expect("a signature");
        1
    })
}

/// Parsing a signing request and checking its signature.
pub(crate) fn signing_request(length: Duration) -> f64 {
    let request = signing_request_der();
    cpu_micros(length, || {
        let der = request.as_slice().into();
        CertificateSigningRequestParams::from_der(&der).expect("a valid signing request");
        1
    })
}

/// A signing request for a fresh P-256 key.
pub(crate) fn signing_request_der() -> Vec<u8> {
    let key = KeyPair::generate().expect("a key");
    CertificateParams::default().serialize_request(&key).expect("a signing request").der().to_vec()
}

/// One row of 300 bytes by position, in durable transactions of 64.
pub(crate) fn row(length: Duration) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = rusqlite::Connection::open(folder.path().join("rows.db")).expect("a database");
    store
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE rows (position INTEGER PRIMARY KEY, bytes BLOB NOT NULL);",
        )
        .expect("a table");
    let bytes = [7_u8; 300];
    let mut position = 0;
    cpu_micros(length, || {
        let transaction = store.transaction().expect("a transaction");
        let mut insert = transaction.prepare_cached("INSERT INTO rows VALUES (?1, ?2)").expect("a statement");
        for _ in 0..BATCH {
            position += 1;
            insert.execute((position, bytes.as_slice())).expect("a row");
        }
        drop(insert);
        transaction.commit().expect("a commit");
        BATCH
    })
}

/// A server of empty calls, in a process of its own.
pub(crate) struct Server {
    child: Child,
    process: Process,
    config: Config,
}

impl Server {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let authority_key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::default();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, authority_key).expect("an authority");
        let leaf = || {
            let key = KeyPair::generate().expect("a key");
            let leaf =
                CertificateParams::new(vec!["localhost".to_owned()]).expect("a name").signed_by(&key, &authority).expect("a certificate");
            (leaf.pem(), key.serialize_pem())
        };
        let (server, client) = (leaf(), leaf());
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("ca", &authority.pem()), ("cert", &server.0), ("key", &server.1)] {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg(SERVE)
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its address");
        let config = Config {
            server_name: Some("localhost".to_owned()),
            ..Config::new(line.trim(), authority.pem().into_bytes(), client.0.into_bytes(), client.1.into_bytes())
        };
        let process = Process(child.id());
        Self { child, process, config }
    }

    /// Its process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// The empty call.
    pub(crate) fn target(&self) -> Target {
        Target { server: self.config.clone(), call: Call::Token(token_request()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("the server ends");
        self.child.wait().expect("the server has ended");
    }
}

/// The service that does nothing.
struct Empty(String);

#[tonic::async_trait]
impl Credentials for Empty {
    async fn issue_token(&self, _: Request<api::IssueTokenRequest>) -> Result<Response<api::IssueTokenResponse>, Status> {
        Ok(Response::new(api::IssueTokenResponse { token: self.0.clone(), issuance: None }))
    }

    async fn batch_issue_tokens(
        &self,
        _: Request<api::BatchIssueTokensRequest>,
    ) -> Result<Response<api::BatchIssueTokensResponse>, Status> {
        empty_only()
    }

    async fn issue_certificate(&self, _: Request<api::IssueCertificateRequest>) -> Result<Response<api::IssueCertificateResponse>, Status> {
        empty_only()
    }

    async fn list(&self, _: Request<api::CredentialsListRequest>) -> Result<Response<api::CredentialsListResponse>, Status> {
        empty_only()
    }

    async fn get(&self, _: Request<api::CredentialsGetRequest>) -> Result<Response<api::CredentialsGetResponse>, Status> {
        empty_only()
    }
}

fn empty_only<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("empty calls only"))
}

/// Serves empty calls until it is killed, and prints where.
pub(crate) fn serve(arguments: &[String]) {
    let read = |name: &str| std::fs::read(std::path::Path::new(&arguments[0]).join(name)).expect("a file");
    let tls =
        ServerTlsConfig::new().identity(Identity::from_pem(read("cert"), read("key"))).client_ca_root(Certificate::from_pem(read("ca")));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        Tonic::builder()
            .tls_config(tls)
            .expect("usable certificates")
            .add_service(CredentialsServer::new(Empty("t".repeat(ANSWER))))
            .serve_with_incoming(incoming)
            .await
            .expect("the server runs");
    });
}
