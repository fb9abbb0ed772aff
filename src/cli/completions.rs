//! `curfew completions` and `curfew man`: what packages bring along, made of the command line itself.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;
use serde::Serialize;

use super::output::{self, Layout};
use super::session::Session;
use crate::app::config::files;

/// Writes the completions of a shell to standard output.
pub(super) fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut super::Arguments::command(), "curfew", &mut text);
    output::write(&String::from_utf8(text)?)
}

#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// The folder for the pages; it may exist if it is empty.
    dir: PathBuf,
}

#[derive(Debug, Serialize)]
struct Answer {
    dir: PathBuf,
    pages: usize,
}

impl Man {
    pub(super) fn run(self, session: &Session) -> anyhow::Result<()> {
        files::require_empty(&self.dir)?;
        let pages = pages()?;
        files::create_folder(&self.dir)?;
        for (name, page) in &pages {
            files::create_file(&self.dir.join(name), page)?;
        }
        session.print(&Answer { dir: self.dir, pages: pages.len() }, Layout::fields(&["dir", "pages"]))
    }
}

/// File name and text of a page for each command that there is.
fn pages() -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut root = super::Arguments::command().disable_help_subcommand(true);
    root.build();
    let (mut pages, mut next) = (Vec::new(), vec![root]);
    while let Some(command) = next.pop() {
        let mut page = Vec::new();
        let man = clap_mangen::Man::new(command.clone());
        man.render(&mut page)?;
        pages.push((man.get_filename(), page));
        next.extend(command.get_subcommands().cloned());
    }
    Ok(pages)
}
