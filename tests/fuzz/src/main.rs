//! Gives what libFuzzer makes to the target that `CURFEW_FUZZ_TARGET` names.

#![no_main]

use std::sync::LazyLock;

use curfew::fuzzing::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("CURFEW_FUZZ_TARGET").expect("CURFEW_FUZZ_TARGET names a target");
    *TARGETS.iter().find(|target| target.name == name).expect("a target of this name")
});

libfuzzer_sys::fuzz_target!(init: { LazyLock::force(&TARGET); }, |input: &[u8]| (TARGET.run)(input));
