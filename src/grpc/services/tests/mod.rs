//! The door of the API, over an in-memory broker: what is refused before the broker is asked, and
//! what it answers.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::api::credentials_server::Credentials;
use super::api::owners_server::Owners;
use super::api::policy_server::Policy;
use super::api::registry_server::Registry;
use super::api::revocations_server::Revocations;
use super::api::tasks_server::Tasks;
use super::api::trust_server::Trust;
use super::{Api, Parts, api};
use crate::ambient::{Clock, Entropy, ManualClock};
use crate::broker::{self, Broker, Quotas};
use crate::formats::urls::Urls;
use crate::grpc::calls::CallMeters;
use crate::grpc::peer::Peer;
use crate::keys::Material;
use crate::keys::unkept::{Unkept, hundred_hours};
use crate::ledger::{Ledger, Options, Place, SqliteLedger};
use crate::model::{Epoch, Share, Timestamp, TrustDomain, Windows};
use crate::policy::{Caller, DEFAULT_PACK, Engine};
use crate::publish::{Publisher, Settings};

mod audit;
mod keys;
mod watch;

const ADMINISTRATOR: &str = "spiffe://example.org/administrator";
const START: Timestamp = Timestamp::from_seconds(1_780_272_000);

/// Every service over an in-memory broker with an empty registry.
async fn api() -> Api {
    with_hand().await.0
}

/// What no test reaches by chance.
const QUOTAS: Quotas = Quotas {
    workload_rate: 10_000,
    owner_rate: 10_000,
    administrator_rate: 10_000,
    source_rate: 10_000,
    workload_live: 10_000,
    owner_tasks: 100,
    workload_exceptions: 20,
    exception_life: crate::model::LONGEST_EXCEPTION,
    identity_watches: 10,
    watches: 10,
};

/// The same, and the hand of its clock.
async fn with_hand() -> (Api, ManualClock) {
    within(QUOTAS).await
}

/// The source that the configuration declares.
fn source() -> broker::Declared {
    let holds = [crate::directory::Subject::Environment].into();
    broker::Declared {
        name: "assets".parse().expect("a name"),
        kind: broker::SourceKind::Folder,
        holds,
        takes_over: false,
        max_ended: Share::percent(10),
        covers: None,
        is_complete: false,
    }
}

/// The same, where callers may ask for so much.
async fn within(quotas: Quotas) -> (Api, ManualClock) {
    let (clock, hand) = Clock::manual(START);
    let entropy = Entropy::system();
    let domain: TrustDomain = "example.org".parse().expect("a domain");
    let options = Options::new(domain.clone(), Epoch([7; 16]));
    let ledger: Arc<dyn Ledger> = SqliteLedger::open(&Place::Memory, options, clock.clone()).expect("opened");
    let files = DEFAULT_PACK.iter().map(|(name, text)| (name.parse().expect("a name"), (*text).to_owned())).collect();
    let engine = Engine::compile(files).expect("the default pack is valid");
    Broker::put_in_force(&*ledger, &engine).await.expect("in force");
    let keyring = Material::generate(&domain, &entropy, START).expect("keys");
    let keyring = Arc::new(Broker::activate_keys(&*ledger, keyring).await.expect("activated"));
    let issuer = "https://curfew.example.org".to_owned();
    let settings = Settings {
        issuer: issuer.clone(),
        origin: "example.org/curfew".to_owned(),
        max_staleness: Duration::from_secs(30),
        heartbeat: Duration::from_secs(2),
        keys_refresh: Duration::from_secs(60),
    };
    let followers = Arc::new(broker::Followers::new(Windows::of_lists(settings.max_staleness), START));
    let publisher = Publisher::new(Arc::clone(&ledger), Arc::clone(&keyring), settings, Arc::clone(&followers), clock.clone());
    let publisher = Arc::new(publisher);
    let administrators = [ADMINISTRATOR.parse().expect("an ID")].into();
    let urls = Urls { issuer: issuer.clone(), crl: issuer };
    let keeping = broker::Keeping { keeper: Unkept::new(&domain), rotation: hundred_hours() };
    let entropy_of = entropy.clone();
    // So far ahead that the vendor of the registry is among what is told.
    let reconciling = broker::Reconciling { announce: Duration::from_secs(365 * 86_400), ..Default::default() };
    let parts = broker::Parts {
        ledger,
        engine,
        keyring,
        keeping,
        urls,
        administrators,
        quotas,
        followers,
        sources: vec![source()],
        reconciling,
        clock,
        entropy: entropy_of,
    };
    let broker = Broker::new(parts);
    let parts = Parts { broker: Arc::new(broker), publisher, entropy, meters: CallMeters::default(), stopping: CancellationToken::new() };
    (Api(Arc::new(parts)), hand)
}

