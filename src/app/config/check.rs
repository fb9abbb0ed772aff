//! What a configuration may not say.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tracing_subscriber::EnvFilter;

use super::hsm::Pkcs11;
use super::raw::{Raw, RawLimits, RawListen, RawLists, RawServer, SERVER_NAMES};
use super::{Config, Limits, Listen, Log, Server, sources};
use crate::broker::{Quotas, Reconciling};
use crate::grpc::{Bounds, InFlight, LONGEST_DOCUMENT};
use crate::keys::rotation::{Rotation, Schedule};
use crate::lists::Lifetimes;
use crate::model::{CLOCK_STEP, Invalid, KeyPurpose, LONGEST_EXCEPTION, SpiffeId, TrustDomain};

/// Fewer beats than this within `max_staleness`, and one lost packet stops a fail-closed service.
const BEATS: u32 = 3;

/// What the clock of a verifier may be wrong by at most.
const MOST_SKEW: Duration = Duration::from_secs(600);
/// A follower's list may be this old at most: beyond it, "revoked" means little.
const STALEST: Duration = Duration::from_secs(60 * 60);

/// How long a signature of a module may take.
const SOONEST: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_secs(30);

/// Everything that is wrong, not only the first of it.
#[derive(Default)]
pub(super) struct Problems(Vec<Invalid>);

impl Problems {
    pub(super) fn note(&mut self, field: &'static str, problem: impl std::fmt::Display) {
        self.0.push(Invalid::new(field, problem));
    }

    pub(super) fn unless(&mut self, holds: bool, field: &'static str, problem: impl std::fmt::Display) {
        if !holds {
            self.note(field, problem);
        }
    }

    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, field: &'static str, text: &str) -> Option<T> {
        text.parse().map_err(|error| self.note(field, format_args!("`{text}`: {error}"))).ok()
    }
}

fn crl_url(raw: &Raw, problems: &mut Problems) -> String {
    let url = raw.crl_url.as_ref().unwrap_or(&raw.public_url);
    problems.unless(
        host(url, &["http", "https"]).is_some(),
        "crl_url",
        format_args!("`{url}` is not http://host or https://host, with or without a port, without a trailing slash"),
    );
    url.clone()
}

fn reconciling(raw: &Raw, problems: &mut Problems) -> Reconciling {
    raw.reconcile.checked(|field, problem| problems.note(field, problem))
}

/// The configuration, or everything that is wrong with it.
pub(super) fn validate(mut raw: Raw) -> Result<Config, Vec<Invalid>> {
    let mut problems = Problems::default();
    let trust_domain: Option<TrustDomain> = problems.parsed("trust_domain", &raw.trust_domain);
    let trust = trust(&raw, &mut problems);
    let administrators: Vec<SpiffeId> = raw.administrators.iter().filter_map(|id| problems.parsed("administrators", id)).collect();
    problems.unless(
        !raw.administrators.is_empty(),
        "administrators",
        "name at least one SPIFFE ID; without an administrator nothing could ever be revoked",
    );
    for id in administrators.iter().filter(|id| !trust.contains_key(&id.trust_domain())) {
        problems.note("administrators", format_args!("{id} could never connect: there is no [[trust]] for {}", id.trust_domain()));
    }
    let server = server(&raw.server, &mut problems);
    if let Server::Issued { names } = &server {
        raw.server.names = Some(names.clone());
    }
    public_url(&raw.public_url, &server, &mut problems);
    let crl_url = crl_url(&raw, &mut problems);
    lists(&raw.lists, &mut problems);
    freshness(&raw, &mut problems);
    problems.unless(raw.worker_threads != Some(0), "worker_threads", "write at least 1, or leave it out for one per core");
    keeping(&raw, &mut problems);
    let (rotation, reconciling) = (rotation(&raw, &mut problems), reconciling(&raw, &mut problems));
    let sources = sources::validate(&raw.source, &mut problems);
    listen(&raw.listen, &mut problems);
    limits(&raw.limits, &mut problems);
    if let Err(error) = EnvFilter::try_new(&raw.log.filter) {
        problems
            .note("log.filter", format_args!("`{}`: {error}; write a level such as info, or targets such as curfew=debug", raw.log.filter));
    }
    match (trust_domain, problems.0) {
        (Some(trust_domain), problems) if problems.is_empty() => Ok(Config {
            trust_domain,
            administrators: administrators.into_iter().collect(),
            public_url: raw.public_url.clone(),
            crl_url,
            data_dir: raw.data_dir.clone(),
            max_staleness: raw.max_staleness.duration(),
            heartbeat: raw.heartbeat.duration(),
            clock_skew: raw.clock_skew.duration(),
            min_free_disk: raw.min_free_disk.bytes(),
            worker_threads: raw.worker_threads,
            rotation,
            sources: sources.read,
            reconciling,
            listen: Listen { grpc: raw.listen.grpc, public: raw.listen.public, admin: raw.listen.admin, lists: raw.listen.lists },
            lists: Lifetimes {
                interval: raw.lists.interval.duration(),
                crl: raw.lists.crl_lifetime.duration(),
                status: raw.lists.status_lifetime.duration(),
                ttl: raw.lists.status_ttl.duration(),
            },
            server,
            limits: Limits::from(&raw.limits),
            log: Log { format: raw.log.format, filter: raw.log.filter.clone() },
            policies_dir: raw.policies_dir.clone(),
            keys_dir: raw.keys_dir.clone(),
            unseal_with: raw.unseal_with.clone(),
            pkcs11: raw.pkcs11.as_ref().map(Pkcs11::new),
            high_water_file: raw.high_water_file.clone().unwrap_or_default(),
            trust,
            clients: sources.clients,
            raw,
        }),
        (_, problems) => Err(problems),
    }
}

