//! A wire between a client and its broker that a test can cut and mend. It sees only TLS.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

/// The wire; it lasts until this is dropped.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    whole: watch::Sender<bool>,
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
        let (whole, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = state.clone();
                tokio::spawn(async move {
                    if !*state.borrow_and_update() {
                        return;
                    }
                    let far = TcpSocket::new_v4().unwrap();
                    far.bind(place).unwrap();
                    let mut far = far.connect(target).await.unwrap();
                    tokio::select! {
                        _ended = copy_bidirectional(&mut near, &mut far) => {}
                        _cut = state.changed() => {}
                    }
                });
            }
        });
        Self { address, whole }
    }

    /// Ends every connection, and lets none through.
    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}
