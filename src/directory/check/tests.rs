//! Each rule, broken once. Where the texts stood is tested with the files that they came from.

use proptest::prelude::*;

use crate::directory::generators::document;
use crate::directory::{Document, DownstreamSpec, Draft, Names, WorkloadSpec};
use crate::model::{Environment, Owner, OwnerKind, Timestamp, VerifierKind};

/// One team, one vendor, two environments, a workload and a downstream.
fn valid() -> Document {
    let owner = |id: &str, kind, contract_end| Owner {
        id: id.parse().expect("an id"),
        kind,
        business_owner: "boss@example.org".parse().expect("a contact"),
        technical_owner: "oncall@example.org".parse().expect("a contact"),
        contract_end,
    };
    let environments = ["production", "staging"].map(|name| name.parse().expect("a name"));
    Document {
        owners: vec![owner("payments", OwnerKind::Team, None), owner("acme", OwnerKind::Vendor, "2030-01-01T00:00:00Z".parse().ok())],
        workloads: vec![WorkloadSpec {
            spiffe_id: "spiffe://example.org/payments/api".parse().expect("an identity"),
            owner: "payments".parse().expect("an id"),
            purpose: "Takes payments".parse().expect("a purpose"),
            environments: environments.clone().into(),
            valid_until: None,
            business_owner: None,
            technical_owner: None,
        }],
        downstreams: vec![DownstreamSpec {
            name: "ledger-api".parse().expect("a name"),
            accepts_tokens: true,
            accepts_certificates: false,
            audiences: ["https://ledger.example.org".parse().expect("an audience")].into(),
            environments: environments.clone().into(),
            verifier_kind: VerifierKind::Follower,
            verifier: None,
            business_owner: None,
            technical_owner: None,
        }],
        environments: environments.map(|name| Environment { name }).into(),
    }
}

/// What is told of the valid draft after it was broken, and at which texts.
fn told(break_it: impl FnOnce(&mut Draft<String>)) -> Vec<(String, String)> {
    let mut draft = Draft::from(&valid());
    break_it(&mut draft);
    let findings = draft.check(&Names::default()).expect_err("broken");
    findings.into_iter().map(|finding| (finding.at.clone(), finding.message)).collect()
}

/// That exactly this is told, and at this text.
#[track_caller]
fn check(break_it: impl FnOnce(&mut Draft<String>), at: &str, message: &str) {
    assert_eq!(told(break_it), [(at.to_owned(), message.to_owned())]);
}