impl From<&RawLimits> for Limits {
    fn from(raw: &RawLimits) -> Self {
        Self {
            connections: raw.connections,
            identity_connections: raw.identity_connections,
            quotas: Quotas {
                workload_rate: raw.workload_rate,
                owner_rate: raw.owner_rate,
                administrator_rate: raw.administrator_rate,
                source_rate: raw.source_rate,
                workload_live: raw.workload_live,
                owner_tasks: raw.owner_tasks,
                workload_exceptions: raw.workload_exceptions,
                exception_life: raw.exception_life.duration(),
                identity_watches: raw.identity_watches,
                watches: raw.watches,
            },
            handshakes: raw.handshakes,
            handshake_time: raw.handshake_time.duration(),
            streams: raw.streams,
            headers: u32::try_from(raw.headers.bytes()).unwrap_or(u32::MAX),
            calls: Bounds {
                message: usize::try_from(raw.message.bytes()).unwrap_or(usize::MAX),
                call: raw.call.duration(),
                in_flight: InFlight { each: raw.identity_in_flight.bytes(), all: raw.in_flight.bytes(), longest: longest(raw) },
            },
            drain: raw.drain.duration(),
        }
    }
}

/// What the longest request may have.
fn longest(raw: &RawLimits) -> u64 {
    raw.message.bytes().max(LONGEST_DOCUMENT as u64)
}

/// Where keys and the high-water mark are kept.
fn keeping(raw: &Raw, problems: &mut Problems) {
    problems.unless(
        raw.high_water_file.as_ref().is_some_and(|file| !file.starts_with(&raw.data_dir)),
        "high_water_file",
        "name a file outside of data_dir: the mark tells that an older data_dir was put back, so it must not be put back with it",
    );
    let Some(hsm) = &raw.pkcs11 else { return };
    let labels = [(&hsm.token_key, &hsm.next_token_key), (&hsm.issuer_key, &hsm.next_issuer_key), (&hsm.list_key, &hsm.next_list_key)];
    problems.unless(
        labels.iter().any(|(label, _)| label.is_some()),
        "pkcs11",
        "name the label of at least one of token_key, issuer_key and list_key, or leave the table out",
    );
    problems.unless(
        labels.iter().all(|(label, next)| next.is_none() || (label.is_some() && label != next)),
        "pkcs11",
        "a next key follows one of the module that signs now, and is another: name both",
    );
    let time = hsm.sign_time.duration();
    problems.unless(
        (SOONEST..=LATEST).contains(&time),
        "pkcs11.sign_time",
        "write between 100ms and 30s; calls wait that long when the module hangs",
    );
    problems.unless(
        (1..=64).contains(&hsm.sessions),
        "pkcs11.sessions",
        "write between 1 and 64; each key takes so many sessions and threads",
    );
}

