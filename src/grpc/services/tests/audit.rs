//! Every call leaves what `docs/audit.md` says, and refusals are told.

use prost::Message;
use prost_types::FileDescriptorSet;

use super::api::exceptions_server::Exceptions;
use super::api::findings_server::Findings;
use super::api::keys_server::Keys;
use super::api::ledger_server::Ledger as _;
use super::api::sources_server::Sources;
use super::*;
use crate::directory::{Document, Snapshot};
use crate::ledger::{Change, Present, Urgency};
use crate::model::{Closing, CutMade, Environment, Event, Position, Reason};

/// Every method of the API, as `Service.Method`.
fn methods() -> Vec<String> {
    let set = FileDescriptorSet::decode(crate::proto::DESCRIPTORS).expect("descriptors");
    let files = set.file.into_iter().filter(|file| file.package() == "curfew.v1");
    let services = files.flat_map(|file| file.service);
    services
        .flat_map(|service| {
            let name = service.name().to_owned();
            service.method.into_iter().map(move |method| format!("{name}.{}", method.name())).collect::<Vec<_>>()
        })
        .collect()
}

/// The rows of the documentation: a call, and the kind of entry that it leaves.
fn documented() -> Vec<(String, String)> {
    let page = include_str!("../../../../docs/audit.md");
    let cell = |cell: Option<&str>| cell.unwrap_or_default().trim().trim_matches('`').to_owned();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1);
        (cell(cells.next()), cell(cells.next()))
    })
    .collect()
}

#[test]
fn the_documentation_names_every_call_once() {
    let mut named: Vec<String> = documented().into_iter().map(|(call, _)| call).collect();
    let mut methods = methods();
    named.sort();
    methods.sort();
    assert_eq!(named, methods);
}

const WORKLOAD: &str = "spiffe://example.org/acme/sync";

fn task() -> api::TasksOpenRequest {
    api::TasksOpenRequest {
        owner: "acme".to_owned(),
        environment: "production".to_owned(),
        deadline: Some(prost_types::Timestamp { seconds: 1_780_308_000, nanos: 0 }),
        purpose: "a job".to_owned(),
        ..Default::default()
    }
}

impl Api {
    /// Makes one call: as the administrator, or as a workload where nothing is issued to others.
    async fn make(&self, call: &str) -> Result<(), Status> {
        match call.split('.').next().unwrap_or_default() {
            "Credentials" => self.make_of_credentials(call).await,
            "Owners" | "Revocations" => self.make_of_revoking(call).await,
            "Policy" | "Registry" => self.make_of_running(call).await,
            "Keys" => self.make_of_keys(call).await,
            "Exceptions" => self.make_of_exceptions(call).await,
            "Sources" => self.make_of_sources(call).await,
            "Findings" => self.make_of_findings(call).await,
            _ => self.make_of_others(call).await,
        }
    }

    async fn make_of_credentials(&self, call: &str) -> Result<(), Status> {
        match call {
            "Credentials.IssueToken" => self.issue_token(by(WORKLOAD, token())).await.map(drop),
            "Credentials.BatchIssueTokens" => {
                let batch = api::BatchIssueTokensRequest { requests: vec![token()] };
                self.batch_issue_tokens(by(WORKLOAD, batch)).await.map(drop)
            }
            "Credentials.IssueCertificate" => {
                let key = rcgen::KeyPair::generate().expect("a key");
                let csr = rcgen::CertificateParams::default().serialize_request(&key).expect("signed").der().to_vec();
                let ask = api::IssueCertificateRequest { csr, environment: "production".to_owned(), ..Default::default() };
                self.issue_certificate(by(WORKLOAD, ask)).await.map(drop)
            }
            "Credentials.List" => Credentials::list(self, admin(Default::default())).await.map(drop),
            "Credentials.Get" => {
                let listed = Credentials::list(self, admin(Default::default())).await?.into_inner();
                let credential_id = listed.credentials[0].credential_id.clone();
                Credentials::get(self, admin(api::CredentialsGetRequest { credential_id })).await.map(drop)
            }
            unknown => panic!("{unknown}: say here how it is called"),
        }
    }

