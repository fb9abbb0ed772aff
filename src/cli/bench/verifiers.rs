//! One verifier of each kind, kept informed as it would be in a service: by the stream, by requests that wait for
//! the next list, by a status list, and by a CRL.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use webpki::{
    ALL_VERIFICATION_ALGS, BorrowedCertRevocationList, CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage,
    RevocationOptionsBuilder,
};

use crate::ambient::{Ambient, Clock};
use crate::cli::fetch::Public;
use crate::cli::sample::Sample;
use crate::cli::session::Session;
use crate::client::{Follower, Following};
use crate::formats::jwk::P256;
use crate::formats::jws;
use crate::formats::keyset::{Keys, MAX_KEYS};
use crate::formats::list::MAX_LIST;
use crate::formats::status_list::{MAX_STATUS_LIST, StatusList, StatusListToken, StatusReference, TYP, VALID};
use crate::formats::urls::Urls;
use crate::model::{KeyPurpose, Position};
use crate::verify::{self, KeySet, Moment, Presented, Rejected, Settings};

/// The audience of the tokens.
pub(super) const AUDIENCE: &str = "https://bench.example.org";

/// The identity under which the stream is followed.
pub(super) const FOLLOWER: &str = "/bench/follower";

/// The longest CRL that is read.
const MAX_CRL: usize = 1 << 20;

/// How long a request waits for the next list, in seconds.
const WAIT: u64 = 5;

/// A token and a certificate that are to be revoked.
pub(super) struct Held {
    pub(super) token: String,
    pub(super) presented: Presented,
    pub(super) status: StatusReference,
    pub(super) certificate: CertificateDer<'static>,
}

/// What keeps verifiers informed, until it is dropped. Each goes on for ever, or fails.
pub(super) type Informing = JoinSet<anyhow::Result<Infallible>>;

/// Whether it accepts what is held.
type Check = Box<dyn Fn(&Held) -> anyhow::Result<bool>>;

/// Somebody who accepts credentials.
pub(super) struct Verifier {
    /// Which kind.
    pub(super) name: &'static str,
    /// Which credential it is shown.
    pub(super) credential: &'static str,
    /// Changes with whatever it is told.
    told: watch::Receiver<u64>,
    check: Check,
}

impl Verifier {
    /// Whether it accepts what is held.
    ///
    /// # Errors
    /// If it rejects that for another reason than that it is revoked.
    pub(super) fn accepts(&self, held: &Held) -> anyhow::Result<bool> {
        (self.check)(held).with_context(|| format!("the verifier `{}`", self.name))
    }

    /// Returns when it rejects what is held.
    pub(super) async fn rejects(&self, held: &Held) -> anyhow::Result<()> {
        let mut told = self.told.clone();
        while self.accepts(held)? {
            told.changed().await.with_context(|| format!("the verifier `{}` is told nothing any more", self.name))?;
        }
        Ok(())
    }
}

/// One of each kind; CRL and status list are fetched again so often.
pub(super) async fn all(session: &Session, sample: &Sample, fetch_every: Duration) -> anyhow::Result<(Vec<Verifier>, Informing)> {
    let mut informing = JoinSet::new();
    let public = Arc::new(Public::of(&sample.url(), &sample.ca()?)?);
    let keys = String::from_utf8(public.get("/v1/keys", MAX_KEYS).await?)?;
    let fetching = Fetching { public, clock: session.clock.clone(), every: fetch_every };
    let all = vec![
        stream(session, sample).await?,
        long_poll(&fetching, KeySet::from_json(&keys)?, &mut informing).await?,
        status_list(&fetching, &Keys::from_json(&keys)?, &mut informing).await?,
        crl(&fetching, &Keys::from_json(&keys)?, &mut informing).await?,
    ];
    Ok((all, informing))
}

async fn stream(session: &Session, sample: &Sample) -> anyhow::Result<Verifier> {
    let config = sample.reached_by(&sample.identity(session, FOLLOWER)?)?;
    let ambient = Ambient { clock: session.clock.clone(), entropy: session.entropy.clone() };
    let following = Following { settings: Settings::new(AUDIENCE.parse()?), instance: "bench".parse()?, ambient };
    let follower = Follower::start(move || Ok(config.clone()), following).await?;
    let told = follower.lists();
    let check = Box::new(move |held: &Held| accepted(follower.token(&held.token, held.presented)));
    Ok(Verifier { name: "follower", credential: "token", told, check })
}