/// How each key changes: those that a module holds when it is given their successors, the others by themselves.
fn rotation(raw: &Raw, problems: &mut Problems) -> Rotation {
    let Raw { keys, pkcs11, max_staleness, lists, .. } = raw;
    let in_module = pkcs11.as_ref().map(Pkcs11::new).map(|hsm| hsm.labels).unwrap_or_default();
    let (every, announce) = (&keys.rotate_every, keys.announce.duration());
    let schedules = [
        (KeyPurpose::Token, "keys.rotate_every.token", every.token, announce),
        (KeyPurpose::Issuer, "keys.rotate_every.issuer", every.issuer, keys.announce_issuer.duration()),
        (KeyPurpose::List, "keys.rotate_every.list", every.list, announce),
        (KeyPurpose::Checkpoint, "keys.rotate_every.checkpoint", every.checkpoint, announce),
    ];
    for (field, span) in [("keys.announce", keys.announce), ("keys.announce_issuer", keys.announce_issuer)] {
        problems.unless(
            span.duration() >= Duration::from_secs(1),
            field,
            "write at least 1s; verifiers have to find a key before it signs",
        );
    }
    let schedule = |(purpose, field, every, announce): (_, _, super::Span, Duration)| {
        let every = Some(every.duration()).filter(|every| !every.is_zero());
        problems.unless(
            every.is_none_or(|every| every >= announce.saturating_mul(2)),
            field,
            "write at least twice the time that the next key is announced ahead, or 0s for a key that is changed by hand alone",
        );
        (purpose, Schedule { every: every.filter(|_| !in_module.contains_key(&purpose)), announce })
    };
    Rotation::new(schedules.map(schedule).into(), max_staleness.duration().max(lists.status_lifetime.duration()))
}

fn trust(raw: &Raw, problems: &mut Problems) -> BTreeMap<TrustDomain, PathBuf> {
    problems.unless(!raw.trust.is_empty(), "trust", "name at least one [[trust]] domain and bundle; without one nobody could connect");
    let mut bundles = BTreeMap::new();
    for one in &raw.trust {
        let Some(domain) = problems.parsed::<TrustDomain>("trust.domain", &one.domain) else { continue };
        if bundles.insert(domain, one.bundle.clone()).is_some() {
            problems.note("trust", format_args!("{} is named twice; put all its certificates into one bundle", one.domain));
        }
    }
    bundles
}

fn server(raw: &RawServer, problems: &mut Problems) -> Server {
    match (&raw.certificate, &raw.key) {
        (Some(certificate), Some(key)) => {
            problems.unless(raw.names.is_none(), "server.names", "the names stand in server.certificate already; leave one of them out");
            Server::Files { certificate: certificate.clone(), key: key.clone() }
        }
        (certificate, key) => {
            problems.unless(certificate.is_none(), "server.key", "server.certificate needs its key");
            problems.unless(key.is_none(), "server.certificate", "server.key needs its certificate");
            let names = raw.names.clone().unwrap_or_else(|| SERVER_NAMES.map(str::to_owned).to_vec());
            problems.unless(!names.is_empty(), "server.names", "name at least one host under which clients reach the broker");
            for name in names.iter().filter(|name| ServerName::try_from(name.as_str()).is_err()) {
                problems.note("server.names", format_args!("`{name}` is neither a DNS name nor an IP address"));
            }
            Server::Issued { names }
        }
    }
}

/// The host of a URL of one of these schemes that has no path, query or trailing slash.
fn host(url: &str, schemes: &[&str]) -> Option<String> {
    let url: http::Uri = url.strip_suffix('/').map_or(Some(url), |_| None)?.parse().ok()?;
    let plain = url.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) && url.path() == "/" && url.query().is_none();
    let authority = url.authority().filter(|authority| plain && !authority.as_str().contains('@'))?;
    Some(authority.host().trim_start_matches('[').trim_end_matches(']').to_owned())
}

fn public_url(url: &str, server: &Server, problems: &mut Problems) {
    let Some(host) = host(url, &["https"]) else {
        return problems.note("public_url", format_args!("`{url}` is not https://host or https://host:port, without a trailing slash"));
    };
    let same = |name: &String| match (name.parse::<IpAddr>(), host.parse::<IpAddr>()) {
        (Ok(name), Ok(host)) => name == host,
        (_, _) => name.eq_ignore_ascii_case(&host),
    };
    if let Server::Issued { names } = server {
        problems.unless(
            names.iter().any(same),
            "public_url",
            format_args!("`{host}` is not in server.names, so no client would accept the certificate"),
        );
    }
}

fn freshness(raw: &Raw, problems: &mut Problems) {
    let (staleness, heartbeat) = (raw.max_staleness.duration(), raw.heartbeat.duration());
    problems.unless(staleness >= Duration::from_secs(1), "max_staleness", "write at least 1s; lists state time in whole seconds");
    problems.unless(staleness <= STALEST, "max_staleness", "write at most 1h; it is how long a revoked credential may survive");
    problems.unless(raw.clock_skew.duration() <= MOST_SKEW, "clock_skew", "write at most 10m; clocks that are further off are broken");
    problems.unless(!heartbeat.is_zero(), "heartbeat", "write more than 0ms");
    problems.unless(
        heartbeat.saturating_mul(BEATS) <= staleness,
        "heartbeat",
        format_args!(
            "{} is more than a third of max_staleness ({}); one lost beat would stop every fail-closed service",
            raw.heartbeat, raw.max_staleness
        ),
    );
}

