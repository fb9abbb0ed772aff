//! A folder of registry files.

use ring::digest::{Context, SHA256};

use crate::app::config::sources::Folder;
use crate::broker::Said;
use crate::directory::{Names, yaml};

pub(super) fn read(folder: &Folder, names: &Names) -> Result<Said, String> {
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
    let (snapshot, problems) = yaml::sift(files, names).map_err(|problems| match &problems[..] {
        [one] => one.to_string(),
        problems => {
            format!("{} and {} more", problems.first().map(ToString::to_string).unwrap_or_default(), problems.len().saturating_sub(1))
        }
    })?;
    Ok(Said { digest, snapshot, wrong: problems.len(), problems: problems.iter().map(ToString::to_string).collect() })
}