fn accepted<T>(checked: Result<T, Rejected>) -> anyhow::Result<bool> {
    match checked {
        Ok(_) => Ok(true),
        Err(Rejected::Revoked { .. }) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

/// What is fetched from the public listener again and again.
#[derive(Clone)]
struct Fetching {
    public: Arc<Public>,
    clock: Clock,
    every: Duration,
}

impl Fetching {
    fn moment(&self) -> Moment {
        Moment { wall: self.clock.now(), steady: self.clock.steady() }
    }

    /// A document that `read` understands, fetched by `informing` from now on.
    async fn kept<T: Send + Sync + 'static>(
        &self,
        (path, longest): (String, usize),
        read: impl Fn(&[u8]) -> anyhow::Result<T> + Send + Sync + 'static,
        informing: &mut Informing,
    ) -> anyhow::Result<(Arc<ArcSwap<T>>, watch::Receiver<u64>)> {
        let kept = Arc::new(ArcSwap::from_pointee(read(&self.public.get(&path, longest).await?)?));
        let (tell, told) = watch::channel(0);
        let (this, state) = (self.clone(), Arc::clone(&kept));
        informing.spawn(async move {
            loop {
                this.clock.sleep(this.every).await;
                state.store(Arc::new(read(&this.public.get(&path, longest).await?)?));
                tell.send_modify(|fetched| *fetched += 1);
            }
        });
        Ok((kept, told))
    }
}

async fn long_poll(fetching: &Fetching, keys: KeySet, informing: &mut Informing) -> anyhow::Result<Verifier> {
    let verifier = Arc::new(verify::Verifier::new(Settings::new(AUDIENCE.parse()?), keys));
    let (tell, told) = watch::channel(0);
    let (this, informed) = (fetching.clone(), Arc::clone(&verifier));
    let take = async move |wait: &str| {
        let since = informed.position().map(|position| format!("?since={position}{wait}")).unwrap_or_default();
        let list = this.public.get(&format!("/v1/revocations{since}"), MAX_LIST).await?;
        informed.apply(std::str::from_utf8(&list)?, this.moment())?;
        anyhow::Ok(())
    };
    take("").await?;
    informing.spawn(async move {
        loop {
            take(&format!("&wait={WAIT}")).await?;
            tell.send_modify(|applied| *applied += 1);
        }
    });
    let now = fetching.clone();
    let check = Box::new(move |held: &Held| accepted(verifier.token(&held.token, held.presented, now.moment())));
    Ok(Verifier { name: "long_poll", credential: "token", told, check })
}

/// What URLs of lists are below the public listener.
fn paths() -> Urls {
    Urls { issuer: String::new(), crl: String::new() }
}

async fn status_list(fetching: &Fetching, keys: &Keys, informing: &mut Informing) -> anyhow::Result<Verifier> {
    // A bench is over long before the second list begins.
    let path = paths().status_list(0);
    let tokens = keys.keys.iter().filter(|(_, key)| key.purpose == KeyPurpose::Token);
    let tokens: Vec<(String, P256)> = tokens.filter_map(|(_, key)| Some((key.kid.clone(), P256::from_spki(&key.material)?))).collect();
    let read = move |bytes: &[u8]| signed_status_list(bytes, &tokens);
    let (list, told) = fetching.kept((path.clone(), MAX_STATUS_LIST), read, informing).await?;
    let check = move |held: &Held| {
        anyhow::ensure!(held.status.uri.ends_with(&path), "the token is in another list: {}", held.status.uri);
        Ok(list.load().status(held.status.index).context("the token is beyond the list")? == VALID)
    };
    Ok(Verifier { name: "status_list", credential: "token", told, check: Box::new(check) })
}

/// A status list, as a stock library takes it.
fn signed_status_list(bytes: &[u8], keys: &[(String, P256)]) -> anyhow::Result<StatusList> {
    let jws = jws::parse(std::str::from_utf8(bytes)?, MAX_STATUS_LIST)?;
    let (_, key) = keys.iter().find(|(kid, _)| *kid == jws.kid).context("the status list is signed by an unknown key")?;
    anyhow::ensure!(jws.typ == TYP && key.verifies(jws.signing_input, &jws.signature), "the status list is not signed as it should be");
    Ok(StatusListToken::decode(&jws.payload)?.list)
}

async fn crl(fetching: &Fetching, keys: &Keys, informing: &mut Informing) -> anyhow::Result<Verifier> {
    let issuer = keys.keys.iter().find(|(_, key)| key.purpose == KeyPurpose::Issuer).context("nobody issues certificates")?;
    let (number, certificate): (Position, _) = (issuer.0, CertificateDer::from(issuer.1.material.clone()));
    let anchor = webpki::anchor_from_trusted_cert(&certificate)?.to_owned();
    let (der, told) = fetching.kept((paths().crl(number), MAX_CRL), |bytes| Ok(bytes.to_vec()), informing).await?;
    let clock = fetching.clock.clone();
    let check = move |held: &Held| {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(clock.now().seconds()));
        unrevoked(&held.certificate, &anchor, &der.load(), now)
    };
    Ok(Verifier { name: "crl", credential: "certificate", told, check: Box::new(check) })
}

/// What a TLS server asks of a client certificate: a path to the issuer, and a CRL in force that does not name it.
fn unrevoked(leaf: &CertificateDer<'_>, anchor: &TrustAnchor<'_>, crl: &[u8], now: UnixTime) -> anyhow::Result<bool> {
    let crl = CertRevocationList::from(BorrowedCertRevocationList::from_der(crl)?);
    let crls = [&crl];
    let revocation = RevocationOptionsBuilder::new(&crls).map_err(|_none| anyhow::anyhow!("there is no CRL"))?;
    let revocation = revocation.with_expiration_policy(ExpirationPolicy::Enforce).build();
    let anchors = std::slice::from_ref(anchor);
    let usage = KeyUsage::client_auth();
    match EndEntityCert::try_from(leaf)?.verify_for_usage(ALL_VERIFICATION_ALGS, anchors, &[], now, usage, Some(revocation), None) {
        Ok(_) => Ok(true),
        Err(webpki::Error::CertRevoked) => Ok(false),
        Err(other) => bail!(other),
    }
}
