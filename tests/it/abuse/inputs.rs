//! Messages: giant, nested, malformed, unknown. Each is refused with a reason, and no more happens.

use std::fs;

use curfew::client::api;
use rcgen::{CertificateParams, KeyPair, SanType};
use tonic::Code;

use super::Attacked;
use super::wire::{channel, send};
use crate::harness::AUDIENCE;

/// How deep what is nested goes: a mebibyte of it.
const DEEP: usize = 1 << 20;

fn token() -> api::IssueTokenRequest {
    api::IssueTokenRequest { environment: "production".to_owned(), audience: AUDIENCE.to_owned(), ..Default::default() }
}

/// Policies that are nested without end; each is about a mebibyte.
fn nested_policies() -> Vec<(&'static str, String)> {
    let when = |condition: String| format!("permit (principal, action, resource) when {{ {condition} }};");
    let repeat = |text: &str| text.repeat(DEEP / text.len());
    vec![
        ("parentheses", when(repeat("("))),
        ("closed parentheses", when(format!("{}true{}", "(".repeat(DEEP / 2), ")".repeat(DEEP / 2)))),
        ("not", when(format!("{}true", repeat("!")))),
        ("minus", when(format!("{}1 == 1", repeat("-")))),
        ("sets", when(format!("{}1{} == []", "[".repeat(DEEP / 2), "]".repeat(DEEP / 2)))),
        ("records", when(format!("{}1{} == {{}}", "{a:".repeat(DEEP / 4), "}".repeat(DEEP / 4)))),
        ("choices", when(format!("{}true", repeat("if true then true else ")))),
        ("attributes", when(format!("principal{} == 1", repeat(".owner")))),
        ("conjunctions", when(format!("true{}", repeat(" && true")))),
        ("disjunctions", when(format!("true{}", repeat(" || true")))),
        ("sums", when(format!("1{} == 1", repeat(" + 1")))),
        ("calls", when(format!("principal{} == 1", repeat(".contains(1)")))),
        ("conditions", format!("permit (principal, action, resource){};", repeat(" when { true }"))),
        ("braces", repeat("{")),
        ("annotations", repeat("@a(\"b\")\n")),
    ]
}

#[test]
fn a_mebibyte_of_nested_policy_is_refused_with_a_reason() {
    let attacked = Attacked::new();
    let administrator = attacked.administrator();
    for (what, text) in nested_policies() {
        let files = vec![api::PolicyFile { name: "nested.cedar".to_owned(), text }];
        let checked = attacked.runtime.block_on(administrator.policy().check(api::PolicyCheckRequest { files: files.clone() }));
        let problems = checked.map(|checked| checked.into_inner().problems).unwrap_or_else(|status| vec![status.message().to_owned()]);
        assert!(!problems.is_empty(), "{what} is a policy");
        let applied = attacked.runtime.block_on(administrator.policy().apply(api::PolicyApplyRequest { files }));
        assert_eq!(applied.map(|_| ()).map_err(|status| status.code()), Err(Code::InvalidArgument), "{what}");
    }
    attacked.stands();
}

#[test]
fn a_mebibyte_of_nested_registry_ends_nobody() {
    let attacked = Attacked::new();
    let file = attacked.broker.scratch().join("nested.yaml");
    for text in [
        "[".repeat(DEEP),
        "owners: ".to_owned() + &"{a: ".repeat(DEEP / 4),
        "- ".repeat(DEEP / 2),
        format!("owners: {}", "*a ".repeat(DEEP / 3)),
    ] {
        fs::write(&file, text).unwrap();
        let arguments = ["registry".as_ref(), "diff".as_ref(), file.as_os_str()];
        let ran = attacked.broker.curfew(&attacked.broker.administrator(), arguments).exits(1);
        assert!(ran.stderr.contains("nested.yaml:") && ran.stderr.len() < 64 << 10, "{}", ran.stderr);
    }
    attacked.stands();
}

#[test]
fn a_mebibyte_of_nested_message_is_refused() {
    let attacked = Attacked::new();
    let channel = attacked.runtime.block_on(channel(attacked.broker.client_config(&attacked.broker.administrator())));
    // Groups within groups, and messages within messages as far as their lengths go.
    let groups = vec![0x0b; DEEP - 64];
    let mut messages = Vec::new();
    while messages.len() < 100_000 {
        let length = messages.len();
        let mut outer = vec![0x0a];
        prost_length(&mut outer, length);
        outer.append(&mut messages);
        messages = outer;
    }
    for path in [
        "/curfew.v1.Registry/Apply",
        "/curfew.v1.Credentials/IssueToken",
        "/curfew.v1.Credentials/BatchIssueTokens",
        "/curfew.v1.Policy/Apply",
    ] {
        for message in [&groups, &messages] {
            let answered = attacked.runtime.block_on(send(&channel, path, message.clone()));
            assert!(answered.is_err(), "{path} took {} bytes of nothing", message.len());
        }
    }
    attacked.stands();
}

fn prost_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 128 {
        out.push(u8::try_from(length % 128).unwrap() | 0x80);
        length /= 128;
    }
    out.push(u8::try_from(length).unwrap());
}

