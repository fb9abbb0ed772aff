//! After a loss: a new epoch with new keys on the ledger that is left, while no broker runs.

use std::path::PathBuf;
use std::sync::Arc;

use super::config::Config;
use super::error::ServeError;
use super::high_water::Marking;
use super::serve;
use crate::ambient::{Clock, Entropy};
use crate::broker::Broker;
use crate::keys::Material;
use crate::ledger::{HighWater, Ledger, Options};
use crate::model::{Epoch, EpochBegun, Note, Position, Timestamp};

/// What a recovery found and made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The epoch from here on.
    pub epoch: Epoch,
    /// Where it begins.
    pub position: Position,
    /// The last entry from before that is left, and of when it is.
    pub left: (Position, Timestamp),
    /// How far the ledger had come, as far as the high-water mark tells.
    pub reached: Option<Position>,
    /// The files of the retired keys.
    pub retired: Vec<PathBuf>,
    /// By this certificate clients know the broker from now on.
    pub issuer_certificate: PathBuf,
}

/// Begins a new epoch on the ledger of a broker that is stopped. Interrupted at any point, it leaves
/// a ledger that no broker starts on until it is run again.
///
/// # Errors
/// If the ledger is in use or damaged, or a file cannot be written.
pub async fn recover(config: &Config, note: Note) -> Result<Recovered, ServeError> {
    let (clock, entropy) = (Clock::system(), Entropy::system());
    // A mark that cannot be read tells nothing; it is replaced below.
    let reached = config.high_water()?.as_deref().and_then(HighWater::from_json).map(|mark| mark.position());
    let new_epoch = || entropy.bytes().map(Epoch).map_err(ServeError::start);
    // Where nothing is left a ledger is made, and what it begins with is not the epoch that follows.
    let options = Options::new(config.trust_domain().clone(), new_epoch()?);
    let epoch = new_epoch()?;
    let ledger = serve::open_ledger(config.ledger_file()?, options, clock.clone()).await?;
    let head = ledger.head();
    let keys = Material::generate(config.trust_domain(), &entropy, clock.now()).map_err(ServeError::start)?;
    let files = config.as_kept(keys.to_texts(), &entropy)?;

    // The old keys are dead first: from here on no broker starts with them.
    let begun = EpochBegun { epoch, reached, note: Some(note) };
    let committed = Broker::begin_epoch(&*ledger, begun, keys.public_keys()).await.map_err(ServeError::start)?;
    let retired = config.replace_keys(&files, &suffix(committed.time))?;
    Marking::new(config.clone(), Arc::clone(&ledger), clock).mark().await?;
    ledger.close().await;
    let [issuer_certificate, _] = config.issuer_certificates();
    Ok(Recovered {
        epoch,
        position: committed.first.unwrap_or(committed.last),
        left: (head.position, head.time),
        reached,
        retired,
        issuer_certificate,
    })
}

/// What the name of a retired key ends in: a name that a file can have everywhere.
fn suffix(now: Timestamp) -> String {
    format!(".retired-{}", now.to_string().replace([':', '.'], "-"))
}