/// A request as it comes from the listener.
fn by<T>(id: &str, message: T) -> Request<T> {
    let spiffe_id = id.parse().expect("an ID");
    let caller =
        Caller { spiffe_id, fingerprint: [1; 32], expires_at: START.plus(Duration::from_secs(86_400)), issued_here: None, address: None };
    let mut request = Request::new(message);
    let trust =
        crate::grpc::Trust::new("example.org".parse().expect("a domain"), &[], crate::grpc::TrustBundles::default()).expect("nobody");
    let generation = trust.generation();
    request.extensions_mut().insert(Peer::new(caller, Vec::new(), Arc::new(trust), generation));
    request
}

fn admin<T>(message: T) -> Request<T> {
    by(ADMINISTRATOR, message)
}

/// Code, reason and field of a refusal.
fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String, String) {
    let status = answer.expect_err("refused");
    let info = status.get_details_error_info().expect("every error says why");
    (status.code(), info.reason, info.metadata.get("field").cloned().unwrap_or_default())
}

fn invalid(field: &str) -> (Code, String, String) {
    (Code::InvalidArgument, "INVALID_ARGUMENT".to_owned(), field.to_owned())
}

fn document() -> api::RegistryDocument {
    api::RegistryDocument {
        owners: vec![api::OwnerRecord {
            id: "acme".to_owned(),
            kind: "vendor".to_owned(),
            business_owner: "pat@example.org".to_owned(),
            technical_owner: "tea@example.org".to_owned(),
            contract_end: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
        }],
        environments: vec![api::EnvironmentRecord { name: "production".to_owned() }],
        workloads: vec![api::WorkloadRecord {
            spiffe_id: "spiffe://example.org/acme/sync".to_owned(),
            owner: "acme".to_owned(),
            purpose: "copies orders".to_owned(),
            environments: vec!["production".to_owned()],
            valid_until: Some(prost_types::Timestamp { seconds: 1_790_000_000, nanos: 0 }),
            business_owner: "ada@example.org".to_owned(),
            technical_owner: String::new(),
        }],
        downstreams: vec![api::DownstreamRecord {
            name: "ledger".to_owned(),
            accepts: vec!["tokens".to_owned(), "certificates".to_owned()],
            audiences: vec!["https://ledger.example.org".to_owned()],
            environments: vec!["production".to_owned()],
            verifier_kind: "follower".to_owned(),
            verifier: "spiffe://example.org/ledger".to_owned(),
            business_owner: String::new(),
            technical_owner: "ops@example.org".to_owned(),
        }],
    }
}

fn apply(document: Option<api::RegistryDocument>) -> api::RegistryApplyRequest {
    api::RegistryApplyRequest { document, allow_end: 0 }
}

#[tokio::test]
async fn a_registry_is_exported_as_it_was_applied() {
    let api = api().await;
    let applied = api.apply_registry(document()).await;
    assert_eq!(applied.changes.len(), 4);
    let exported = api.export(admin(api::RegistryExportRequest {})).await.expect("exported").into_inner();
    assert_eq!(exported.document, Some(document()));
    assert_eq!(api.apply_registry(document()).await.position, 0, "nothing differs");
}

impl Api {
    async fn apply_registry(&self, document: api::RegistryDocument) -> api::RegistryApplyResponse {
        Registry::apply(self, admin(apply(Some(document)))).await.expect("applied").into_inner()
    }
}

#[tokio::test]
async fn a_request_without_a_document_does_not_end_everything() {
    let api = api().await;
    api.apply_registry(document()).await;
    let ask = api::RegistryApplyRequest { document: None, allow_end: u32::MAX };
    assert_eq!(refusal(Registry::apply(&api, admin(ask)).await), invalid("document"));
}

