//! SIGKILL under load: whatever a client received stands in the ledger, and the ledger is whole.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use curfew::client::{Client, Config, api};

use crate::harness::{AUDIENCE, Broker, eventually};

/// How often it is killed; each time after some more answers.
const ROUNDS: usize = 5;
const CONNECTIONS: usize = 4;
const CALLERS: usize = 8;

fn request() -> api::IssueTokenRequest {
    api::IssueTokenRequest { environment: "production".to_owned(), audience: AUDIENCE.to_owned(), ..Default::default() }
}

/// Asks for tokens until the broker is gone, and notes the id of each that it got.
async fn call(client: Client, received: Arc<Mutex<Vec<String>>>) {
    while let Ok(answer) = client.credentials().issue_token(request()).await {
        let issuance = answer.into_inner().issuance.expect("a token comes with its issuance");
        received.lock().unwrap().push(issuance.credential_id);
    }
}

async fn connect(config: &Config) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(config.clone()).await.unwrap());
    }
    clients
}

#[test]
fn what_any_client_received_survives_a_kill_at_any_moment() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    let workload = broker.identity("payments/api");
    let received = Arc::new(Mutex::new(Vec::new()));
    for round in 1..=ROUNDS {
        let enough = received.lock().unwrap().len() + 61 * round;
        let clients = runtime.block_on(connect(&broker.client_config(&workload)));
        let callers = clients.iter().flat_map(|client| std::iter::repeat_n(client, CALLERS));
        let callers: Vec<_> = callers.map(|client| runtime.spawn(call(client.clone(), Arc::clone(&received)))).collect();
        eventually(Duration::from_secs(30), || (received.lock().unwrap().len() >= enough).then_some(()));
        broker.kill();
        for caller in callers {
            runtime.block_on(caller).unwrap();
        }
        broker.serve();
    }

    let received = received.lock().unwrap().clone();
    let administrator = runtime.block_on(broker.client(&broker.administrator()));
    for id in &received {
        let asked = api::CredentialsGetRequest { credential_id: id.clone() };
        let known = runtime.block_on(administrator.credentials().get(asked)).unwrap().into_inner();
        assert_eq!(&known.credential_id, id);
    }
    assert!(broker.stop().success(), "{}", broker.log());
    let file = broker.dir().join("data").join("ledger.db");
    broker.curfew(&broker.administrator(), ["ledger".as_ref(), "verify".as_ref(), file.as_os_str()]).done();
}
