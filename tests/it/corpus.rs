//! What fuzzers found worth keeping, put to every parser again; and each of it cut short and changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use curfew::fuzzing::{TARGETS, Target};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The kept inputs of a target.
fn inputs(target: Target) -> Vec<Vec<u8>> {
    let folder = folder().join(target.name);
    let kept: Vec<Vec<u8>> = names(&folder).iter().map(|name| fs::read(folder.join(name)).unwrap()).collect();
    assert!(!kept.is_empty(), "{} has no corpus", target.name);
    kept
}

#[test]
fn every_parser_has_a_corpus_and_every_corpus_a_parser() {
    assert_eq!(names(&folder()), TARGETS.iter().map(|target| target.name.to_owned()).collect());
}

#[test]
fn what_must_hold_of_any_input_holds_of_every_kept_one() {
    for target in TARGETS {
        inputs(*target).iter().for_each(|input| (target.run)(input));
    }
}

/// A mebibyte of lists in lists, and of objects in objects.
fn nested() -> [String; 3] {
    let lists = 1 << 19;
    let objects = (1 << 20) / 6;
    [
        format!("{}{}", "[".repeat(lists), "]".repeat(lists)),
        format!("{}0{}", "{\"a\":".repeat(objects), "}".repeat(objects)),
        "[".repeat(1 << 20),
    ]
}

/// A JSON object with something in the place of each member in turn; nothing of what is none.
fn replaced(object: &[u8], nested: &str) -> Vec<String> {
    let Ok(Value::Object(members)) = serde_json::from_slice(object) else { return Vec::new() };
    let with = |replaced: &String| {
        let member = |(name, value): (&String, &Value)| {
            format!("\"{name}\":{}", if name == replaced { nested.to_owned() } else { value.to_string() })
        };
        format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
    };
    members.keys().map(with).collect()
}

/// The same of what is JSON in a compact JWS: the header and the payload.
fn replaced_in_jws(jws: &[u8], nested: &str) -> Vec<String> {
    let parts: Vec<&str> = std::str::from_utf8(jws).unwrap_or_default().trim().split('.').collect();
    let &[header, payload, signature] = &*parts else { return Vec::new() };
    let of = |part: &str| replaced(&URL_SAFE_NO_PAD.decode(part).unwrap_or_default(), nested);
    let headers = of(header).into_iter().map(|json| format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(json)));
    headers.chain(of(payload).into_iter().map(|json| format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(json)))).collect()
}

/// Whatever is nested, and wherever. A stack that overflows ends the process.
#[test]
fn a_mebibyte_of_nested_json_overflows_no_stack() {
    let mut with_json = BTreeSet::new();
    for (target, nested) in TARGETS.iter().flat_map(|target| nested().map(|nested| (target, nested))) {
        (target.run)(nested.as_bytes());
        let kept = inputs(*target).into_iter().map(|input| [replaced(&input, &nested), replaced_in_jws(&input, &nested)].concat());
        for input in kept.into_iter().find(|changed| !changed.is_empty()).unwrap_or_default() {
            (target.run)(input.as_bytes());
            with_json.insert(target.name);
        }
    }
    let expected = ["claims", "feed_json", "jws", "keys", "list", "scim_patch", "signed_list", "status_list", "token"];
    assert_eq!(with_json.into_iter().collect::<Vec<_>>(), expected);
}

/// How many changed inputs a target is given; policies take milliseconds each.
fn patience(target: Target) -> usize {
    if target.name.starts_with("policy") { 64 } else { 2048 }
}

/// The next of a sequence that looks like chance and is the same at each run.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap()
}

/// Cuts an input short, or flips, replaces, doubles or moves some of it.
fn changed(mut input: Vec<u8>, state: &mut u64) -> Vec<u8> {
    for _ in 0..=next(state) % 3 {
        if input.is_empty() {
            return input;
        }
        let (at, other) = (next(state) % input.len(), next(state) % input.len());
        match next(state) % 6 {
            0 => input.truncate(at),
            1 => input[at] ^= 1 << (next(state) % 8),
            2 => input[at] = u8::try_from(next(state) % 256).unwrap(),
            3 => input.swap(at, other),
            4 => {
                let part = input[at.min(other)..at.max(other)].to_vec();
                input.splice(at..at, part);
            }
            _ => drop(input.drain(at.min(other)..at.max(other))),
        }
    }
    input
}

#[test]
fn what_must_hold_of_any_input_holds_of_kept_ones_that_were_tampered_with() {
    for target in TARGETS {
        let inputs = inputs(*target);
        let mut state = 1;
        for round in 0..patience(*target) {
            (target.run)(&changed(inputs[round % inputs.len()].clone(), &mut state));
        }
    }
}