#[tokio::test]
async fn a_bad_document_is_refused_with_everything_that_is_wrong() {
    let mut bad = document();
    bad.owners[0].contract_end = None;
    bad.workloads[0].spiffe_id = "spiffe://example.org/".to_owned();
    let status = Registry::apply(&api().await, admin(apply(Some(bad)))).await.expect_err("refused");
    assert!(
        status.message().contains("contract_end: missing") && status.message().contains("spiffe_id: a path segment"),
        "{}",
        status.message()
    );
}

#[tokio::test]
async fn names_are_matched_exactly_and_an_unknown_one_is_an_error() {
    let api = api().await;
    api.apply_registry(document()).await;
    let reason = api::RevocationReason::CessationOfOperation.into();
    let revoke = |owner: &str| admin(api::RevokeByOwnerRequest { owner: owner.to_owned(), reason, ..Default::default() });
    for owner in ["", " acme", "acme ", "Acme", "acme\n"] {
        assert_eq!(refusal(api.revoke_by_owner(revoke(owner)).await), invalid("owner"), "{owner:?}");
    }
    assert_eq!(refusal(api.revoke_by_owner(revoke("acm")).await).0, Code::NotFound);
    let revoked = api.revoke_by_owner(revoke("acme")).await.expect("revoked").into_inner();
    assert_eq!((revoked.repeated, revoked.standing()), (false, api::Standing::Offboarded));
    let again = api.revoke_by_owner(revoke("acme")).await.expect("repeated").into_inner();
    assert_eq!((again.position, again.repeated), (revoked.position, true));
}

#[tokio::test]
async fn nothing_is_revoked_without_a_reason_or_a_subject() {
    let api = api().await;
    api.apply_registry(document()).await;
    for reason in [0, 2, 6, 99] {
        let ask = api::RevokeByOwnerRequest { owner: "acme".to_owned(), reason, ..Default::default() };
        assert_eq!(refusal(api.revoke_by_owner(admin(ask)).await), invalid("reason"), "{reason}");
    }
    let ask = |subject, suspend| {
        let reason = api::RevocationReason::KeyCompromise.into();
        admin(api::RevokeRequest { subject, reason, suspend, ..Default::default() })
    };
    assert_eq!(refusal(api.revoke(ask(None, false)).await), invalid("subject"));
    use api::revoke_request::Subject;
    assert_eq!(refusal(api.revoke(ask(Some(Subject::Workload(String::new())), false)).await), invalid("workload"));
    assert_eq!(refusal(api.revoke(ask(Some(Subject::Task(0)), false)).await), invalid("task"));
    assert_eq!(refusal(api.revoke(ask(Some(Subject::Task(7)), true)).await), invalid("suspend"));
    assert_eq!(refusal(api.revoke(ask(Some(Subject::CredentialId("x".to_owned())), false)).await), invalid("credential_id"));
}

#[tokio::test]
async fn a_task_needs_a_deadline_a_purpose_and_a_number() {
    let api = api().await;
    let open = api::TasksOpenRequest { environment: "production".to_owned(), purpose: "a job".to_owned(), ..Default::default() };
    assert_eq!(refusal(api.open(admin(open.clone())).await), invalid("deadline"));
    let ended = api::TasksOpenRequest { deadline: Some(prost_types::Timestamp { seconds: -1, nanos: 0 }), ..open };
    assert_eq!(refusal(api.open(admin(ended)).await), invalid("deadline"));
    assert_eq!(refusal(api.close(admin(api::TasksCloseRequest::default())).await), invalid("task"));
}

