//! A service behind the guard: over mutual TLS, it answers whoever brings a token that is bound to the certificate of
//! the connection, and nobody else. The list is followed in the background.
//!
//! ```sh
//! export CURFEW_ADDR CURFEW_CACERT CURFEW_CLIENT_CERT CURFEW_CLIENT_KEY   # the service's own identity
//! export SERVER_CERT SERVER_KEY   # what its callers know it by, PEM
//! export CLIENT_CA                # the authorities of its callers, PEM
//! cargo run --example guarded --features client -- https://ledger.example.org 127.0.0.1:8443
//! ```
//!
//! And as a caller:
//!
//! ```sh
//! curl --cacert "$SERVER_CERT" --cert "$CALLER_CERT" --key "$CALLER_KEY" -H "Authorization: Bearer $TOKEN" https://localhost:8443/
//! ```

use std::error::Error;
use std::sync::Arc;

use axum::routing::get;
use axum::{Extension, Router};
use curfew::ambient::Ambient;
use curfew::client::{Config, Failure, Follower, Following, Guard, Verified};
use curfew::verify::Settings;
use tonic::service::Routes;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

type Problem = Box<dyn Error + Send + Sync>;

#[expect(clippy::disallowed_methods, reason = "a program of its own reads its environment")]
fn file(name: &str) -> Result<Vec<u8>, Problem> {
    let path = std::env::var(name).map_err(|error| format!("{name}: {error}"))?;
    Ok(std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?)
}

#[expect(clippy::disallowed_methods, reason = "a program of its own reads its environment")]
fn config() -> Result<Config, Problem> {
    let address = std::env::var("CURFEW_ADDR").map_err(|error| format!("CURFEW_ADDR: {error}"))?;
    Ok(Config::new(address, file("CURFEW_CACERT")?, file("CURFEW_CLIENT_CERT")?, file("CURFEW_CLIENT_KEY")?))
}

/// What the guard has verified is in the extensions of each request.
async fn hello(Extension(caller): Extension<Verified>) -> String {
    format!("hello, {}\n", caller.subject())
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "it talks to people")]
async fn main() -> Result<(), Problem> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [audience, address] = arguments.as_slice() else {
        return Err("give the audience that this service answers to, and where it listens".into());
    };
    let following = Following {
        settings: Settings::new(audience.parse()?),
        // Each replica has a name of its own.
        instance: format!("guarded-{}", std::process::id()).parse()?,
        ambient: Ambient::system(),
    };
    // Read again at each connection, since certificates are renewed.
    let connect = || config().map_err(|error| Failure::unusable(error.to_string()));
    // It does not serve before it knows what is revoked.
    let follower = Arc::new(Follower::start(connect, following).await?);

    let service = Router::new().route("/", get(hello)).layer(Guard::new(follower).tokens_only());
    let identity = Identity::from_pem(file("SERVER_CERT")?, file("SERVER_KEY")?);
    let tls = ServerTlsConfig::new().identity(identity).client_ca_root(Certificate::from_pem(file("CLIENT_CA")?));
    println!("serving on {address}");
    // The guard knows gRPC too: see mesh.rs.
    Ok(Server::builder().accept_http1(true).tls_config(tls)?.add_routes(Routes::from(service)).serve(address.parse()?).await?)
}
