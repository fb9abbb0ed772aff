//! What cannot be read in the ledger, and what is not what it should be.

use std::sync::Arc;
use std::time::Duration;

use super::build::{Recipe, Served};
use super::compare::{self, Difference};
use super::pass::{Dead, Made, Pass};
use super::*;
use crate::ambient::Entropy;
use crate::formats::list::List;
use crate::formats::status_index::Indices;
use crate::formats::status_list::StatusList;
use crate::formats::urls::Urls;
use crate::keys::Material;
use crate::model::{CredentialId, Cut, Cuts, Entry, Epoch, Event, Facts, KeyPurpose, Reason, Timestamp, TrustDomain};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn recipe() -> Recipe {
    let domain: TrustDomain = "example.org".parse().expect("a trust domain");
    let material = Material::generate(&domain, &Entropy::system(), NOW).expect("random bytes");
    let mut facts = Facts::default();
    let opened = Event::LedgerOpened { epoch: Epoch([1; 16]), trust_domain: domain };
    for (event, position) in std::iter::once(opened).chain(material.public_keys().into_iter().map(Event::KeyActivated)).zip(1..) {
        facts.apply(&Entry { position: Position::new(position), time: NOW, actor: None, request_id: None, event });
    }
    let seconds = Duration::from_secs;
    let keyring = Arc::new(material.into_keyring(&facts).expect("all activated"));
    let token = keyring.signing(KeyPurpose::Token, &facts);
    Recipe {
        keyring,
        token_key: Box::new(move || token.clone()),
        urls: Urls { issuer: "https://broker.example".to_owned(), crl: "http://crl.example".to_owned() },
        indices: Indices::new(&[3; 32]),
        lifetimes: Lifetimes { interval: seconds(120), crl: seconds(600), status: seconds(600), ttl: seconds(60) },
    }
}

fn issuer(recipe: &Recipe) -> Position {
    recipe.keyring.issuers().first().expect("one").key.number
}

fn cut(number: u64, position: u64) -> Cut {
    Cut {
        number: Position::new(number),
        position: Position::new(position),
        ends: NOW.plus(Duration::from_secs(3600)),
        reason: Reason::Superseded,
    }
}

/// A pass up to position 100, at which subject 10 was cut.
fn pass(recipe: &Recipe, certificates: &[u64], tokens: &[u64], unreadable: &[u64]) -> Pass {
    let mut cuts = Cuts::default();
    cuts.add(cut(10, 90));
    let dead = certificates.iter().map(|position| Dead {
        id: CredentialId::new(Position::new(*position), [5; 8]),
        key: issuer(recipe),
        expires_at: NOW.plus(Duration::from_secs(300)),
        cut: Position::new(90),
        reason: Reason::Superseded,
    });
    let mut list = StatusList::all_valid();
    tokens.iter().chain(unreadable).for_each(|position| list.invalidate(index(recipe, *position)));
    Pass {
        made: Made { taken_at: NOW, position: Position::new(100) },
        not_before: NOW,
        certificates: dead.collect(),
        tokens: [(0, list)].into(),
        unreadable: unreadable.iter().copied().map(Position::new).collect(),
        cuts,
        ..Pass::default()
    }
}

fn index(recipe: &Recipe, position: u64) -> u32 {
    recipe.indices.place(Position::new(position)).index
}

#[test]
fn what_cannot_be_read_is_dead_in_the_status_list_and_holds_back_the_crl_that_cannot_name_it() {
    let recipe = recipe();
    let issuer = issuer(&recipe);
    let before_the_cut = Made { taken_at: NOW, position: Position::new(80) };
    let sound = recipe.build(&Pass { made: before_the_cut, ..pass(&recipe, &[], &[], &[]) }, None).expect("signed");
    let torn = pass(&recipe, &[40], &[], &[50]);
    let served = recipe.build(&torn, Some(&sound)).expect("signed");
    assert_eq!(compare::served(&served, &torn), []);
    assert_eq!(served.withheld, [(issuer, Position::new(50))]);
    let body = |served: &Served| served.crl(issuer).map(|crl| crl.body.clone());
    assert_eq!(body(&served), body(&sound), "the last good one, until it ends");
    assert!(recipe.build(&torn, None).expect("signed").crl(issuer).is_none(), "none, rather than one that lacks somebody");
    // It says of the token at 50, if it is one, that it is dead.
    let wrong = compare::served(&served, &pass(&recipe, &[], &[], &[]));
    assert_eq!(wrong, [Difference::StatusInvents { list: 0, index: index(&recipe, 50) }]);
    // Above every cut nothing is dead; before the key there is nothing that it signed.
    for harmless in [95, issuer.get() - 1] {
        let served = recipe.build(&pass(&recipe, &[], &[], &[harmless]), Some(&sound)).expect("signed");
        assert_eq!((served.withheld.as_slice(), body(&served) == body(&sound)), ([].as_slice(), false), "entry {harmless}");
    }
}

#[test]
fn each_way_to_contradict_the_ledger_is_told_apart() {
    let recipe = recipe();
    let issuer = issuer(&recipe);
    let (nobody, everybody) = (pass(&recipe, &[], &[], &[]), pass(&recipe, &[40], &[41], &[]));
    let (clean, full) = (recipe.build(&nobody, None).expect("signed"), recipe.build(&everybody, None).expect("signed"));
    assert_eq!((compare::served(&clean, &nobody), compare::served(&full, &everybody)), (vec![], vec![]));
    let (list, index) = (0, index(&recipe, 41));
    assert_eq!(
        compare::served(&clean, &everybody),
        [Difference::CrlLacks { key: issuer, id: everybody.certificates[0].id }, Difference::StatusLacks { list, index },]
    );
    assert_eq!(
        compare::served(&full, &nobody),
        [Difference::CrlInvents { key: issuer, named: 1, dead: 0 }, Difference::StatusInvents { list, index }]
    );
    let hidden = Pass { unknown_cuts: vec![Position::new(90)], ..everybody };
    assert_eq!(compare::served(&full, &hidden), [Difference::CutUnknown(Position::new(90))]);
}

#[test]
fn the_native_list_has_to_hold_every_cut_that_it_covers() {
    let listing = |cuts: Vec<Cut>| {
        let list = List {
            issuer: "https://broker.example".to_owned(),
            issued_at: NOW,
            expires_at: NOW.plus(Duration::from_secs(30)),
            epoch: Epoch([1; 16]),
            position: Position::new(100),
            root: [0; 32],
            since: None,
            cuts,
        };
        list.encode("kid", |_| Ok::<_, ()>(vec![0; 64])).expect("signs")
    };
    let mut cuts = Cuts::default();
    [cut(10, 90), cut(11, 95), cut(12, 101)].into_iter().for_each(|cut| cuts.add(cut));
    assert_eq!(compare::native(&listing(vec![cut(10, 90), cut(11, 95)]), &cuts), [], "what came after it is not its matter");
    assert_eq!(compare::native(&listing(vec![cut(10, 90)]), &cuts), [Difference::ListLacks(Position::new(95))]);
    let invented = listing(vec![cut(9, 80), cut(10, 90), cut(11, 95)]);
    assert_eq!(compare::native(&invented, &cuts), [Difference::ListInvents(Position::new(80))]);
    assert_eq!(compare::native("x", &cuts), [Difference::ListUnreadable]);
}
