//! gRPC between two workloads that know each other by certificates of the broker. The service, of tonic, stands behind the
//! guard, which takes certificates alone. The caller's source holds one with a key that never leaves the process: it
//! renews it long before it ends, and drops it as soon as the follower beside it knows that it is revoked.
//!
//! ```sh
//! export CURFEW_ADDR CURFEW_CACERT CURFEW_CLIENT_CERT CURFEW_CLIENT_KEY   # the service's own identity
//! export SERVER_CERT SERVER_KEY   # what its callers know it by, PEM
//! export CLIENT_CA                # the issuers of its callers, PEM: what `curfew keys issuers` prints
//! cargo run --example mesh --features client -- serve https://mesh.example.org 127.0.0.1:8443
//! ```
//!
//! And the caller, who makes a call for each line on standard input:
//!
//! ```sh
//! export CURFEW_ADDR CURFEW_CACERT CURFEW_CLIENT_CERT CURFEW_CLIENT_KEY   # the caller's own identity
//! export SERVER_CERT              # what it knows the service by
//! cargo run --example mesh --features client -- call production https://localhost:8443
//! ```

use std::error::Error;
use std::io::BufRead as _;
use std::sync::Arc;

use curfew::ambient::Ambient;
use curfew::client::{Config, CredentialSource, Failure, Follower, Following, Guard, HeldCertificate, Verified, api};
use curfew::verify::Settings;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

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

/// Read again at each connection, since identities are renewed.
fn connect() -> Result<Config, Failure> {
    config().map_err(|error| Failure::unusable(error.to_string()))
}

async fn follow(audience: &str) -> Result<Arc<Follower>, Problem> {
    let following = Following {
        settings: Settings::new(audience.parse()?),
        // Each replica has a name of its own.
        instance: format!("mesh-{}", std::process::id()).parse()?,
        ambient: Ambient::system(),
    };
    Ok(Arc::new(Follower::start(connect, following).await?))
}

/// What the guard has verified is in the extensions of each request.
#[expect(clippy::print_stdout, reason = "it talks to people")]
fn greet(request: Request<()>) -> Result<Request<()>, Status> {
    let caller = request.extensions().get::<Verified>().ok_or_else(|| Status::internal("there is no guard"))?;
    println!("{} calls", caller.subject());
    Ok(request)
}

#[expect(clippy::print_stdout, reason = "it talks to people")]
async fn serve(audience: &str, address: &str) -> Result<(), Problem> {
    // It does not serve before it knows what is revoked.
    let guard = Guard::new(follow(audience).await?).certificates_only();
    // It stands for any service of tonic.
    let (_, service) = tonic_health::server::health_reporter();
    let identity = Identity::from_pem(file("SERVER_CERT")?, file("SERVER_KEY")?);
    let tls = ServerTlsConfig::new().identity(identity).client_ca_root(Certificate::from_pem(file("CLIENT_CA")?));
    println!("serving on {address}");
    let server = Server::builder().tls_config(tls)?.layer(guard).add_service(InterceptedService::new(service, greet));
    Ok(server.serve(address.parse()?).await?)
}

/// A call over a new connection. Whoever calls often keeps it until the source has another certificate.
async fn ask(source: &CredentialSource<HeldCertificate>, service: &str) -> Result<(), Problem> {
    let held = source.credential().await?;
    let identity = Identity::from_pem(held.chain_pem(), held.key().to_pem());
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(file("SERVER_CERT")?)).identity(identity);
    let channel = Endpoint::from_shared(service.to_owned())?.tls_config(tls)?.connect().await?;
    HealthClient::new(channel).check(HealthCheckRequest::default()).await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it talks to people")]
async fn call(environment: &str, service: &str) -> Result<(), Problem> {
    let request = api::IssueCertificateRequest { environment: environment.to_owned(), ..Default::default() };
    let follower = follow("https://caller.example.org").await?;
    let source = CredentialSource::<HeldCertificate>::start(connect, request, Some(follower), Ambient::system());
    for line in std::io::stdin().lock().lines() {
        line?;
        match ask(&source, service).await {
            Ok(()) => println!("served"),
            Err(why) => println!("not served: {why}"),
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", audience, address] => serve(audience, address).await,
        ["call", environment, service] => call(environment, service).await,
        _ => Err("say `serve` with an audience and an address, or `call` with an environment and the service".into()),
    }
}
