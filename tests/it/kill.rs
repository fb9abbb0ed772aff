//! SIGKILL under load: whatever a client received stands in the ledger, what was called ended is
//! ended, and the ledger is whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use curfew::client::{Client, Config, api};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Broker, REGISTRY, eventually, program, rounds, run};
use crate::holder::{certificate, token};
use crate::sources::World;

const CONNECTIONS: usize = 4;
const CALLERS: usize = 6;

/// What the broker answered in one round.
#[derive(Debug, Default)]
struct Answered {
    /// Ids of credentials.
    issued: Vec<String>,
    /// Ids of those that were revoked, and the position of the cut.
    ended: BTreeMap<String, u64>,
    /// Tasks that were closed, and the position of that.
    closed: BTreeMap<u64, u64>,
}

/// What the callers note. Whoever notes enough ends the broker in the same instant.
struct Notebook {
    answered: Mutex<Answered>,
    more: Condvar,
    broker: Pid,
    enough: Box<dyn Fn(&Answered) -> bool + Send + Sync>,
}

type Notes = Arc<Notebook>;

impl Notebook {
    fn note(&self, what: impl FnOnce(&mut Answered)) {
        let mut answered = self.answered.lock().unwrap();
        what(&mut answered);
        if (self.enough)(&answered) {
            // It may be dead already.
            let _ = kill_process(self.broker, Signal::KILL);
            self.more.notify_all();
        }
    }

    /// Returns when there was enough.
    fn wait(&self) {
        let patience = Duration::from_secs(30);
        let waited = self.more.wait_timeout_while(self.answered.lock().unwrap(), patience, |answered| !(self.enough)(answered)).unwrap();
        assert!(!waited.1.timed_out(), "not enough answers within {patience:?}: {:?}", waited.0);
    }
}

/// Asks for tokens until the broker is gone.
async fn tokens(client: Client, notes: Notes) {
    while let Ok(answer) = token(&client, "production", 0).await {
        notes.note(|answered| answered.issued.push(answer.issuance.unwrap().credential_id));
    }
}

/// Asks for certificates until the broker is gone.
async fn certificates(client: Client, notes: Notes) {
    while let Ok((issuance, _)) = certificate(&client, "production", 0).await {
        notes.note(|answered| answered.issued.push(issuance.credential_id));
    }
}

/// Revokes what was issued last, again and again, until the broker is gone.
async fn revocations(administrator: Client, notes: Notes) {
    loop {
        let last = notes.answered.lock().unwrap().issued.last().cloned();
        let Some(id) = last else {
            tokio::task::yield_now().await;
            continue;
        };
        let ask = api::RevokeRequest {
            subject: Some(api::revoke_request::Subject::CredentialId(id.clone())),
            reason: api::RevocationReason::Superseded.into(),
            ..Default::default()
        };
        let Ok(answer) = administrator.revocations().revoke(ask).await else { return };
        let position = answer.into_inner().position;
        notes.note(|answered| answered.ended.extend([(id, position)]));
    }
}

/// Opens tasks and closes them until the broker is gone.
async fn tasks(client: Client, notes: Notes) {
    loop {
        let deadline = curfew::ambient::Clock::system().now().plus(Duration::from_secs(1800));
        let ask = api::TasksOpenRequest {
            environment: "production".to_owned(),
            deadline: Some(prost_types::Timestamp { seconds: deadline.seconds().try_into().unwrap(), nanos: 0 }),
            purpose: "a job".to_owned(),
            ..Default::default()
        };
        let Ok(opened) = client.tasks().open(ask).await else { return };
        let task = opened.into_inner().task.unwrap().task;
        // Something is alive under it when it ends.
        let Ok(answer) = token(&client, "production", task).await else { return };
        notes.note(|answered| answered.issued.push(answer.issuance.unwrap().credential_id));
        let Ok(closed) = client.tasks().close(api::TasksCloseRequest { task, note: String::new() }).await else { return };
        let position = closed.into_inner().position;
        notes.note(|answered| answered.closed.extend([(task, position)]));
    }
}

/// Calls of every sort, over several connections. All are open before the first call, whose answer
/// may end the broker.
async fn call(workload: Config, administrator: Config, notes: Notes) -> Vec<tokio::task::JoinHandle<()>> {
    let administrator = Client::connect(administrator).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(workload.clone()).await.unwrap());
    }
    let mut callers = Vec::new();
    for client in clients {
        callers.extend((0..CALLERS).map(|_| tokio::spawn(tokens(client.clone(), Arc::clone(&notes)))));
        callers.push(tokio::spawn(certificates(client.clone(), Arc::clone(&notes))));
        callers.push(tokio::spawn(tasks(client, Arc::clone(&notes))));
    }
    callers.push(tokio::spawn(revocations(administrator, notes)));
    callers
}

