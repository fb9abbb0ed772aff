//! What waits to be committed, and what becomes of it when nobody commits any more.

use tokio::sync::oneshot;

use super::*;
use crate::ledger::Urgency;
use crate::ledger::sqlite::queue::{Issuance, Pending, Queue};

#[tokio::test]
async fn what_waits_is_counted_bounded_and_answered_when_nobody_will_commit_it() {
    let ledger = in_memory().ledger;
    let world = populate(&*ledger).await;
    let queue = Queue::new(&Options { most_issuances: 2, ..options() });
    let wait = || {
        let (answer, answered) = oneshot::channel();
        queue.push_issuance(Issuance { grant: world.grant(&*ledger, world.subjects()), nonce: [1; 8], answer }).map(|()| answered)
    };
    assert_eq!((queue.len(), queue.is_full()), (0, false));
    let waiting = [wait().expect("room for two"), wait().expect("room for two")];
    assert_eq!((queue.len(), queue.is_full()), (2, true));
    assert!(matches!(wait(), Err(LedgerError::Overloaded)));
    let mut changes = Vec::new();
    for urgency in [Urgency::First, Urgency::Ordinary, Urgency::Postponable] {
        let (answer, answered) = oneshot::channel();
        let change = Change { urgency, ..cutting(world.owner, Closing::Suspend) };
        queue.push_change(Pending { change, answer }).expect("room for a change");
        changes.push(answered);
    }
    queue.abandon();
    assert_eq!(queue.len(), 0);
    for answered in waiting {
        assert!(answered.await.is_err(), "nobody waits for ever");
    }
    for answered in changes {
        assert!(answered.await.is_err(), "nobody waits for ever");
    }
    assert!(wait().is_err(), "nothing more is taken");
}
