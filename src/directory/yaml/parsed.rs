//! What files say, kept by what stands in them: a file that is as it was is not parsed again.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use ring::digest::{SHA256, digest};

use super::{Draft, options};

/// What was made of the files of the last reading, by the SHA-256 of each.
#[derive(Debug, Default)]
pub(crate) struct Parsed(HashMap<[u8; 32], Draft<Box<str>>>);

impl Parsed {
    /// What all of these files say; `None` if one cannot be read. Whatever else was kept is forgotten.
    pub(super) fn all(&mut self, files: &[(PathBuf, String)]) -> Option<Draft<&str>> {
        let files: Vec<([u8; 32], &str)> = files.iter().map(|(_, text)| (sha256(text), text.as_str())).collect();
        let there: HashSet<&[u8; 32]> = files.iter().map(|(digest, _)| digest).collect();
        self.0.retain(|digest, _| there.contains(digest));
        let new: Vec<_> = files.iter().copied().filter(|(digest, _)| !self.0.contains_key(digest)).collect();
        self.0.extend(parsed(&new)?);
        let mut all = Draft::default();
        files.iter().filter_map(|(digest, _)| self.0.get(digest)).for_each(|draft| all.extend(draft.map(&Box::as_ref)));
        Some(all)
    }
}

/// The SHA-256 of a file, and what was made of it.
type Made = ([u8; 32], Draft<Box<str>>);

/// Parses files: two at a time, since that is most of what a large folder costs.
fn parsed(files: &[([u8; 32], &str)]) -> Option<Vec<Made>> {
    let (first, second) = files.split_at(files.len() / 2);
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| parsed_each(first));
        let second = parsed_each(second);
        (first.join(), second)
    });
    let mut drafts = first.ok()??;
    drafts.extend(second?);
    Some(drafts)
}

fn parsed_each(files: &[([u8; 32], &str)]) -> Option<Vec<Made>> {
    let parsed = |(digest, text): &([u8; 32], &str)| {
        let mut draft = Draft::default();
        let documents: Vec<Draft<String>> = serde_saphyr::from_multiple_with_options(text, options()).ok()?;
        // What is kept has no more room than it takes.
        documents.iter().for_each(|document| draft.extend(document.map(&|text: &String| text.as_str().into())));
        Some((*digest, draft))
    };
    files.iter().map(parsed).collect()
}

fn sha256(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_change_is_not_parsed_again_and_what_is_gone_is_not_kept() {
        let environment = |name: &str| (PathBuf::from("a.yaml"), format!("environments:\n  - name: {name}\n"));
        let place = |parsed: &Parsed, text: &str| parsed.0.get(&sha256(text)).map(|draft| draft.environments.as_ptr());
        let (one, two, other) = (environment("one"), environment("two"), environment("other"));
        let mut parsed = Parsed::default();
        assert_eq!(parsed.all(&[one.clone(), two.clone()]).expect("it is read").environments.len(), 2);
        let before = (place(&parsed, &one.1).expect("kept"), place(&parsed, &two.1).expect("kept"));
        // Something else cannot be read, and then it can.
        assert_eq!(parsed.all(&[one.clone(), two.clone(), ("b.yaml".into(), "[".to_owned())]), None);
        assert_eq!(parsed.all(&[one.clone(), other.clone()]).expect("it is read").environments.len(), 2);
        assert_eq!((place(&parsed, &one.1), place(&parsed, &two.1), parsed.0.len()), (Some(before.0), None, 2));
    }
}
