//! A feed of very many rows, put in place while a broker runs: until it is heard, and what revoking waits meanwhile.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use curfew::client::{Client, api};

use super::harness::Broker;
use super::{apply, document, settled};

/// What the rows are.
pub(crate) struct Feed {
    holds: &'static str,
    header: &'static str,
    row: fn(usize) -> String,
}

/// People, who are recorded; and an inventory, of which nothing is.
pub(crate) const FEEDS: [Feed; 2] = [
    Feed { holds: "people", header: "id,active,record", row: |number| format!("person-number-{number}@example.org,true,r{number}") },
    Feed { holds: "inventory", header: "spiffe_id", row: |number| format!("spiffe://example.org/some-namespace/service-{number}") },
];

/// What was seen.
pub(crate) struct Heard {
    pub(crate) holds: &'static str,
    pub(crate) mib: f64,
    pub(crate) took: Duration,
    /// How often the log said how far the reading is.
    pub(crate) told: usize,
    /// What each revocation waited, the shortest first.
    pub(crate) revoked: Vec<Duration>,
    pub(crate) resident: (f64, f64),
}

impl Feed {
    /// So many rows, heard by a broker of their own.
    pub(crate) async fn measure(&self, rows: usize) -> Heard {
        let mut broker = Broker::prepare();
        let config = fs::read_to_string(broker.config()).expect("a configuration");
        let source = format!(
            "\n[[source]]\nname = \"many\"\nkind = \"feed\"\npath = \"many.csv\"\nholds = [\"{}\"]\nevery = \"1s\"\n\
             max_bytes = \"1GiB\"\nmax_rows = 10000000\n",
            self.holds
        );
        fs::write(broker.config(), config + &source).expect("written");
        let mut text = format!("{}\n", self.header);
        fs::write(broker.dir().join("many.csv"), &text).expect("written");
        for number in 0..rows {
            writeln!(text, "{}", (self.row)(number)).expect("a string takes all");
        }
        fs::write(broker.dir().join("new.csv"), &text).expect("written");
        let mib = text.len() as f64 / f64::from(1 << 20);
        drop(text);
        broker.serve();
        let client = broker.client(&broker.administrator()).await;
        apply(&client, &document(1)).await;
        fs::rename(broker.dir().join("new.csv"), broker.dir().join("many.csv")).expect("renamed");
        let (began, mut revoked) = (Instant::now(), Vec::new());
        while heard(&client).await < rows {
            revoked.push(revoke(&client).await);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let took = began.elapsed();
        revoked.sort_unstable();
        let resident = settled(&client, &broker).await;
        let told = broker.log().matches("reading a source").count();
        Heard { holds: self.holds, mib, took, told, revoked, resident }
    }
}

/// How many records the source has.
async fn heard(client: &Client) -> usize {
    let asked = client.sources().get(api::SourcesGetRequest { name: "many".to_owned() }).await.expect("it is declared");
    asked.into_inner().source.map_or(0, |source| usize::try_from(source.records).expect("a number"))
}

/// What revoking an owner waits until it is committed.
async fn revoke(client: &Client) -> Duration {
    let reason = api::RevocationReason::CessationOfOperation.into();
    let began = Instant::now();
    let ask = api::RevokeByOwnerRequest { owner: "team-0".to_owned(), reason, ..Default::default() };
    client.owners().revoke_by_owner(ask).await.expect("revoked");
    began.elapsed()
}