    async fn make_of_revoking(&self, call: &str) -> Result<(), Status> {
        let reason = api::RevocationReason::Superseded.into();
        let (owner, workload) = ("acme".to_owned(), WORKLOAD.to_owned());
        match call {
            "Owners.Get" => Owners::get(self, admin(api::OwnersGetRequest { owner })).await.map(drop),
            "Owners.List" => Owners::list(self, admin(Default::default())).await.map(drop),
            "Owners.PreviewRevocation" => self.preview_revocation(admin(api::PreviewRevocationRequest { owner })).await.map(drop),
            "Owners.RevokeByOwner" => {
                self.revoke_by_owner(admin(api::RevokeByOwnerRequest { owner, reason, ..Default::default() })).await.map(drop)
            }
            "Owners.GetReport" => self.get_report(admin(api::GetReportRequest { owner })).await.map(drop),
            "Owners.Reinstate" => {
                Owners::reinstate(self, admin(api::OwnersReinstateRequest { owner, note: "a new contract".to_owned() })).await.map(drop)
            }
            "Revocations.Revoke" => {
                let subject = Some(api::revoke_request::Subject::Workload(workload));
                Revocations::revoke(self, admin(api::RevokeRequest { subject, reason, ..Default::default() })).await.map(drop)
            }
            "Revocations.Reinstate" => {
                let subject = Some(api::revocations_reinstate_request::Subject::Workload(workload));
                let ask = api::RevocationsReinstateRequest { subject, note: "it is found".to_owned() };
                Revocations::reinstate(self, admin(ask)).await.map(drop)
            }
            "Revocations.GetList" => self.get_list(admin(Default::default())).await.map(drop),
            "Revocations.Watch" => {
                let ask = api::WatchRequest { since: 0, instance: "one".to_owned() };
                Revocations::watch(self, admin(ask)).await.map(drop)
            }
            "Revocations.Acknowledge" => self.acknowledge(admin(self.applied())).await.map(drop),
            "Revocations.FollowEnforcement" => {
                let entries = self.0.broker.ledger().entries(Position::new(1), 1000).await.expect("readable").into_iter();
                let mut cuts = entries.filter(|stored| stored.entry.as_ref().is_ok_and(|entry| matches!(entry.event, Event::Cut(_))));
                let position = cuts.next().expect("a revocation from before").position.get();
                self.follow_enforcement(admin(api::FollowEnforcementRequest { position, timeout: None })).await.map(drop)
            }
            "Revocations.ListFollowers" => self.list_followers(admin(Default::default())).await.map(drop),
            unknown => panic!("{unknown}: say here how it is called"),
        }
    }

    async fn make_of_keys(&self, call: &str) -> Result<(), Status> {
        match call {
            "Keys.List" => Keys::list(self, admin(Default::default())).await.map(drop),
            "Keys.Rotate" => self.rotate(admin(api::KeysRotateRequest { purpose: "list".to_owned(), now: false })).await.map(drop),
            "Keys.Revoke" => {
                let keys = Keys::list(self, admin(Default::default())).await?.into_inner().keys;
                let number = keys.iter().find(|key| key.purpose == "checkpoint").map_or(0, |key| key.number);
                let reason = api::RevocationReason::KeyCompromise.into();
                Keys::revoke(self, admin(api::KeysRevokeRequest { number, reason, note: "stolen".to_owned() })).await.map(drop)
            }
            unknown => panic!("{unknown}: say here how it is called"),
        }
    }

    async fn make_of_findings(&self, call: &str) -> Result<(), Status> {
        // Something to find: the contract of the vendor ends soon.
        Findings::reconcile(self, admin(Default::default())).await?;
        let found = Findings::list(self, admin(Default::default())).await?.into_inner().findings;
        let finding = found.first().expect("one that is open").finding;
        match call {
            "Findings.Reconcile" | "Findings.List" => Ok(()),
            "Findings.Get" => Findings::get(self, admin(api::FindingsGetRequest { finding })).await.map(drop),
            "Findings.Resolve" => {
                let ask = api::FindingsResolveRequest { finding, note: "it is settled".to_owned() };
                Findings::resolve(self, admin(ask)).await.map(drop)
            }
            "Findings.Waive" => {
                let until = Some(prost_types::Timestamp { seconds: 1_781_308_000, nanos: 0 });
                let ask = api::FindingsWaiveRequest { finding, until, note: "known".to_owned() };
                Findings::waive(self, admin(ask)).await.map(drop)
            }
            unknown => panic!("{unknown}: say here how it is called"),
        }
    }

