//! `curfew serve`: run a broker, and say where it listens.

use std::io::Write as _;
use std::path::PathBuf;

use super::output::Format;
use crate::app::config::Config;
use crate::app::{self, Addresses, telemetry};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "CURFEW_CONFIG", default_value = "curfew.toml")]
    config: PathBuf,
}

impl Args {
    pub(super) fn run(self, format: Format) -> anyhow::Result<()> {
        let config = Config::load(&self.config)?;
        let _log = telemetry::install(config.log())?;
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        if let Some(threads) = config.worker_threads() {
            runtime.worker_threads(threads);
        }
        let served = runtime.enable_all().build()?.block_on(app::serve(config, |addresses| announce(addresses, format)));
        Ok(served?)
    }
}

/// Whoever started the broker may have stopped reading; that is no reason to stop serving.
fn announce(addresses: &Addresses, format: Format) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(lines(addresses, format).as_bytes()).and_then(|()| stdout.flush());
}

/// One line for each address, or all as one line of JSON.
fn lines(addresses: &Addresses, format: Format) -> String {
    let always = [("grpc", addresses.grpc), ("public", addresses.public), ("admin", addresses.admin)];
    let all = always.into_iter().chain(addresses.lists.map(|address| ("lists", address)));
    match format {
        Format::Json => {
            let object: serde_json::Map<_, _> = all.map(|(name, address)| (name.to_owned(), address.to_string().into())).collect();
            format!("{}\n", serde_json::Value::Object(object))
        }
        Format::Table => all.map(|(name, address)| format!("{name:<6} {address}\n")).collect(),
        Format::Yaml => all.map(|(name, address)| format!("{name}: {address}\n")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_addresses_are_read_back_by_programs() {
        let at = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = Addresses { grpc: at(1), public: at(2), admin: at(3), lists: None };
        let json = lines(&addresses, Format::Json);
        assert_eq!(json.lines().count(), 1);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&json).expect("json"),
            json!({ "grpc": "127.0.0.1:1", "public": "127.0.0.1:2", "admin": "127.0.0.1:3" })
        );
        assert_eq!(lines(&addresses, Format::Table), "grpc   127.0.0.1:1\npublic 127.0.0.1:2\nadmin  127.0.0.1:3\n");
        assert!(lines(&Addresses { lists: Some(at(4)), ..addresses }, Format::Yaml).ends_with("admin: 127.0.0.1:3\nlists: 127.0.0.1:4\n"));
    }
}
