//! A wire that the test can cut: it stands between the program and its broker, and sees only TLS.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// What gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// Everything, until the handshake is over.
    Handshake,
    /// What the caller says; no answer comes back.
    AnswersWithheld,
    /// The answers; nothing that the caller says from now on.
    CallsWithheld,
    /// Nothing: both ends are told that the connection is gone.
    Cut,
}

#[derive(Debug)]
struct Wire {
    flow: Mutex<Flow>,
    changed: Condvar,
}

impl Wire {
    fn flow(&self) -> Flow {
        *self.flow.lock().unwrap()
    }

    fn set(&self, flow: Flow) {
        *self.flow.lock().unwrap() = flow;
        self.changed.notify_all();
    }

    /// From the caller to the broker. The caller's second message ends the handshake (RFC 8446,
    /// section 2), and carries its first call or is followed by it.
    fn calls(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; 1 << 14];
        let mut first = true;
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            if !first && self.flow() == Flow::Handshake {
                self.set(Flow::AnswersWithheld);
            }
            first = false;
            match self.flow() {
                Flow::Handshake | Flow::AnswersWithheld => {
                    if to.write_all(&bytes[..length]).is_err() {
                        return;
                    }
                }
                Flow::CallsWithheld => {}
                Flow::Cut => return,
            }
        }
    }

    /// From the broker to the caller.
    fn answers(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; 1 << 14];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            let flow = self.changed.wait_while(self.flow.lock().unwrap(), |flow| *flow == Flow::AnswersWithheld).unwrap();
            let flow = *flow;
            if flow == Flow::Cut || to.write_all(&bytes[..length]).is_err() {
                return;
            }
        }
    }
}

/// One connection to a broker, through the test's hands.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    wire: Arc<Wire>,
}

impl Proxy {
    /// Listens for one connection, and joins it to the broker. Answers are withheld as soon as the
    /// handshake is over.
    pub(crate) fn before(broker: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::new(Wire { flow: Mutex::new(Flow::Handshake), changed: Condvar::new() });
        let (broker, joined) = (broker.to_owned(), Arc::clone(&wire));
        std::thread::spawn(move || {
            let (caller, _) = listener.accept().unwrap();
            // Whoever comes again finds nobody.
            drop(listener);
            let broker = TcpStream::connect(broker).unwrap();
            let ends = [caller.try_clone().unwrap(), broker.try_clone().unwrap()];
            let (from, to) = (caller.try_clone().unwrap(), broker.try_clone().unwrap());
            let calls = Arc::clone(&joined);
            std::thread::spawn(move || calls.calls(from, to));
            let answers = Arc::clone(&joined);
            std::thread::spawn(move || answers.answers(broker, caller));
            drop(joined.changed.wait_while(joined.flow.lock().unwrap(), |flow| *flow != Flow::Cut).unwrap());
            for end in ends {
                // It may be closed already.
                let _ = end.shutdown(Shutdown::Both);
            }
        });
        Self { address, wire }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Lets the answers through that were withheld, and nothing more of what the caller says.
    pub(crate) fn withhold_calls(&self) {
        self.wire.set(Flow::CallsWithheld);
    }

    /// Ends the connection at both ends.
    pub(crate) fn cut(&self) {
        self.wire.set(Flow::Cut);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}
