//! A service that checks tokens. A follower keeps keys and the signed list in the background, and checks are
//! offline: no call to the broker stands in the way of a request.
//!
//! Requests come on standard input, one a line: the token, and the SHA-256 of the client certificate
//! of the connection that it came over, as the service's TLS server or the proxy before it knows it.
//!
//! ```sh
//! export CURFEW_ADDR CURFEW_CACERT CURFEW_CLIENT_CERT CURFEW_CLIENT_KEY   # the service's own identity
//! fingerprint=$(openssl x509 -in "$CALLER_CERT" -outform DER | sha256sum | cut -c1-64)
//! echo "$TOKEN $fingerprint" | cargo run --example service --features client -- https://ledger.example.org
//! ```

use std::error::Error;
use std::io::BufRead as _;

use curfew::ambient::Ambient;
use curfew::client::{Config, Failure, Follower, Following};
use curfew::verify::{Presented, Settings};

#[expect(clippy::disallowed_methods, reason = "a program of its own reads its environment")]
fn config() -> Result<Config, Box<dyn Error>> {
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let file = |name: &str| -> Result<Vec<u8>, Box<dyn Error>> { Ok(std::fs::read(variable(name)?)?) };
    Ok(Config::new(variable("CURFEW_ADDR")?, file("CURFEW_CACERT")?, file("CURFEW_CLIENT_CERT")?, file("CURFEW_CLIENT_KEY")?))
}

/// Whether a request may pass, and why not.
fn check(follower: &Follower, line: &str) -> String {
    let Some((token, presented)) = line.split_once(' ').and_then(|(token, hex)| Some((token, fingerprint(hex)?))) else {
        return "no: not a token and a fingerprint".to_owned();
    };
    match follower.token(token, Presented::Certificate(presented)) {
        Ok(accepted) => format!("yes: {}", accepted.claims().subject),
        Err(rejected) => format!("no: {}: {rejected}", rejected.code()),
    }
}

fn fingerprint(hex: &str) -> Option<[u8; 32]> {
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
    bytes?.try_into().ok()
}

#[expect(clippy::print_stdout, reason = "it talks to people")]
fn main() -> Result<(), Box<dyn Error>> {
    let audience = std::env::args().nth(1).ok_or("give the audience that this service answers to")?;
    let runtime = tokio::runtime::Runtime::new()?;
    let following = Following {
        settings: Settings::new(audience.parse()?),
        // Each replica has a name of its own.
        instance: format!("service-{}", std::process::id()).parse()?,
        ambient: Ambient::system(),
    };
    // Read again at each connection, since certificates are renewed.
    let connect = || config().map_err(|error| Failure::unusable(error.to_string()));
    // It does not serve before it knows what is revoked.
    let follower = runtime.block_on(Follower::start(connect, following))?;
    for line in std::io::stdin().lock().lines() {
        println!("{}", check(&follower, &line?));
    }
    Ok(())
}
