//! What every command shares: the options that may stand anywhere, a connection, and a way out.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::output::{Format, Layout, Output};
use crate::ambient::{Clock, Entropy, Stopwatch};
use crate::app::config::files;
use crate::client::{Client, Config};
use crate::verify::Moment;

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Global {
    /// The broker, host:port.
    #[arg(long, global = true, env = "CURFEW_ADDR", default_value = "localhost:7443", help_heading = "Broker")]
    pub(super) addr: String,
    /// Certificates that vouch for the broker, PEM.
    #[arg(long, global = true, env = "CURFEW_CACERT", value_name = "FILE", help_heading = "Broker")]
    pub(super) cacert: Option<PathBuf>,
    /// The caller's certificate, PEM.
    #[arg(long, global = true, env = "CURFEW_CLIENT_CERT", value_name = "FILE", help_heading = "Broker")]
    pub(super) cert: Option<PathBuf>,
    /// The key of the caller's certificate, PEM; readable by its owner alone.
    #[arg(long, global = true, env = "CURFEW_CLIENT_KEY", value_name = "FILE", help_heading = "Broker")]
    pub(super) key: Option<PathBuf>,
    /// How results are written.
    #[arg(long, global = true, env = "CURFEW_FORMAT", value_enum, default_value_t, help_heading = "Output")]
    pub(super) format: Format,
    /// Print this field of the result alone, such as `position` or `living.total`.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Output")]
    pub(super) field: Option<String>,
}

/// One run of the program.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) global: Global,
    pub(super) clock: Clock,
    pub(super) entropy: Entropy,
    started: Stopwatch,
}

impl Session {
    pub(super) fn new(global: Global) -> Self {
        Self { global, clock: Clock::system(), entropy: Entropy::system(), started: Stopwatch::start() }
    }

    /// Connects to the broker with the caller's certificate.
    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        let ca = self.ca()?;
        let certificate = files::read_bytes(given(self.global.cert.as_deref(), "--cert", "CURFEW_CLIENT_CERT")?)?;
        let key = files::read_secret(given(self.global.key.as_deref(), "--key", "CURFEW_CLIENT_KEY")?)?;
        Ok(Client::connect(Config::new(&self.global.addr, ca, certificate, key.as_bytes().to_vec())).await?)
    }

    /// The certificates that vouch for the broker, PEM.
    pub(super) fn ca(&self) -> anyhow::Result<Vec<u8>> {
        Ok(files::read_bytes(given(self.global.cacert.as_deref(), "--cacert", "CURFEW_CACERT")?)?)
    }

    /// Now, on both clocks.
    pub(super) fn moment(&self) -> Moment {
        Moment { wall: self.clock.now(), steady: self.started.elapsed() }
    }

    /// Writes a result to standard output.
    pub(super) fn print(&self, result: &impl Serialize, layout: Layout) -> anyhow::Result<()> {
        Output { format: self.global.format, field: self.global.field.clone() }.print(result, layout)
    }

    /// Writes one of a series of results to standard output, so that programs can tell it from the next one.
    pub(super) fn print_next(&self, result: &impl Serialize, layout: Layout) -> anyhow::Result<()> {
        Output { format: self.global.format, field: self.global.field.clone() }.print_next(result, layout)
    }
}

fn given<'a>(path: Option<&'a Path>, option: &str, variable: &str) -> anyhow::Result<&'a Path> {
    path.with_context(|| format!("this needs certificates: give {option} or set {variable}"))
}
