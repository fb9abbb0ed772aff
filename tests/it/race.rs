//! Issuing at full speed over many connections while what it stands on ends: a service with the
//! published list rejects everything from before, and there is nothing from after.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use curfew::client::{Client, api};
use curfew::model::CredentialId;
use curfew::verify::{Presented, Rejected};

use crate::harness::{Broker, eventually, rounds};
use crate::holder::{Holder, certificate, token};
use crate::service::Service;

const CONNECTIONS: usize = 4;
const CALLERS: usize = 4;

/// Something that a client holds.
enum Held {
    Token { text: String, presented: Presented },
    Certificate { id: CredentialId, leaf: Vec<u8> },
}

impl Held {
    fn id(&self) -> CredentialId {
        match self {
            Self::Token { text, .. } => id(text),
            Self::Certificate { id, .. } => *id,
        }
    }

    fn check(&self, service: &Service) -> Result<(), Rejected> {
        match self {
            Self::Token { text, presented } => service.token(text, *presented),
            Self::Certificate { leaf, .. } => service.certificate(leaf),
        }
    }
}

/// A token's id.
fn id(token: &str) -> CredentialId {
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims["jti"].as_str().unwrap().parse().unwrap()
}

/// What all callers of a round hold.
type Hands = Arc<Mutex<Vec<Held>>>;

/// One broker, a workload that is raced against, and one that is left alone.
struct Field {
    broker: Arc<Broker>,
    runtime: tokio::runtime::Runtime,
    administrator: Client,
    workload: Holder,
    other: Holder,
}

impl Field {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let broker = Broker::start();
        let administrator = runtime.block_on(broker.client(&broker.administrator()));
        let (workload, other) = (Holder::of(&broker.identity("payments/api")), Holder::of(&broker.identity("acme/reporting")));
        Self { broker: Arc::new(broker), runtime, administrator, workload, other }
    }

    fn connect(&self, holder: &Holder) -> Client {
        self.runtime.block_on(holder.connect(&self.broker))
    }

    /// Lets `call` run over many connections until they hold `enough`, lets `end` end what they
    /// stand on, and checks what is left. `end` answers the position of its cut.
    fn race<C, F>(&self, enough: usize, call: C, end: impl FnOnce(&Client) -> u64)
    where
        C: Fn(Client, Hands) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let hands = Hands::default();
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| self.connect(&self.workload)).collect();
        let callers = clients.iter().flat_map(|client| std::iter::repeat_n(client, CALLERS));
        let callers: Vec<_> = callers.map(|client| self.runtime.spawn(call(client.clone(), Arc::clone(&hands)))).collect();
        eventually(Duration::from_secs(30), || (hands.lock().unwrap().len() >= enough).then_some(()));
        let cut = end(&self.administrator);
        for caller in callers {
            self.runtime.block_on(caller).unwrap();
        }
        let service = Service::covering(&self.broker, cut);
        let hands = hands.lock().unwrap();
        let recorded = self.recorded(hands.iter().map(|held| held.id().position().get()).min());
        for held in hands.iter() {
            let position = held.id().position().get();
            assert!(position < cut, "issued at {position}, above the cut at {cut}");
            assert!(recorded.contains(&held.id()), "{} has no row", held.id());
            let checked = held.check(&service);
            assert!(matches!(checked, Err(Rejected::Revoked { .. })), "{checked:?}");
        }
        let living = self.runtime.block_on(token(&self.connect(&self.other), "production", 0)).unwrap().token;
        service.token(&living, self.other.presented()).expect("the other owner's are accepted");
    }

    /// What the ledger has of the owner, from a position on.
    fn recorded(&self, from: Option<u64>) -> HashSet<CredentialId> {
        let mut found = HashSet::new();
        let mut before = 0;
        while let Some(from) = from {
            let ask = api::CredentialsListRequest { owner: "payments".to_owned(), page_size: 1000, before, ..Default::default() };
            let page = self.runtime.block_on(self.administrator.credentials().list(ask)).unwrap().into_inner();
            found.extend(page.credentials.iter().map(|known| known.credential_id.parse::<CredentialId>().unwrap()));
            before = page.next;
            if before <= from {
                break;
            }
        }
        found
    }

    fn revoke_owner(&self, administrator: &Client) -> u64 {
        let ask = api::RevokeByOwnerRequest {
            owner: "payments".to_owned(),
            reason: api::RevocationReason::CessationOfOperation.into(),
            ..Default::default()
        };
        self.runtime.block_on(administrator.owners().revoke_by_owner(ask)).unwrap().into_inner().position
    }

    fn reinstate_owner(&self) {
        let note = api::OwnersReinstateRequest { owner: "payments".to_owned(), note: "next round".to_owned() };
        self.runtime.block_on(self.administrator.owners().reinstate(note)).unwrap();
    }
}

