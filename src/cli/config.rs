//! `curfew config`: what is wrong with a configuration, or what is in force.

use std::path::PathBuf;

use super::output::{Format, Layout};
use super::session::Session;
use crate::app::config::Config;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say what is wrong, or print what is in force, defaults included.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE", env = "CURFEW_CONFIG", default_value = "curfew.toml")]
        config: PathBuf,
    },
}

impl Command {
    pub(super) fn run(self, session: &Session) -> anyhow::Result<()> {
        let Self::Check { config } = self;
        let config = Config::load(&config)?;
        crate::app::check(&config)?;
        // People read a configuration in the language that they wrote it in.
        if session.global.format == Format::Table && session.global.field.is_none() {
            return super::output::write(&toml::to_string_pretty(&config.effective())?);
        }
        session.print(&config.effective(), Layout::fields(&[]))
    }
}
