//! A wire between a client and its broker that a test can cut, silence and mend. It sees only TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Whole,
    /// What the broker says waits on the way.
    Silent,
    Cut,
}

/// The wire; it lasts until this is dropped.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
    /// Held by each connection as well.
    open: Arc<()>,
}

impl Wire {
    /// To this address.
    pub(crate) async fn to(target: String) -> Self {
        Self::from_place("127.0.0.1", &target).await
    }

    /// The same, that comes out at an address of this machine: all of 127.0.0.0/8 is.
    pub(crate) async fn from_place(place: &str, target: &str) -> Self {
        let (place, target) = (SocketAddr::new(place.parse().unwrap(), 0), target.parse().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, watched) = watch::channel(State::Whole);
        let open = Arc::new(());
        let each = Arc::downgrade(&open);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (state, open) = (watched.clone(), each.upgrade());
                tokio::spawn(async move {
                    if *state.borrow() == State::Cut {
                        return;
                    }
                    let far = TcpSocket::new_v4().unwrap();
                    far.bind(place).unwrap();
                    carry(near, far.connect(target).await.unwrap(), state).await;
                    drop(open);
                });
            }
        });
        Self { address, state, open }
    }

    /// How many connections there are.
    pub(crate) fn carries(&self) -> usize {
        Arc::strong_count(&self.open) - 1
    }

    /// Ends every connection, and lets none through.
    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Lets everything through to the broker, and nothing that it says, before this ends.
    pub(crate) fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Lets everything through again, and what has waited.
    pub(crate) fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

/// Carries bytes both ways until either side ends or the wire is cut.
async fn carry(mut near: TcpStream, mut far: TcpStream, mut state: watch::Receiver<State>) {
    let (mut near_in, mut near_out) = near.split();
    let (mut far_in, mut far_out) = far.split();
    let mut audible = state.clone();
    let back = async {
        let mut bytes = vec![0; 16 << 10];
        while let Ok(length @ 1..) = far_in.read(&mut bytes).await {
            let speaks = audible.wait_for(|state| *state != State::Silent).await.is_ok();
            if !speaks || near_out.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ended = copy(&mut near_in, &mut far_out) => {}
        () = back => {}
        _cut = state.wait_for(|state| *state == State::Cut) => {}
    }
}