    async fn make_of_exceptions(&self, call: &str) -> Result<(), Status> {
        let asked = api::ExceptionsRequestRequest {
            environment: "production".to_owned(),
            until: Some(prost_types::Timestamp { seconds: 1_780_308_000, nanos: 0 }),
            purpose: "the migration".to_owned(),
            ..Default::default()
        };
        let made = Exceptions::request(self, by(WORKLOAD, asked)).await?.into_inner();
        let exception = made.exception.expect("an exception").exception;
        match call {
            "Exceptions.Request" => Ok(()),
            "Exceptions.Approve" => {
                Exceptions::approve(self, admin(api::ExceptionsApproveRequest { exception, note: String::new() })).await.map(drop)
            }
            "Exceptions.Revoke" => {
                let reason = api::RevocationReason::PrivilegeWithdrawn.into();
                let ask = api::ExceptionsRevokeRequest { exception, reason, ..Default::default() };
                Exceptions::revoke(self, admin(ask)).await.map(drop)
            }
            "Exceptions.Get" => Exceptions::get(self, admin(api::ExceptionsGetRequest { exception })).await.map(drop),
            "Exceptions.List" => Exceptions::list(self, admin(Default::default())).await.map(drop),
            unknown => panic!("{unknown}: say here how it is called"),
        }
    }

    async fn make_of_sources(&self, call: &str) -> Result<(), Status> {
        let name = "assets".to_owned();
        match call {
            "Sources.List" => Sources::list(self, admin(Default::default())).await.map(drop),
            "Sources.Get" => Sources::get(self, admin(api::SourcesGetRequest { name })).await.map(drop),
            "Sources.Confirm" => {
                let source = name.parse().expect("a source");
                let document = Document { environments: vec![Environment { name: "lab".parse().expect("a name") }], ..Document::default() };
                for (digest, document) in [([1; 32], document), ([2; 32], Document::default())] {
                    let said = broker::Said { digest, snapshot: Snapshot::from(document), wrong: 0, problems: Vec::new() };
                    self.0.broker.hear_source(&source, Ok(said)).await.expect("heard");
                }
                Sources::confirm(self, admin(api::SourcesConfirmRequest { name, digest: "02".repeat(32) })).await.map(drop)
            }
            unknown => panic!("{unknown}: say here how it is called"),
        }
    }

    async fn make_of_running(&self, call: &str) -> Result<(), Status> {
        let files = |text: &str| vec![api::PolicyFile { name: "all.cedar".to_owned(), text: text.to_owned() }];
        match call {
            "Policy.Check" => {
                self.check(admin(api::PolicyCheckRequest { files: files("forbid (principal, action, resource);") })).await.map(drop)
            }
            "Policy.Apply" => {
                let files = files("permit (principal, action, resource);");
                Policy::apply(self, admin(api::PolicyApplyRequest { files })).await.map(drop)
            }
            "Policy.Explain" => {
                let call = api::ProposedCall { action: "ReadLedger".to_owned(), object: None };
                let question = Some(api::policy_explain_request::Question::Call(call));
                self.explain(admin(api::PolicyExplainRequest { question, ..Default::default() })).await.map(drop)
            }
            "Registry.Apply" => Registry::apply(self, admin(apply(Some(document())))).await.map(drop),
            "Registry.Diff" => self.diff(admin(api::RegistryDiffRequest { document: Some(document()) })).await.map(drop),
            "Registry.Accept" => {
                let source = "assets".parse().expect("a source");
                // Somebody whom no policy lets moves it to another owner.
                let number = self.0.broker.ledger().facts().workload(&WORKLOAD.parse().expect("an ID")).expect("known").number;
                let event = Event::Cut(CutMade {
                    number,
                    reason: Reason::AffiliationChanged,
                    ends: None,
                    closing: Closing::AwaitOwner,
                    note: None,
                    concerns: None,
                    source: Some(source),
                });
                let plan = Box::new(move |_: &Present<'_>| Ok(vec![event]));
                let change = Change { urgency: Urgency::First, actor: None, request_id: None, plan };
                self.0.broker.ledger().change(change).await.expect("moved");
                let ask = api::RegistryAcceptRequest { workload: WORKLOAD.to_owned(), ..Default::default() };
                self.accept(admin(ask)).await.map(drop)
            }
            "Registry.Export" => self.export(admin(Default::default())).await.map(drop),
            unknown => panic!("{unknown}: say here how it is called"),
        }
    }

    async fn make_of_others(&self, call: &str) -> Result<(), Status> {
        match call {
            "Ledger.List" => api::ledger_server::Ledger::list(self, admin(Default::default())).await.map(drop),
            "Ledger.GetCheckpoint" => self.get_checkpoint(admin(Default::default())).await.map(drop),
            "Tasks.Open" => self.open(admin(task())).await.map(drop),
            "Tasks.Close" => {
                let task = self.open(admin(task())).await?.into_inner().task.expect("a task").task;
                self.close(admin(api::TasksCloseRequest { task, ..Default::default() })).await.map(drop)
            }
            "Tasks.Get" => {
                let task = self.open(admin(task())).await?.into_inner().task.expect("a task").task;
                Tasks::get(self, admin(api::TasksGetRequest { task })).await.map(drop)
            }
            "Tasks.List" => Tasks::list(self, admin(Default::default())).await.map(drop),
            "Trust.GetBundle" => self.get_bundle(admin(Default::default())).await.map(drop),
            "Trust.WhoAmI" => self.who_am_i(admin(Default::default())).await.map(drop),
            unknown => panic!("{unknown}: say here how it is called"),
        }
    }

    /// What a follower says that has applied the list as it is.
    fn applied(&self) -> api::AcknowledgeRequest {
        self.0.publisher.publish().expect("published");
        let head = self.0.broker.ledger().head();
        let position = head.position.get();
        api::AcknowledgeRequest { instance: "a".to_owned(), position, root: head.root.to_vec(), epoch: vec![7; 16] }
    }

    /// Whether the metrics say so.
    #[track_caller]
    fn assert_counted(&self, line: &str) {
        let mut registry = prometheus_client::registry::Registry::with_prefix("test");
        self.0.meters.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        assert!(text.contains(line), "{text}");
    }

    /// The kinds of the entries from a position on.
    async fn kinds(&self, from: Position) -> Vec<&'static str> {
        let entries = self.0.broker.ledger().entries(from, 1000).await.expect("readable");
        entries.iter().map(|stored| stored.entry.as_ref().expect("readable").event.name()).collect()
    }
}

