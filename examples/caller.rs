//! A workload that calls a service again and again. A source keeps a token at hand, renews it long before it ends, and
//! drops it as soon as the follower beside it knows that it is revoked.
//!
//! Each line on standard input stands for a call that is about to be made; the header that it needs comes out.
//!
//! ```sh
//! export CURFEW_ADDR CURFEW_CACERT CURFEW_CLIENT_CERT CURFEW_CLIENT_KEY   # the workload's own identity
//! cargo run --example caller --features client -- production https://ledger.example.org
//! ```

use std::error::Error;
use std::io::BufRead as _;
use std::sync::Arc;

use curfew::ambient::Ambient;
use curfew::client::{Config, CredentialSource, Failure, Follower, Following, HeldToken, api};
use curfew::verify::Settings;

#[expect(clippy::disallowed_methods, reason = "a program of its own reads its environment")]
fn config() -> Result<Config, Box<dyn Error>> {
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let file = |name: &str| -> Result<Vec<u8>, Box<dyn Error>> { Ok(std::fs::read(variable(name)?)?) };
    Ok(Config::new(variable("CURFEW_ADDR")?, file("CURFEW_CACERT")?, file("CURFEW_CLIENT_CERT")?, file("CURFEW_CLIENT_KEY")?))
}

/// Read again at each connection, since certificates are renewed.
fn connect() -> Result<Config, Failure> {
    config().map_err(|error| Failure::unusable(error.to_string()))
}

/// Begins to follow, and to fetch.
async fn source(environment: String, audience: String) -> Result<CredentialSource<HeldToken>, Box<dyn Error>> {
    let following = Following {
        settings: Settings::new(audience.parse()?),
        instance: format!("caller-{}", std::process::id()).parse()?,
        ambient: Ambient::system(),
    };
    let follower = Arc::new(Follower::start(connect, following).await?);
    let request = api::IssueTokenRequest { environment, audience, ..Default::default() };
    Ok(CredentialSource::start(connect, request, Some(follower), Ambient::system()))
}

#[expect(clippy::print_stdout, reason = "it talks to people")]
fn main() -> Result<(), Box<dyn Error>> {
    let (environment, audience) =
        std::env::args().nth(1).zip(std::env::args().nth(2)).ok_or("give the environment, and the audience of the service")?;
    let runtime = tokio::runtime::Runtime::new()?;
    let source = runtime.block_on(source(environment, audience))?;
    for line in std::io::stdin().lock().lines() {
        line?;
        match runtime.block_on(source.credential()) {
            Ok(held) => println!("authorization: Bearer {}", held.token),
            Err(failure) => println!("no token ({}): {failure}", failure.reason.as_deref().unwrap_or("no reason")),
        }
    }
    Ok(())
}
