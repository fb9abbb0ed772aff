//! SIGKILL under load: whatever a client received stands in the ledger, what was called ended is
//! ended, and the ledger is whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use curfew::client::{Client, Config, api};

use crate::harness::{Broker, eventually, rounds};
use crate::holder::{certificate, token};

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

type Notes = Arc<Mutex<Answered>>;

/// Asks for tokens until the broker is gone.
async fn tokens(client: Client, notes: Notes) {
    while let Ok(answer) = token(&client, "production", 0).await {
        notes.lock().unwrap().issued.push(answer.issuance.unwrap().credential_id);
    }
}

/// Asks for certificates until the broker is gone.
async fn certificates(client: Client, notes: Notes) {
    while let Ok((issuance, _)) = certificate(&client, "production", 0).await {
        notes.lock().unwrap().issued.push(issuance.credential_id);
    }
}

/// Revokes what was issued last, again and again, until the broker is gone.
async fn revocations(administrator: Client, notes: Notes) {
    loop {
        let last = notes.lock().unwrap().issued.last().cloned();
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
        notes.lock().unwrap().ended.insert(id, answer.into_inner().position);
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
        notes.lock().unwrap().issued.push(answer.issuance.unwrap().credential_id);
        let Ok(closed) = client.tasks().close(api::TasksCloseRequest { task, note: String::new() }).await else { return };
        notes.lock().unwrap().closed.insert(task, closed.into_inner().position);
    }
}

/// Calls of every sort, over several connections.
async fn call(workload: Config, administrator: Config, notes: Notes) -> Vec<tokio::task::JoinHandle<()>> {
    let mut callers = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = Client::connect(workload.clone()).await.unwrap();
        callers.extend((0..CALLERS).map(|_| tokio::spawn(tokens(client.clone(), Arc::clone(&notes)))));
        callers.push(tokio::spawn(certificates(client.clone(), Arc::clone(&notes))));
        callers.push(tokio::spawn(tasks(client, Arc::clone(&notes))));
    }
    callers.push(tokio::spawn(revocations(Client::connect(administrator).await.unwrap(), notes)));
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
        let known = administrator.tasks().get(api::TasksGetRequest { task: *task }).await.unwrap().into_inner().task.unwrap();
        assert_eq!(known.closed_position, *closed, "task {task} was closed");
    }
}

#[test]
fn what_was_answered_survives_a_kill_at_any_moment() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    let (workload, administrator) = (broker.identity("payments/api"), broker.administrator());
    let (mut ended, mut closed) = (0, 0);
    for round in 1..=rounds(6, 1000) {
        let notes = Notes::default();
        let configs = (broker.client_config(&workload), broker.client_config(&administrator));
        let callers = runtime.block_on(call(configs.0, configs.1, Arc::clone(&notes)));
        // Different rounds end at different moments: some more answers later each time.
        let enough = 17 * (1 + round % 11);
        eventually(Duration::from_secs(30), || (notes.lock().unwrap().issued.len() >= enough).then_some(()));
        broker.kill();
        for caller in callers {
            runtime.block_on(caller).unwrap();
        }
        broker.serve();
        let answered = std::mem::take(&mut *notes.lock().unwrap());
        runtime.block_on(async { check(&broker.client(&administrator).await, &answered).await });
        (ended, closed) = (ended + answered.ended.len(), closed + answered.closed.len());
    }
    assert!(ended > 0 && closed > 0, "{ended} revoked, {closed} tasks closed");
    assert!(broker.stop().success(), "{}", broker.log());
    let file = broker.dir().join("data").join("ledger.db");
    broker.curfew(&administrator, ["ledger".as_ref(), "verify".as_ref(), file.as_os_str()]).done();
}
