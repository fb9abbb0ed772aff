//! `curfew demo` and `curfew dev`: the story holds, and nothing is left behind.

use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{eventually, program, run};

#[test]
fn each_step_of_the_demo_does_what_was_promised() {
    let told = run(program().args(["demo", "--format", "json"])).json();
    let steps = told["steps"].as_array().unwrap();
    assert!(told["ok"] == true && steps.len() == 10 && steps.iter().all(|step| step["ok"] == true), "{told}");
    let revoked: Vec<&str> = steps[7]["what"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    for (service, process) in [("ledger-api", "ledger-1"), ("mesh", "mesh-1")] {
        assert!(revoked.iter().any(|line| line.starts_with(&format!("{service}: {process} has confirmed"))), "{revoked:?}");
    }
    let aloud = run(program().arg("demo")).done();
    assert!((20..60).contains(&aloud.lines().count()), "to be read in a screen and a half: {aloud}");
}

/// Whoever ends it, the broker with its keys must not stay.
#[test]
fn a_sample_that_is_told_to_end_takes_its_broker_and_its_folder_with_it() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut dev = program().args(["dev", "--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = dev.stdout.take().unwrap();
        let mut text = Vec::new();
        let running: Value = loop {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            text.push(byte[0]);
            if let Ok(running) = serde_json::from_slice(&text) {
                break running;
            }
        };
        let (folder, grpc) = (running["folder"].as_str().unwrap(), running["grpc"].as_str().unwrap());
        assert!(Path::new(folder).exists() && TcpStream::connect(grpc).is_ok(), "{running}");
        kill_process(Pid::from_raw(dev.id().try_into().unwrap()).unwrap(), signal).unwrap();
        assert!(dev.wait().unwrap().success());
        assert!(!Path::new(folder).exists(), "{signal:?} left {folder}");
        eventually(Duration::from_secs(10), || TcpStream::connect(grpc).is_err().then_some(()));
    }
}
