//! The same workloads, of a folder that a broker watches.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use curfew::client::{Client, api};

use super::harness::Broker;
use super::{OF_ONE, apply, document, settled};

/// Workloads of one file.
const OF_A_FILE: usize = 10_000;

/// A folder of so many workloads: until all are recorded, until a change of one line is, and the memory then and at most.
pub(crate) async fn measure(workloads: usize) -> (Duration, Duration, (f64, f64)) {
    let mut broker = Broker::prepare();
    let config = fs::read_to_string(broker.config()).expect("a configuration");
    let source = "\n[[source]]\nname = \"assets\"\nkind = \"folder\"\npath = \"assets\"\nevery = \"1s\"\nholds = [\"workloads\"]\n";
    fs::write(broker.config(), format!("{config}{source}")).expect("written");
    let path = broker.dir().join("assets");
    fs::create_dir(&path).expect("a folder");
    let text = |first: usize, purpose: &str| {
        let mut text = "workloads:\n".to_owned();
        for number in first..workloads.min(first + OF_A_FILE) {
            let purpose = if number == first { purpose } else { "a benchmark" };
            let owner = number / OF_ONE;
            writeln!(
                text,
                "  - {{spiffe_id: spiffe://example.org/w{number}, owner: team-{owner}, purpose: {purpose}, environments: [production]}}"
            )
            .expect("a string takes all");
        }
        text
    };
    broker.serve();
    let client = broker.client(&broker.administrator()).await;
    apply(&client, &api::RegistryDocument { workloads: Vec::new(), ..document(workloads) }).await;
    for first in (0..workloads).step_by(OF_A_FILE) {
        fs::write(path.join(format!("{first}.new")), text(first, "a benchmark")).expect("written");
    }
    for first in (0..workloads).step_by(OF_A_FILE) {
        let name = |extension: &str| path.join(format!("{first}.{extension}"));
        fs::rename(name("new"), name("yaml")).expect("renamed");
    }
    let began = Instant::now();
    grown(&client, workloads).await;
    let read = began.elapsed();
    let size = size(&client).await;
    fs::write(path.join("0.new"), text(0, "something else")).expect("written");
    let began = Instant::now();
    fs::rename(path.join("0.new"), path.join("0.yaml")).expect("renamed");
    grown(&client, size + 1).await;
    let changed = began.elapsed();
    (read, changed, settled(&client, &broker).await)
}

/// Returns when the ledger has so many entries.
async fn grown(client: &Client, entries: usize) {
    while size(client).await < entries {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How many entries the ledger has.
async fn size(client: &Client) -> usize {
    let checkpoint = client.ledger().get_checkpoint(api::GetCheckpointRequest {}).await.expect("a checkpoint").into_inner().checkpoint;
    checkpoint.lines().nth(1).and_then(|size| size.parse().ok()).expect("a size")
}