fn listen(raw: &RawListen, problems: &mut Problems) {
    let always = [("listen.grpc", raw.grpc), ("listen.public", raw.public), ("listen.admin", raw.admin)];
    let all: Vec<_> = always.into_iter().chain(raw.lists.map(|address| ("listen.lists", address))).collect();
    for (index, (field, address)) in all.iter().enumerate() {
        for (other, _) in all.iter().take(index).filter(|(_, other)| other == address && address.port() != 0) {
            problems.note(field, format_args!("{address} is that of {other} too"));
        }
    }
}

fn lists(raw: &RawLists, problems: &mut Problems) {
    let (interval, ttl) = (raw.interval.duration(), raw.status_ttl.duration());
    problems.unless(interval >= Duration::from_secs(1), "lists.interval", "write at least 1s; lists state time in whole seconds");
    for (field, lifetime) in [("lists.crl_lifetime", raw.crl_lifetime), ("lists.status_lifetime", raw.status_lifetime)] {
        problems.unless(
            lifetime.duration() <= CLOCK_STEP,
            field,
            "write at most 1h; it is how long a revoked credential may survive, and cuts are not remembered for longer",
        );
        problems.unless(
            interval.saturating_mul(BEATS) <= lifetime.duration(),
            field,
            format_args!(
                "{lifetime} is less than three times lists.interval ({}); one list that is not built would stop every service that needs it",
                raw.interval
            ),
        );
    }
    problems.unless(ttl >= Duration::from_secs(1), "lists.status_ttl", "write at least 1s");
    problems.unless(ttl <= raw.status_lifetime.duration(), "lists.status_ttl", "write at most lists.status_lifetime");
}

fn limits(raw: &RawLimits, problems: &mut Problems) {
    const LEAST: &str = "write at least 1";
    problems.unless(raw.connections > 0, "limits.connections", LEAST);
    problems.unless(raw.identity_connections > 0, "limits.identity_connections", LEAST);
    problems.unless(raw.workload_rate > 0, "limits.workload_rate", LEAST);
    problems.unless(raw.owner_rate > 0, "limits.owner_rate", LEAST);
    problems.unless(raw.administrator_rate > 0, "limits.administrator_rate", LEAST);
    problems.unless(raw.source_rate > 0, "limits.source_rate", LEAST);
    problems.unless(raw.workload_live > 0, "limits.workload_live", LEAST);
    problems.unless(raw.owner_tasks > 0, "limits.owner_tasks", LEAST);
    problems.unless(raw.workload_exceptions > 0, "limits.workload_exceptions", LEAST);
    problems.unless(
        !raw.exception_life.duration().is_zero() && raw.exception_life.duration() <= LONGEST_EXCEPTION,
        "limits.exception_life",
        "write a time above zero, and at most 30d",
    );
    problems.unless(raw.identity_watches > 0, "limits.identity_watches", LEAST);
    problems.unless(raw.watches > 0, "limits.watches", LEAST);
    problems.unless(raw.handshakes > 0, "limits.handshakes", LEAST);
    problems.unless(!raw.handshake_time.duration().is_zero(), "limits.handshake_time", "write a time above zero");
    problems.unless(raw.streams > 0, "limits.streams", LEAST);
    problems.unless(
        raw.handshakes <= raw.connections,
        "limits.handshakes",
        "a handshake is a connection; write at most limits.connections",
    );
    problems.unless(raw.call.duration() >= Duration::from_secs(1), "limits.call", "write at least 1s; a commit may take that long");
    problems.unless((4096..=1 << 20).contains(&raw.headers.bytes()), "limits.headers", "write between 4KiB and 1MiB");
    let message = raw.message.bytes();
    problems.unless((4096..=1 << 30).contains(&message), "limits.message", "write between 4KiB and 1GiB");
    problems.unless(
        raw.identity_in_flight.bytes() >= longest(raw),
        "limits.identity_in_flight",
        "write at least 16MiB, and at least limits.message: one request has to fit",
    );
    problems.unless(
        raw.in_flight.bytes() / 2 >= raw.identity_in_flight.bytes(),
        "limits.in_flight",
        "write at least twice limits.identity_in_flight, so that no identity can hold all of it",
    );
}