/// Asks for tokens until it is refused.
async fn tokens(client: Client, presented: Presented, task: u64, hands: Hands) {
    while let Ok(issued) = token(&client, "production", task).await {
        hands.lock().unwrap().push(Held::Token { text: issued.token, presented });
    }
}

/// Asks for certificates, and with each for some tokens, until it is refused.
async fn certificates(broker: Arc<Broker>, client: Client, hands: Hands) {
    while let Ok((issuance, holder)) = certificate(&client, "production", 0).await {
        hands.lock().unwrap().push(Held::Certificate { id: issuance.credential_id.parse().unwrap(), leaf: holder.leaf.clone() });
        let Ok(own) = Client::connect(holder.config(&broker)).await else { return };
        for _ in 0..3 {
            let Ok(issued) = token(&own, "production", 0).await else { return };
            hands.lock().unwrap().push(Held::Token { text: issued.token, presented: holder.presented() });
        }
    }
}

#[test]
fn nothing_of_an_owner_survives_a_revocation_in_the_middle_of_issuing() {
    let field = Field::new();
    let presented = field.workload.presented();
    for round in 1..=rounds(8, 400) {
        field.race(13 * (round % 9), |client, hands| tokens(client, presented, 0, hands), |client| field.revoke_owner(client));
        field.reinstate_owner();
    }
}

#[test]
fn no_certificate_and_nothing_obtained_with_one_survives_a_revocation_in_the_middle_of_issuing() {
    let field = Field::new();
    for round in 1..=rounds(5, 200) {
        let call = |client, hands| certificates(Arc::clone(&field.broker), client, hands);
        field.race(7 * (round % 9), call, |client| field.revoke_owner(client));
        field.reinstate_owner();
    }
}

#[test]
fn nothing_of_a_task_survives_its_end_in_the_middle_of_issuing() {
    let field = Field::new();
    let presented = field.workload.presented();
    let workload = field.connect(&field.workload);
    for round in 1..=rounds(8, 400) {
        let deadline = curfew::ambient::Clock::system().now().plus(Duration::from_secs(1800));
        let ask = api::TasksOpenRequest {
            environment: "production".to_owned(),
            deadline: Some(prost_types::Timestamp { seconds: deadline.seconds().try_into().unwrap(), nanos: 0 }),
            purpose: "a job".to_owned(),
            ..Default::default()
        };
        let task = field.runtime.block_on(workload.tasks().open(ask)).unwrap().into_inner().task.unwrap().task;
        let close = |client: &Client| {
            let ask = api::TasksCloseRequest { task, note: String::new() };
            field.runtime.block_on(client.tasks().close(ask)).unwrap().into_inner().position
        };
        field.race(13 * (1 + round % 9), |client, hands| tokens(client, presented, task, hands), close);
        let outside = field.runtime.block_on(token(&workload, "production", 0)).expect("the workload goes on").token;
        Service::of(&field.broker).token(&outside, presented).expect("and what is of no task is accepted");
    }
}
