//! A service that accepts tokens. It fetches the keys once, follows the signed list in the
//! background, and checks offline: no call to the broker stands in the way of a request.
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
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use curfew::client::{Client, Config, Failure, api};
use curfew::model::{Position, Timestamp};
use curfew::verify::{KeySet, ListRejected, Moment, Presented, Settings, Verifier};

/// How often the list is fetched. It may be 30 s old; after that, everything is rejected.
const EVERY: Duration = Duration::from_secs(5);

/// The clocks of this machine. The steady one decides how old the list is, since nobody sets it.
#[derive(Clone, Copy)]
struct Clocks {
    started: Instant,
}

#[expect(clippy::disallowed_methods, reason = "a program of its own reads the clocks of its machine")]
impl Clocks {
    fn start() -> Self {
        Self { started: Instant::now() }
    }

    fn moment(self) -> Moment {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Moment { wall: Timestamp::EPOCH.plus(since_epoch), steady: self.started.elapsed() }
    }
}

#[expect(clippy::disallowed_methods, reason = "a program of its own reads its environment")]
fn config() -> Result<Config, Box<dyn Error>> {
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let file = |name: &str| -> Result<Vec<u8>, Box<dyn Error>> { Ok(std::fs::read(variable(name)?)?) };
    Ok(Config::new(variable("CURFEW_ADDR")?, file("CURFEW_CACERT")?, file("CURFEW_CLIENT_CERT")?, file("CURFEW_CLIENT_KEY")?))
}

async fn keys(client: &Client) -> Result<KeySet, Box<dyn Error>> {
    let bundle = client.trust().get_bundle(api::GetBundleRequest {}).await.map_err(Failure::from)?.into_inner();
    Ok(KeySet::from_json(&bundle.keys)?)
}

/// Fetches what came since the last list, or the whole list, and applies it.
async fn fetch(client: &Client, verifier: &Verifier, clocks: Clocks) -> Result<(), Box<dyn Error>> {
    let since = verifier.position().map_or(0, Position::get);
    // The age of a list counts from before it was asked for.
    let asked = clocks.moment();
    let list =
        client.revocations().get_list(api::GetListRequest { since, ..Default::default() }).await.map_err(Failure::from)?.into_inner().list;
    match verifier.apply(&list, asked) {
        // The broker may have a new key.
        Err(ListRejected::Key) => verifier.replace_keys(keys(client).await?),
        applied => drop(applied?),
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "it talks to people")]
async fn follow(client: Client, verifier: Arc<Verifier>, clocks: Clocks) {
    loop {
        tokio::time::sleep(EVERY).await;
        // What is known stays in force and grows old: if this goes on, everything is rejected.
        if let Err(error) = fetch(&client, &verifier, clocks).await {
            eprintln!("the revocation list was not fetched: {error}");
        }
    }
}

/// Whether a request may pass, and why not.
fn check(verifier: &Verifier, line: &str, moment: Moment) -> String {
    let Some((token, presented)) = line.split_once(' ').and_then(|(token, hex)| Some((token, fingerprint(hex)?))) else {
        return "no: not a token and a fingerprint".to_owned();
    };
    match verifier.token(token, Presented::Certificate(presented), moment) {
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
    let clocks = Clocks::start();
    let client = runtime.block_on(Client::connect(config()?))?;
    let verifier = Arc::new(Verifier::new(Settings::new(audience.parse()?), runtime.block_on(keys(&client))?));
    // It does not serve before it knows what is revoked.
    runtime.block_on(fetch(&client, &verifier, clocks))?;
    runtime.spawn(follow(client, Arc::clone(&verifier), clocks));
    for line in std::io::stdin().lock().lines() {
        println!("{}", check(&verifier, &line?, clocks.moment()));
    }
    Ok(())
}
