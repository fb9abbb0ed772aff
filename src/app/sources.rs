//! The loop of each source: read it, let the broker hear it, wait.

use std::sync::Arc;
use std::time::Duration;

use ring::digest::{Context, SHA256};

use super::config::sources::Source;
use super::metrics::Faults;
use crate::ambient::Clock;
use crate::broker::{Broker, Said};
use crate::directory::{Names, yaml};

/// Reads a source for as long as the broker runs, and at once when somebody wants it.
pub(super) async fn keep(source: Source, broker: Arc<Broker>, clock: Clock, faults: Faults) {
    let name = source.declared.name.clone();
    let every: Duration = source.every;
    let source = Arc::new(source);
    loop {
        let (reading, names) = (Arc::clone(&source), broker.names_beside(&name));
        let read = tokio::task::spawn_blocking(move || read(&reading, &names)).await;
        let said = read.unwrap_or_else(|error| Err(format!("it could not be read: {error}")));
        if let Err(error) = broker.hear_source(&name, said).await {
            tracing::error!(source = %name, %error, "what the source says could not be applied; it is tried again");
            faults.sources.inc();
        }
        tokio::select! {
            () = clock.sleep(every) => {}
            () = broker.source_wanted(&name) => {}
        }
    }
}

fn read(source: &Source, names: &Names) -> Result<Said, String> {
    let files = source.files().map_err(|error| error.to_string())?;
    if files.is_empty() {
        return Err("there is no *.yaml file in the folder".to_owned());
    }
    let mut context = Context::new(&SHA256);
    for part in files.iter().flat_map(|(path, text)| [path.as_os_str().as_encoded_bytes(), text.as_bytes()]) {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    let (snapshot, problems) = yaml::sift(files, names).map_err(|problems| match &problems[..] {
        [one] => one.to_string(),
        problems => {
            format!("{} and {} more", problems.first().map(ToString::to_string).unwrap_or_default(), problems.len().saturating_sub(1))
        }
    })?;
    Ok(Said { digest, snapshot, problems: problems.iter().map(ToString::to_string).collect() })
}