#[tokio::test]
async fn a_batch_answers_each_request_by_itself_and_in_order() {
    let api = api().await;
    api.apply_registry(document()).await;
    let ask = |audience: &str| api::IssueTokenRequest {
        environment: "production".to_owned(),
        audience: audience.to_owned(),
        ..Default::default()
    };
    let (good, unknown) = (ask("https://ledger.example.org"), ask("https://nobody.example.org"));
    let requests = vec![good.clone(), unknown, ask(" padded"), good.clone()];
    let batch = |requests| by("spiffe://example.org/acme/sync", api::BatchIssueTokensRequest { requests });
    let answer = api.batch_issue_tokens(batch(requests)).await.expect("answered").into_inner();
    let shown: Vec<String> = answer.tokens.iter().map(outcome).collect();
    assert_eq!(shown, ["issued", "AUDIENCE_UNKNOWN", "INVALID_ARGUMENT", "issued"]);
    for (count, accepted) in [(0, false), (1, true), (500, true), (501, false)] {
        let answer = api.batch_issue_tokens(batch(vec![good.clone(); count])).await;
        assert_eq!(answer.is_ok(), accepted, "{count}");
        let issued = answer.map_or(0, |answer| answer.get_ref().tokens.iter().filter(|token| outcome(token) == "issued").count());
        assert_eq!(issued, if accepted { count } else { 0 });
    }
}

fn token() -> api::IssueTokenRequest {
    api::IssueTokenRequest { environment: "production".to_owned(), audience: "https://ledger.example.org".to_owned(), ..Default::default() }
}

async fn batch(api: &Api, requests: Vec<api::IssueTokenRequest>) -> Vec<api::BatchedToken> {
    let batch = api::BatchIssueTokensRequest { requests };
    api.batch_issue_tokens(by("spiffe://example.org/acme/sync", batch)).await.expect("answered").into_inner().tokens
}

#[tokio::test]
async fn the_same_request_twice_in_a_batch_is_two_tokens_and_a_request_id_is_in_the_ledger() {
    let api = api().await;
    api.apply_registry(document()).await;
    let named = |id: &str| api::IssueTokenRequest { request_id: id.to_owned(), ..token() };
    let answered = batch(&api, vec![named("r-1"), named("r-1"), named("a b"), token()]).await;
    let shown: Vec<String> = answered.iter().map(outcome).collect();
    assert_eq!(shown, ["issued", "issued", "INVALID_ARGUMENT", "issued"]);
    let mut positions = Vec::new();
    for token in answered {
        if let Some(api::batched_token::Outcome::Issued(issued)) = token.outcome {
            positions.push(issued.issuance.expect("it").position);
        }
    }
    let mut sorted = positions.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 3, "each stands in the ledger by itself: {positions:?}");
    let entries = api.0.broker.ledger().entries(crate::model::Position::new(sorted[0]), 10).await.expect("readable");
    let named: Vec<_> = entries.into_iter().map(|stored| stored.entry.expect("readable").request_id.unwrap_or_default()).collect();
    assert_eq!(named.iter().filter(|id| *id == "r-1").count(), 2, "{named:?}");
}

#[tokio::test]
async fn limits_count_the_items_of_a_batch() {
    for (quotas, reason) in [
        (Quotas { workload_rate: 3, ..QUOTAS }, "RATE_LIMITED"),
        (Quotas { owner_rate: 3, ..QUOTAS }, "RATE_LIMITED"),
        (Quotas { workload_live: 3, ..QUOTAS }, "QUOTA_EXCEEDED"),
    ] {
        let api = within(quotas).await.0;
        api.apply_registry(document()).await;
        // One after the other: what is recorded and not answered yet counts twice in the quota of the living.
        let mut first = Vec::new();
        for _ in 0..3 {
            first.extend(batch(&api, vec![token()]).await);
        }
        let second = batch(&api, vec![token(); 2]).await;
        let shown: Vec<String> = first.iter().chain(&second).map(outcome).collect();
        assert_eq!(shown, ["issued", "issued", "issued", reason, reason], "{quotas:?}");
        let Some(api::batched_token::Outcome::Failure(failure)) = second[0].outcome.clone() else { panic!("it was refused") };
        assert_eq!((failure.code, failure.retry_after.is_some()), (Code::ResourceExhausted.into(), true), "{failure:?}");
        if reason == "RATE_LIMITED" {
            let (api, _) = within(quotas).await;
            api.apply_registry(document()).await;
            let shown: Vec<String> = batch(&api, vec![token(); 5]).await.iter().map(outcome).collect();
            assert_eq!(shown, ["issued", "issued", "issued", reason, reason], "in the middle of one batch: {quotas:?}");
        }
    }
}

fn outcome(token: &api::BatchedToken) -> String {
    match token.outcome.as_ref().expect("an outcome") {
        api::batched_token::Outcome::Issued(_) => "issued".to_owned(),
        api::batched_token::Outcome::Failure(failure) => failure.reason.clone(),
    }
}

