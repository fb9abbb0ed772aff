//! A workload that gets a token just in time, and says what to do when it does not get one.
//!
//! ```sh
//! export CURFEW_ADDR CURFEW_CACERT CURFEW_CLIENT_CERT CURFEW_CLIENT_KEY   # the workload's own identity
//! cargo run --example workload --features client -- production https://ledger.example.org
//! ```

use std::error::Error;

use curfew::client::{Client, Config, Failure, Outcome, api};

#[expect(clippy::disallowed_methods, reason = "a program of its own reads its environment")]
fn config() -> Result<Config, Box<dyn Error>> {
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let file = |name: &str| -> Result<Vec<u8>, Box<dyn Error>> { Ok(std::fs::read(variable(name)?)?) };
    Ok(Config::new(variable("CURFEW_ADDR")?, file("CURFEW_CACERT")?, file("CURFEW_CLIENT_CERT")?, file("CURFEW_CLIENT_KEY")?))
}

async fn issue(client: &Client, environment: &str, audience: &str) -> Result<api::IssueTokenResponse, Failure> {
    let request = api::IssueTokenRequest { environment: environment.to_owned(), audience: audience.to_owned(), ..Default::default() };
    Ok(client.credentials().issue_token(request).await?.into_inner())
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to people")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [environment, audience] = arguments.as_slice() else {
        return Err("give an environment and an audience".into());
    };
    let client = Client::connect(config()?).await?;
    match issue(&client, environment, audience).await {
        Ok(issued) => {
            let expires = issued.issuance.and_then(|issuance| issuance.expires_at).ok_or("the broker says no end")?;
            eprintln!("good until {} (Unix time); ask again when it is used up, not before each call", expires.seconds);
            println!("{}", issued.token);
            Ok(())
        }
        Err(failure) => {
            let reason = failure.reason.clone().unwrap_or_default();
            match failure.outcome {
                Outcome::Refused => eprintln!("refused ({reason}): somebody has to change something, or wait"),
                Outcome::NotSent | Outcome::Unknown => eprintln!("not reached or not answered: ask again, it does no harm"),
            }
            Err(failure.into())
        }
    }
}