#[test]
fn an_audience_is_declared_by_as_many_downstreams_of_an_environment_as_a_token_can_name() {
    let declare = |draft: &mut Draft<String>, count: usize| {
        for number in 0..count {
            let mut more = Draft::from(&valid()).downstreams.remove(0);
            more.name = format!("ledger-{number}");
            draft.downstreams.push(more);
        }
    };
    let mut most = Draft::from(&valid());
    declare(&mut most, 14);
    assert!(most.check(&Names::default()).is_ok());
    let problem = "audiences: 15 downstreams of an environment declare `https://ledger.example.org` already; write another";
    check(|draft| declare(draft, 15), "https://ledger.example.org", &format!("downstream `ledger-14`: {problem}"));
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

const API: &str = "spiffe://example.org/payments/api";
const ID: &str = "is not an owner id: 1 to 63 of a-z 0-9 - _ . , with a letter or digit at both ends";
const KNOWN: &str = "write one of: acme, payments; or declare another under `owners`";

#[test]
fn the_owner_of_a_workload_is_declared_under_exactly_that_id() {
    check(
        |draft| draft.workloads[0].owner = text("paymnts"),
        "paymnts",
        &format!("workload `{API}`: owner: `paymnts` is not declared; {KNOWN}"),
    );
    for (id, shown) in [("Payments", "Payments"), (" payments", " payments"), ("payments\t", "payments\\t"), ("PAYMENTS ", "PAYMENTS ")] {
        check(|draft| draft.workloads[0].owner = text(id), id, &format!("workload `{API}`: owner: `{shown}` {ID}; write `payments`"));
    }
    check(|draft| draft.workloads[0].owner = text(""), "", &format!("workload `{API}`: owner: the empty text {ID}; {KNOWN}"));
    check(|draft| draft.workloads[0].owner = None, API, &format!("workload `{API}`: owner: missing; {KNOWN}"));
}

#[test]
fn a_malformed_declaration_is_told_once_and_not_by_what_means_it() {
    check(
        |draft| draft.owners[0].id = "Payments ".to_owned(),
        "Payments ",
        &format!("owner `Payments `: id: `Payments ` {ID}; write `payments`"),
    );
    let message = "environment ` staging`: name: ` staging` is not an environment name: 1 to 63 of a-z 0-9 - _ . , with a letter or digit at both ends; write `staging`";
    check(|draft| draft.environments[1].name = " staging".to_owned(), " staging", message);
}

#[test]
fn a_long_list_of_names_is_cut_short_and_an_empty_one_says_so() {
    let many = |draft: &mut Draft<String>| {
        for n in 0..20 {
            draft.owners.push(super::OwnerDraft { id: format!("team-{n:02}"), ..draft.owners[0].clone() });
        }
        draft.workloads[0].owner = text("nobody");
    };
    let told = told(many);
    assert!(told[0].1.ends_with("team-08, team-09, …; or declare another under `owners`"), "{told:?}");
    let none = told_without_owners();
    assert_eq!(none, format!("workload `{API}`: owner: `payments` is not declared; declare it under `owners`"));
}

fn told_without_owners() -> String {
    told(|draft| draft.owners.clear()).remove(0).1
}

#[test]
fn both_people_are_named() {
    let missing = "owner `payments`: business_owner: missing; write how to reach who answers for the purpose";
    check(|draft| draft.owners[0].business_owner = None, "payments", missing);
    let missing = "owner `payments`: technical_owner: missing; write how to reach who answers for the running";
    check(|draft| draft.owners[0].technical_owner = None, "payments", missing);
    let padded =
        "owner `payments`: business_owner: ` a@b` is not a contact: 1 to 200 bytes in one line, without space at either end; write `a@b`";
    check(|draft| draft.owners[0].business_owner = text(" a@b"), " a@b", padded);
}

#[test]
fn the_contract_of_a_vendor_ends() {
    let missing = "owner `acme`: contract_end: missing; the contract of a vendor ends: write when, such as 2027-03-31T17:00:00Z";
    check(|draft| draft.owners[1].contract_end = None, "acme", missing);
    let form = "owner `acme`: contract_end: `2030-01-01` is not an instant; write RFC 3339 with a time zone, such as 2027-03-31T17:00:00Z";
    check(|draft| draft.owners[1].contract_end = text("2030-01-01"), "2030-01-01", form);
    let epoch = "owner `acme`: contract_end: `1970-01-01T00:00:00Z` is the epoch; leave it out for no end, or write a later instant";
    check(|draft| draft.owners[1].contract_end = text("1970-01-01T00:00:00Z"), "1970-01-01T00:00:00Z", epoch);
}

#[test]
fn kinds_are_words_of_their_set() {
    check(
        |draft| draft.owners[0].kind = text("Team"),
        "Team",
        "owner `payments`: kind: `Team` is not one of: team, vendor, person; write `team`",
    );
    check(|draft| draft.owners[0].kind = None, "payments", "owner `payments`: kind: missing; write team, vendor or person");
    let message = "downstream `ledger-api`: verifier_kind: missing; write follower, guard, crl, status_list or none";
    check(|draft| draft.downstreams[0].verifier_kind = None, "ledger-api", message);
}

#[test]
fn names_are_declared_once_and_told_apart_by_more_than_case() {
    let twice = "owner `payments` is declared more than once; keep one";
    check(|draft| draft.owners.push(draft.owners[0].clone()), "payments", twice);
    let twice = "environment `staging` is declared more than once; keep one";
    check(|draft| draft.environments.push(draft.environments[1].clone()), "staging", twice);
    let twice = "downstream `ledger-api` is declared more than once; keep one";
    check(|draft| draft.downstreams.push(draft.downstreams[0].clone()), "ledger-api", twice);
    let other = "spiffe://example.org/Payments/api";
    let alike = format!("workload `{other}` differs from `{API}` only by case; write `{API}`, or a name that differs in more");
    let push = |draft: &mut Draft<String>| {
        draft.workloads.push(super::WorkloadDraft { spiffe_id: other.to_owned(), ..draft.workloads[0].clone() });
    };
    check(push, other, &alike);
}

#[test]
fn an_identity_is_a_spiffe_id() {
    let padded = format!(" {API}");
    let message = format!("workload `{padded}`: spiffe_id: a SPIFFE ID begins with `spiffe://`, in lower case; write `{API}`");
    check(|draft| draft.workloads[0].spiffe_id.clone_from(&padded), &padded, &message);
    let message = "downstream `ledger-api`: verifier: the ID of a workload has a path after the trust domain";
    check(|draft| draft.downstreams[0].verifier = text("spiffe://example.org"), "spiffe://example.org", message);
}

#[test]
fn a_workload_says_what_it_is_for_and_acts_in_declared_environments() {
    check(|draft| draft.workloads[0].purpose = None, API, &format!("workload `{API}`: purpose: missing; write in one line what it is for"));
    let known = "write one of: production, staging; or declare another under `environments`";
    check(|draft| draft.workloads[0].environments.clear(), API, &format!("workload `{API}`: environments: missing; {known}"));
    let unknown = format!("workload `{API}`: environments: `prod` is not declared; {known}");
    check(|draft| draft.workloads[0].environments.push("prod".to_owned()), "prod", &unknown);
    let twice = format!("workload `{API}`: environments: `staging` is written more than once; keep one");
    check(|draft| draft.workloads[0].environments.push("staging".to_owned()), "staging", &twice);
}

#[test]
fn a_downstream_accepts_something_and_tokens_have_audiences() {
    let nothing =
        "downstream `ledger-api`: accepts: missing; it accepts nothing: write tokens, certificates or both, or leave the downstream out";
    let clear = |draft: &mut Draft<String>| {
        draft.downstreams[0].accepts.clear();
        draft.downstreams[0].audiences.clear();
    };
    check(clear, "ledger-api", nothing);
    let only = "downstream `ledger-api`: audiences: only tokens have an audience; add tokens to `accepts`, or leave the audiences out";
    check(|draft| draft.downstreams[0].accepts = vec!["certificates".to_owned()], "https://ledger.example.org", only);
    let none =
        "downstream `ledger-api`: audiences: missing; a token is for one audience: write those that it answers to, or accept no tokens";
    check(|draft| draft.downstreams[0].audiences.clear(), "ledger-api", none);
    let word = "downstream `ledger-api`: accepts: `passwords` is not one of: tokens, certificates";
    check(|draft| draft.downstreams[0].accepts.push("passwords".to_owned()), "passwords", word);
}

#[test]
fn a_name_cannot_break_out_of_its_line() {
    let told = told(|draft| draft.downstreams[0].name = "a\nregistry.yaml:1: fine\u{1b}[0m".to_owned());
    assert!(told.iter().all(|(_, message)| !message.contains(char::is_control)), "{told:?}");
}

#[test]
fn a_document_from_elsewhere_is_held_to_the_same_rules() {
    let mut document = valid();
    document.owners[1].contract_end = None;
    document.workloads[0].owner = "nobody".parse().expect("an id");
    document.downstreams[0].accepts_tokens = false;
    let problems = document.check(&Names::default()).expect_err("three things are wrong");
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    for (problem, start) in told.iter().zip([
        "owner `acme`: contract_end",
        "workload",
        "downstream `ledger-api`: accepts",
        "downstream `ledger-api`: audiences",
    ]) {
        assert!(problem.starts_with(start), "{problem}");
    }
}

#[test]
fn an_end_that_no_file_can_say_is_refused() {
    for end in [Timestamp::EPOCH, Timestamp::from_millis(u64::MAX), Timestamp::from_seconds(400_000_000_000)] {
        let mut document = valid();
        document.workloads[0].valid_until = Some(end);
        assert!(document.check(&Names::default()).is_err(), "{end}");
    }
}

proptest! {
    #[test]
    fn a_valid_document_passes_and_its_draft_gives_it_back(document in document()) {
        prop_assert_eq!(document.check(&Names::default()), Ok(()));
        let draft = Draft::from(&document);
        prop_assert_eq!(draft.check(&Names::default()), Ok(document));
    }
}