#[test]
fn unknown_services_and_methods_are_not_there() {
    let attacked = Attacked::new();
    let channel = attacked.runtime.block_on(channel(attacked.broker.client_config(&attacked.attacker)));
    for path in [
        "/curfew.v1.Credentials/Steal",
        "/curfew.v2.Credentials/IssueToken",
        "/curfew.ledger.v1.Ledger/Write",
        "/curfew.v1.Credentials",
        "/",
        "/curfew.v1.Credentials/IssueToken/",
        "/curfew.v1.Credentials//IssueToken",
        "/../curfew.v1.Credentials/IssueToken",
    ] {
        let answered = attacked.runtime.block_on(send(&channel, path, Vec::new()));
        assert_eq!(answered.map_err(|status| status.code()), Err(Code::Unimplemented), "{path}");
    }
    attacked.stands();
}

#[test]
fn giant_batches_and_messages_are_refused_whole() {
    let attacked = Attacked::new();
    let client = attacked.runtime.block_on(attacked.broker.client(&attacked.attacker));
    let head = || {
        let asked = async { attacked.administrator().ledger().get_checkpoint(api::GetCheckpointRequest {}).await };
        let note = attacked.runtime.block_on(asked).unwrap().into_inner().checkpoint;
        note.lines().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = head();
    for items in [0, 501, 10_000] {
        let ask = api::BatchIssueTokensRequest { requests: vec![token(); items] };
        let asked = async { client.credentials().batch_issue_tokens(ask).await };
        let refused = attacked.runtime.block_on(asked).map(|_| ()).map_err(|status| status.code());
        assert_eq!(refused, Err(Code::InvalidArgument), "{items} items");
    }
    let long = |length: usize| "p".repeat(length);
    for (purpose, scopes) in [(long(2 << 20), 0), (long(64 << 10), 0), (String::new(), 65), (String::new(), 100_000)] {
        let ask = api::IssueTokenRequest { purpose, scopes: vec!["read".to_owned(); scopes], ..token() };
        let refused = attacked.runtime.block_on(client.credentials().issue_token(ask)).map(|_| ()).map_err(|status| status.code());
        assert!(matches!(refused, Err(Code::InvalidArgument | Code::ResourceExhausted)), "{refused:?}");
    }
    let document = api::RegistryDocument { owners: vec![api::OwnerRecord::default(); 10], ..Default::default() };
    let ask = api::RegistryApplyRequest { document: Some(document), allow_end: 1000 };
    let refused = attacked.runtime.block_on(attacked.administrator().registry().apply(ask)).map(|_| ()).map_err(|status| status.code());
    assert_eq!(refused, Err(Code::InvalidArgument));
    let administrator = attacked.runtime.block_on(channel(attacked.broker.client_config(&attacked.broker.administrator())));
    let refused = attacked.runtime.block_on(send(&administrator, "/curfew.v1.Registry/Apply", vec![0x0a; 17 << 20]));
    assert_eq!(refused.map_err(|status| status.code()), Err(Code::ResourceExhausted));
    assert_eq!(head(), before, "nothing was recorded");
    attacked.stands();
}

/// A request whose RSA modulus has so many bits, all of them set; the signature is nonsense.
fn rsa(bits: usize) -> Vec<u8> {
    let modulus = der(0x02, &[&[0][..], &vec![0xff; bits / 8]].concat());
    let key = der(0x03, &[&[0][..], &der(0x30, &[modulus, der(0x02, &[1, 0, 1])].concat())].concat());
    let rsa_encryption = der(0x30, &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0]);
    let sha256_with_rsa = der(0x30, &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0]);
    let info = der(0x30, &[vec![2, 1, 0], der(0x30, &[]), der(0x30, &[rsa_encryption, key].concat()), vec![0xa0, 0]].concat());
    der(0x30, &[info, sha256_with_rsa, der(0x03, &vec![0; bits / 8 + 1])].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x84][..], &length, content].concat()
}

/// A good request with so many names, all of which are passed over.
fn names(many: usize) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = (0..many).map(|number| SanType::DnsName(format!("a{number}.example").try_into().unwrap())).collect();
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn malformed_signing_requests_are_refused_and_names_in_good_ones_are_passed_over() {
    let attacked = Attacked::new();
    let client = attacked.runtime.block_on(attacked.broker.client(&attacked.attacker));
    let ask = |csr: Vec<u8>| {
        let ask = api::IssueCertificateRequest { csr, environment: "production".to_owned(), ..Default::default() };
        attacked.runtime.block_on(client.credentials().issue_certificate(ask)).map(tonic::Response::into_inner)
    };
    let refused = |csr: Vec<u8>, what: &str| {
        let refused = ask(csr).map(|_| ()).map_err(|status| status.code());
        assert_eq!(refused, Err(Code::InvalidArgument), "{what}");
    };
    let good = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/requests/p256.der")).unwrap();
    ask(good.clone()).expect("a good one");
    for length in 0..good.len() {
        refused(good[..length].to_vec(), &format!("cut short at {length}"));
        // What it says is signed, and ends before its signature algorithm begins.
        let mut changed = good.clone();
        changed[length] ^= 0x40;
        if (4..good.len() / 2).contains(&length) {
            refused(changed, &format!("changed at {length}"));
        }
    }
    for bits in [1024, 16_384, 65_536] {
        refused(rsa(bits), &format!("{bits} bits"));
    }
    refused(names(2000), "more names than a request has room for");
    refused(vec![0x30; 16 << 10], "a sequence of sequences");
    refused([0x30, 0x80].repeat(8 << 10), "lengths without an end");
    let chain = ask(names(500)).expect("names are passed over").chain;
    let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
    let named = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(named.value.general_names.len(), 1, "its SPIFFE ID alone");
    attacked.stands();
}