#[tokio::test]
async fn every_call_leaves_what_the_documentation_says() {
    let (api, hand) = with_hand().await;
    api.0.publisher.publish().expect("published");
    // What has to be there before; then the others, in the order of the page.
    let mut calls = documented();
    calls.sort_by_key(|(call, _)| call != "Registry.Apply");
    for (call, kind) in calls {
        // A read is no longer stood for by one of before.
        hand.advance(Duration::from_secs(5 * 60));
        let from = api.0.broker.ledger().head().position.next();
        api.make(&call).await.unwrap_or_else(|status| panic!("{call}: {status}"));
        let left = api.kinds(from).await;
        assert!(if kind == "none" { left.is_empty() } else { left.contains(&kind.as_str()) }, "{call} left {left:?}, not {kind}");
    }
}

#[tokio::test]
async fn a_refused_call_is_counted_and_told_each_item_of_a_batch_by_itself() {
    let api = api().await;
    api.apply_registry(document()).await;
    let stranger = "spiffe://example.org/stranger";
    let ask = || by(stranger, api::OwnersGetRequest { owner: "acme".to_owned() });
    for _ in 0..3 {
        assert_eq!(refusal(Owners::get(&api, ask()).await).1, "IDENTITY_UNKNOWN");
    }
    let item = api::IssueTokenRequest {
        environment: "production".to_owned(),
        audience: "https://nobody.example.org".to_owned(),
        ..Default::default()
    };
    let batch = api::BatchIssueTokensRequest { requests: vec![item.clone(), item] };
    api.batch_issue_tokens(by("spiffe://example.org/acme/sync", batch)).await.expect("each is refused by itself");
    api.0.broker.tell_all_refusals().await;
    let entries = api.0.broker.ledger().entries(Position::new(1), 1000).await.expect("readable");
    let events = entries.into_iter().map(|stored| stored.entry.expect("readable").event);
    let mut told: Vec<_> = events
        .filter_map(|event| if let Event::RequestsRefused(refused) = event { Some((refused.reason, refused.count)) } else { None })
        .collect();
    told.sort();
    assert_eq!(told, [("AUDIENCE_UNKNOWN".to_owned(), 2), ("IDENTITY_UNKNOWN".to_owned(), 3)]);
    api.assert_counted(r#"test_refusals_total{reason="IDENTITY_UNKNOWN"} 3"#);
}

#[tokio::test]
async fn who_goes_away_before_the_answer_leaves_no_less() {
    let api = api().await;
    // The ledger is held, so that the call has to wait.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (enter, entered) = tokio::sync::oneshot::channel();
    let plan = Box::new(move |_: &Present<'_>| {
        let _released = (enter.send(()), held.recv());
        Ok(Vec::new())
    });
    let ledger = Arc::clone(api.0.broker.ledger());
    let change = Change { urgency: Urgency::First, actor: None, request_id: None, plan };
    let holding = tokio::spawn(async move { ledger.change(change).await });
    entered.await.expect("held");
    {
        let mut call = Box::pin(api.export(admin(Default::default())));
        tokio::select! {
            biased;
            early = &mut call => panic!("the ledger is held: {early:?}"),
            () = std::future::ready(()) => {}
        }
    }
    api.assert_counted(r#"test_calls_total{service="Registry",method="export",code="CANCELLED"} 1"#);
    release.send(()).expect("held");
    holding.await.expect("done").expect("nothing to commit");
}
