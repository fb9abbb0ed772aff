//! What fuzzers found worth keeping, put to every parser again; and each of it cut short and changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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