/// Everything that was answered is there.
async fn check(administrator: &Client, answered: &Answered) {
    for id in &answered.issued {
        let ask = api::CredentialsGetRequest { credential_id: id.clone() };
        let known = administrator.credentials().get(ask).await.unwrap().into_inner();
        assert_eq!(&known.credential_id, id);
        if let Some(cut) = answered.ended.get(id) {
            assert_eq!(known.death.map(|death| death.position), Some(*cut), "{id} was ended");
        }
    }
    for (task, closed) in &answered.closed {
        let ask = api::TasksCloseRequest { task: *task, note: String::new() };
        let again = administrator.tasks().close(ask).await.unwrap().into_inner();
        assert_eq!((again.position, again.repeated), (*closed, true), "task {task} was closed");
    }
}

/// Different rounds end at different moments: as an issuance is answered, or the end of something,
/// some more answers later each time.
fn moment(round: usize) -> Box<dyn Fn(&Answered) -> bool + Send + Sync> {
    if round.is_multiple_of(2) {
        Box::new(move |answered| answered.issued.len() >= 17 * (1 + round % 11))
    } else {
        Box::new(move |answered| answered.ended.len() + answered.closed.len() > round % 7)
    }
}

#[test]
fn what_was_answered_survives_a_kill_at_any_moment() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    let (workload, administrator) = (broker.identity("payments/api"), broker.administrator());
    let (mut ended, mut closed) = (0, 0);
    for round in 1..=rounds(10, 1000) {
        let process = Pid::from_raw(broker.process_id().try_into().unwrap()).unwrap();
        let notes = Notebook { answered: Mutex::default(), more: Condvar::new(), broker: process, enough: moment(round) };
        let notes = Arc::new(notes);
        let configs = (broker.client_config(&workload), broker.client_config(&administrator));
        let callers = runtime.block_on(call(configs.0, configs.1, Arc::clone(&notes)));
        notes.wait();
        broker.kill();
        for caller in callers {
            runtime.block_on(caller).unwrap();
        }
        broker.serve();
        let answered = std::mem::take(&mut *notes.answered.lock().unwrap());
        runtime.block_on(async { check(&broker.client(&administrator).await, &answered).await });
        (ended, closed) = (ended + answered.ended.len(), closed + answered.closed.len());
    }
    assert!(ended > 0 && closed > 0, "{ended} revoked, {closed} tasks closed");
    assert!(broker.stop().success(), "{}", broker.log());
    let file = broker.dir().join("data").join("ledger.db");
    broker.curfew(&administrator, ["ledger".as_ref(), "verify".as_ref(), file.as_os_str()]).done();
}

/// Workloads that the source names besides those of the tests.
const MANY: usize = 2000;

/// The registry of the tests with many more workloads, all of one purpose.
fn registry(purpose: &str) -> String {
    let workload = |number: usize| {
        format!("  - {{spiffe_id: spiffe://example.org/many/w{number}, owner: payments, purpose: {purpose}, environments: [production]}}\n")
    };
    let workloads: String = (0..MANY).map(workload).collect();
    REGISTRY.replace("workloads:\n", &format!("workloads:\n{workloads}"))
}

/// How many entries record one of them with this purpose.
fn recorded(ledger: &Path, purpose: &str) -> usize {
    let exported = run(program().args(["ledger", "export"]).arg(ledger)).done();
    let entries = exported.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    entries.filter(|entry| entry["event"] == "workload_recorded" && entry["fields"]["purpose"] == purpose).count()
}

#[test]
fn a_change_of_a_source_is_in_the_ledger_whole_or_not_at_all_whenever_the_process_is_killed() {
    let mut world = World::begin(&["assets"]);
    let ledger = world.broker.dir().join("data/ledger.db");
    let journal = world.broker.dir().join("data/ledger.db-wal");
    for round in 1..=rounds(6, 300) {
        let purpose = format!("round {round}");
        let size = || fs::metadata(&journal).map(|file| (file.len(), file.modified().ok())).ok();
        let mut last = size();
        let new = world.broker.scratch().join("new.yaml");
        fs::write(&new, registry(&purpose)).unwrap();
        fs::rename(new, world.file("assets")).unwrap();
        // As the first bytes of it are written, some writes later, or when it is told.
        let mut writes = 0;
        eventually(Duration::from_secs(60), || {
            let now = size();
            writes += usize::from(now != last);
            last = now;
            let log = world.broker.log();
            let told = log.contains(&format!(" -> {purpose}\"")) || log.contains(&format!("purpose: {purpose};"));
            (writes > round % 3 || told).then_some(())
        });
        world.broker.kill();
        run(program().args(["ledger", "verify"]).arg(&ledger)).done();
        let stands = recorded(&ledger, &purpose);
        assert!(stands == 0 || stands == MANY, "{stands} of {MANY} records of round {round}");
        world.broker.serve();
        world.until_workload("spiffe://example.org/many/w1999", |workload| workload["purpose"] == purpose.as_str());
        let known = world.until("assets", |source| source["state"] == "believed");
        assert_eq!(known["records"].as_u64(), Some(11 + MANY as u64), "{known}");
    }
    world.end();
}
