//! `curfew revocations followers`: one line for each process that follows, and one for each downstream
//! that should be followed for and is not.

use serde::Serialize;

use crate::cli::call::answer;
use crate::cli::output::Layout;
use crate::cli::session::Session;
use crate::cli::wire;
use crate::client::{Client, api};

#[derive(Debug, Serialize)]
struct Followers {
    complete_from: Option<String>,
    followers: Vec<Follower>,
}

#[derive(Debug, Serialize)]
struct Follower {
    spiffe_id: Option<String>,
    instance: Option<String>,
    downstreams: Vec<String>,
    kinds: Vec<String>,
    state: Option<String>,
    handed_position: Option<u64>,
    list_issued_at: Option<String>,
    list_age_seconds: Option<u64>,
    confirmed_position: Option<u64>,
    confirmed_at: Option<String>,
    seen_at: Option<String>,
}

const LAYOUT: Layout = Layout::rows(
    "followers",
    &["downstreams", "kinds", "spiffe_id", "instance", "state", "handed_position", "confirmed_position", "list_age_seconds"],
);

pub(super) async fn print(session: &Session, client: &Client) -> anyhow::Result<()> {
    let mut all = Followers { complete_from: None, followers: Vec::new() };
    let mut after = String::new();
    loop {
        let first = after.is_empty();
        let page = answer(client.revocations().list_followers(api::ListFollowersRequest { after, page_size: 1000 })).await?;
        if first {
            all.complete_from = wire::instant(page.complete_from);
            all.followers.extend(page.silent.into_iter().map(Follower::from));
        }
        all.followers.extend(page.followers.into_iter().map(|follower| Follower::known(follower, session)));
        if page.next.is_empty() {
            return session.print(&all, LAYOUT);
        }
        after = page.next;
    }
}

impl Follower {
    fn known(follower: api::Follower, session: &Session) -> Self {
        let issued_at = follower.list_issued_at.as_ref().and_then(wire::timestamp);
        let (downstreams, kinds) = follower.downstreams.into_iter().map(|one| (one.name, one.verifier_kind)).unzip();
        let mut kinds: Vec<String> = kinds;
        kinds.sort();
        kinds.dedup();
        Self {
            spiffe_id: wire::text(follower.spiffe_id),
            instance: wire::text(follower.instance),
            downstreams,
            kinds,
            state: wire::follower_state(follower.state),
            handed_position: wire::number(follower.handed_position),
            list_issued_at: issued_at.map(|at| at.to_string()),
            list_age_seconds: issued_at.map(|at| session.clock.now().since(at).as_secs()),
            confirmed_position: wire::number(follower.confirmed_position),
            confirmed_at: wire::instant(follower.confirmed_at),
            seen_at: wire::instant(follower.seen_at),
        }
    }
}

impl From<api::SilentDownstream> for Follower {
    /// Silent, if it is known who should follow; else `anonymous`.
    fn from(silent: api::SilentDownstream) -> Self {
        let state = if silent.verifier.is_empty() { "anonymous" } else { "silent" };
        Self {
            spiffe_id: wire::text(silent.verifier),
            instance: None,
            downstreams: vec![silent.name],
            kinds: vec![silent.verifier_kind],
            state: Some(state.to_owned()),
            handed_position: None,
            list_issued_at: None,
            list_age_seconds: None,
            confirmed_position: None,
            confirmed_at: None,
            seen_at: None,
        }
    }
}