#[tokio::test]
async fn an_identity_in_no_record_learns_nothing() {
    let api = api().await;
    api.apply_registry(document()).await;
    for owner in ["acme", "unknown"] {
        let ask = by("spiffe://example.org/stranger", api::OwnersGetRequest { owner: owner.to_owned() });
        assert_eq!(refusal(Owners::get(&api, ask).await).1, "IDENTITY_UNKNOWN");
    }
}

#[tokio::test]
async fn a_request_without_a_peer_is_a_fault_and_never_anonymous() {
    let (code, reason, _) = refusal(api().await.who_am_i(Request::new(api::WhoAmIRequest {})).await);
    assert_eq!((code, reason.as_str()), (Code::Internal, "INTERNAL"));
}

#[tokio::test]
async fn the_list_is_there_once_it_is_published() {
    let api = api().await;
    let ask = |since| admin(api::GetListRequest { since, ..Default::default() });
    assert_eq!(refusal(api.get_list(ask(0)).await).1, "LEDGER_UNAVAILABLE");
    let published = api.0.publisher.publish().expect("published");
    assert_eq!(api.get_list(ask(0)).await.expect("a list").into_inner().list, published.jws);
}

#[tokio::test]
async fn a_follower_gives_its_name_and_all_of_what_it_applied() {
    let api = api().await;
    let whole = api::AcknowledgeRequest { instance: "a".to_owned(), position: 1, root: vec![0; 32], epoch: vec![7; 16] };
    let ask = |change: &dyn Fn(&mut api::AcknowledgeRequest)| {
        let mut request = whole.clone();
        change(&mut request);
        api.acknowledge(admin(request))
    };
    assert_eq!(refusal(ask(&|request| request.instance.clear()).await), invalid("instance"));
    assert_eq!(refusal(ask(&|request| request.position = 0).await), invalid("position"));
    assert_eq!(refusal(ask(&|request| request.root.truncate(31)).await), invalid("root"));
    assert_eq!(refusal(ask(&|request| request.epoch.push(0)).await), invalid("epoch"));
    assert_eq!(refusal(ask(&|_| {}).await).1, "POSITION_UNKNOWN");
    let after = |after: &str| admin(api::ListFollowersRequest { after: after.to_owned(), page_size: 0 });
    assert_eq!(refusal(api.list_followers(after("nobody")).await), invalid("after"));
    assert!(api.list_followers(after("spiffe://example.org/a b")).await.is_ok());
}

#[tokio::test]
async fn the_bundle_is_for_everybody_with_an_identity() {
    let ask = by("spiffe://example.org/stranger", api::GetBundleRequest {});
    let bundle = api().await.get_bundle(ask).await.expect("a bundle").into_inner();
    assert_eq!((bundle.trust_domain.as_str(), bundle.issuer.as_str()), ("example.org", "https://curfew.example.org"));
    assert_eq!(bundle.issuers.len(), 1);
}

#[tokio::test]
async fn a_bad_policy_is_told_by_check_and_refused_by_apply() {
    let api = api().await;
    let files = vec![api::PolicyFile { name: "x.cedar".to_owned(), text: "permit (".to_owned() }];
    let checked = api.check(admin(api::PolicyCheckRequest { files: files.clone() })).await.expect("checked").into_inner();
    assert!(checked.hash.is_empty() && checked.problems[0].starts_with("x.cedar"), "{checked:?}");
    assert_eq!(refusal(Policy::apply(&api, admin(api::PolicyApplyRequest { files })).await), invalid("policy"));
}

#[tokio::test]
async fn calls_are_counted_by_their_outcome() {
    let api = api().await;
    let _ = api.who_am_i(admin(api::WhoAmIRequest {})).await;
    let _ = Owners::get(&api, admin(api::OwnersGetRequest { owner: "unknown".to_owned() })).await;
    let mut registry = prometheus_client::registry::Registry::with_prefix("test");
    api.0.meters.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
    for line in [
        r#"test_calls_total{service="Trust",method="who_am_i",code="OK"} 1"#,
        r#"test_calls_total{service="Owners",method="get",code="NOT_FOUND"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}
