//! What a large registry costs: 100,000 workloads are applied, one line of them is changed, and all are reconciled
//! with what was seen; then tokens are issued. Another broker watches a folder of as many.
//!
//! Budget: a change of one line within 1 s, a run of reconciliation within 10 s, 200 MiB, and a token costs at most 5 % more
//! CPU than at a broker with a single workload. Everything goes through the API, over mutual TLS. A folder is looked at each
//! second: so much may lie before its change.
//! `cargo bench --features testing --bench reconcile` takes about two minutes, and prints a table, then one line of JSON. `-- --quick` has a
//! hundredth of the workloads, to see that it works.
//!
//! `-- --feed [ROWS]` hears feeds of 1,000,000 people and identities, or as many as are said, in place of that.

#![expect(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on ends; it measures time and prints figures"
)]

#[path = "../../tests/it/harness.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod harness;

mod feed;
mod folder;
mod issuing;

#[path = "../issue/process.rs"]
#[expect(dead_code, reason = "the benchmark of issuing uses more of it")]
mod process;

use std::time::{Duration, Instant};

use curfew::client::{Client, api};

use harness::{AUDIENCE, Broker};
use issuing::Asked;
use process::Process;

/// Workloads of one owner.
const OF_ONE: usize = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--feed") {
        return feeds(arguments.get(at + 1).and_then(|rows| rows.parse().ok()).unwrap_or(1_000_000));
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let workloads = if quick { 1_000 } else { 100_000 };
    let broker = Broker::start_empty();
    let administrator = broker.administrator();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = broker.client(&administrator).await;
        let mut document = document(workloads);
        let applied = apply(&client, &document).await;
        document.workloads[workloads / 2].purpose = "something else".to_owned();
        let changed = apply(&client, &document).await;
        // The first run reads what the ledger has; the others only what is new.
        let first = reconcile(&client).await;
        let second = reconcile(&client).await;
        let (mib, peak) = settled(&client, &broker).await;
        let small = Broker::start_empty();
        apply(&small.client(&small.administrator()).await, &self::document(1)).await;
        let (few, many) = (Asked::of(&small, "w0").await, Asked::of(&broker, "w0").await);
        let (few, many, ratio) = issuing::compare(&few, &many).await;
        println!("apply {workloads:>7} workloads    {:>9.0} ms", millis(applied));
        println!("apply a change of one   {:>9.0} ms   bar 1000", millis(changed));
        println!("reconcile, first run    {:>9.0} ms   bar 10000", millis(first));
        println!("reconcile, second run   {:>9.0} ms   bar 10000", millis(second));
        println!("resident afterwards     {mib:>9.1} MiB  bar 200");
        println!("resident at most        {peak:>9.1} MiB");
        println!("CPU of a token          {many:>9.1} µs   {few:.1} µs with one workload: ratio {ratio:.3}, bar 1.05");
        let (read, line, (watched, watched_peak)) = folder::measure(workloads).await;
        println!("a folder, at first      {:>9.0} ms", millis(read));
        println!("a folder, one line      {:>9.0} ms   bar 1000, and at most 1000 before it is looked at", millis(line));
        println!("resident, by the folder {watched:>9.1} MiB  bar 200");
        println!("resident at most, by it {watched_peak:>9.1} MiB");
        let json = serde_json::json!({
            "folder_ms": millis(read), "folder_change_ms": millis(line), "folder_resident_mib": watched, "folder_peak_mib": watched_peak,
            "workloads": workloads, "apply_ms": millis(applied), "change_ms": millis(changed),
            "reconcile_first_ms": millis(first), "reconcile_ms": millis(second), "resident_mib": mib, "peak_mib": peak,
            "token_cpu_us": many, "token_cpu_us_alone": few, "token_ratio": ratio,
        });
        println!("{json}");
    });
}

/// Hears each feed with so many rows, and says what that took.
fn feeds(rows: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for feed in &feed::FEEDS {
        let heard = runtime.block_on(feed.measure(rows));
        let waited = |of_ten: usize| millis(heard.revoked[(heard.revoked.len() - 1) * of_ten / 10]);
        let (mib, peak) = heard.resident;
        println!("{:<9} {rows:>9} rows {:>9.1} MiB", heard.holds, heard.mib);
        println!("until heard             {:>9.0} ms   the log said {} times how far it was", millis(heard.took), heard.told);
        println!(
            "revoking meanwhile      {:>9.0} ms   nine of ten within {:.0}, the last {:.0}, of {}",
            waited(5),
            waited(9),
            waited(10),
            heard.revoked.len()
        );
        println!("resident afterwards     {mib:>9.1} MiB");
        println!("resident at most        {peak:>9.1} MiB");
        let json = serde_json::json!({
            "holds": heard.holds, "rows": rows, "mib": heard.mib, "heard_ms": millis(heard.took), "told": heard.told,
            "revoked": heard.revoked.len(), "revoke_median_ms": waited(5), "revoke_p90_ms": waited(9), "revoke_most_ms": waited(10),
            "resident_mib": mib, "peak_mib": peak,
        });
        println!("{json}");
    }
}

fn document(workloads: usize) -> api::RegistryDocument {
    let owner = |number: usize| api::OwnerRecord {
        id: format!("team-{number}"),
        kind: "team".to_owned(),
        business_owner: "b@example.org".to_owned(),
        technical_owner: "t@example.org".to_owned(),
        ..Default::default()
    };
    let workload = |number: usize| api::WorkloadRecord {
        spiffe_id: format!("spiffe://example.org/w{number}"),
        owner: format!("team-{}", number / OF_ONE),
        purpose: "a benchmark".to_owned(),
        environments: vec!["production".to_owned()],
        ..Default::default()
    };
    let downstream = api::DownstreamRecord {
        name: "ledger".to_owned(),
        accepts: vec!["tokens".to_owned()],
        audiences: vec![AUDIENCE.to_owned()],
        environments: vec!["production".to_owned()],
        verifier_kind: "none".to_owned(),
        ..Default::default()
    };
    api::RegistryDocument {
        owners: (0..workloads.div_ceil(OF_ONE)).map(owner).collect(),
        environments: vec![api::EnvironmentRecord { name: "production".to_owned() }],
        workloads: (0..workloads).map(workload).collect(),
        downstreams: vec![downstream],
    }
}

async fn apply(client: &Client, document: &api::RegistryDocument) -> Duration {
    let ask = api::RegistryApplyRequest { document: Some(document.clone()), ..Default::default() };
    let began = Instant::now();
    client.registry().apply(ask).await.expect("applied");
    began.elapsed()
}

async fn reconcile(client: &Client) -> Duration {
    let began = Instant::now();
    client.findings().reconcile(api::FindingsReconcileRequest { dry_run: false }).await.expect("reconciled");
    began.elapsed()
}

/// MiB that are resident once the allocator has given back what was in passing, which it does when it is called
/// again; and the most there were.
async fn settled(client: &Client, broker: &Broker) -> (f64, f64) {
    tokio::time::sleep(Duration::from_secs(2)).await;
    reconcile(client).await;
    Process(broker.process_id()).resident_mib()
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}
