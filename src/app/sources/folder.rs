//! A folder of registry files.

use ring::digest::{Context, SHA256};

use super::{Found, Settled};
use crate::app::config::sources::Folder;
use crate::broker::Said;
use crate::directory::Names;
use crate::directory::yaml::{self, Parsed};

/// What the files say; the same as what was settled if they are.
///
/// # Errors
/// If they cannot be read, or say nothing that could be understood.
pub(super) fn read(folder: &Folder, (names, parsed): (&Names, &mut Parsed), settled: Option<&Settled>) -> Result<Found, String> {
    let files = folder.files().map_err(|error| error.to_string())?;
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
    if settled.is_some_and(|settled| settled.digest == digest) {
        return Ok(Found::Same);
    }
    let (snapshot, problems) = yaml::sift(&files, names, parsed).map_err(|problems| match &problems[..] {
        [one] => one.to_string(),
        problems => {
            format!("{} and {} more", problems.first().map(ToString::to_string).unwrap_or_default(), problems.len().saturating_sub(1))
        }
    })?;
    let said = Said { digest, snapshot, wrong: problems.len(), problems: problems.iter().map(ToString::to_string).collect() };
    Ok(Found::New(Box::new(said), None))
}
