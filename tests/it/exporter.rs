//! An address on this machine that answers what another system exports, over HTTP or HTTPS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::authority::Vouched;

/// What an address answers, under a tag that changes with it; how often it said that nothing is new; and what was
/// shown to it last.
#[derive(Debug, Default)]
struct Shelf {
    body: String,
    tag: u64,
    unchanged: usize,
    authorization: Option<String>,
}

/// An address that answers what stands on its shelf.
pub(crate) struct Exporter {
    pub(crate) address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
}

impl Exporter {
    /// Over HTTP.
    pub(crate) fn of(body: String) -> Self {
        Self::through(body, answer)
    }

    /// Over HTTPS, for `localhost`.
    pub(crate) fn over_tls(body: String, vouched: &Vouched) -> Self {
        let chain = vec![CertificateDer::from_pem_slice(vouched.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(vouched.key.as_bytes()).unwrap();
        let builder = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
        let config = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let config = Arc::new(config);
        Self::through(body, move |stream, shelf| {
            answer(StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream), shelf);
        })
    }

    /// Over HTTP, saying each time that it is at another address now.
    pub(crate) fn moved(body: String, to: String) -> Self {
        Self::through(body, move |mut stream, shelf| {
            request(&mut stream);
            let body = &shelf.lock().unwrap().body;
            let answer = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _sent = stream.write_all(answer.as_bytes());
        })
    }

    fn through(body: String, answer: impl Fn(TcpStream, &Mutex<Shelf>) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shelf = Arc::new(Mutex::new(Shelf { body, tag: 1, ..Shelf::default() }));
        let served = Arc::clone(&shelf);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &served);
            }
        });
        Self { address, shelf }
    }

    pub(crate) fn say(&self, body: String) {
        let mut shelf = self.shelf.lock().unwrap();
        (shelf.body, shelf.tag) = (body, shelf.tag + 1);
    }

    pub(crate) fn unchanged(&self) -> usize {
        self.shelf.lock().unwrap().unchanged
    }

    /// What was shown last of who asks.
    pub(crate) fn authorization(&self) -> Option<String> {
        self.shelf.lock().unwrap().authorization.clone()
    }
}

/// The head of a request.
fn request(stream: &mut impl Read) -> String {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|length| length == 1) {
        request.push(byte[0]);
    }
    String::from_utf8_lossy(&request).into_owned()
}

fn answer(mut stream: impl Read + Write, shelf: &Mutex<Shelf>) {
    let request = request(&mut stream);
    let mut shelf = shelf.lock().unwrap();
    shelf.authorization = request.lines().find_map(|line| line.strip_prefix("authorization: ")).map(str::to_owned);
    let tag = format!("\"{}\"", shelf.tag);
    let is_known = request.contains(&format!("if-none-match: {tag}\r\n"));
    shelf.unchanged += usize::from(is_known);
    let answer = if is_known {
        "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned()
    } else {
        format!("HTTP/1.1 200 OK\r\netag: {tag}\r\ncontent-length: {}\r\n\r\n{}", shelf.body.len(), shelf.body)
    };
    // A broker that is stopped hangs up.
    let _sent = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
}
