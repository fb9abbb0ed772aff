//! What the public listener serves, over HTTPS: signed or public, so no client certificate is shown.

use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The public listener of a broker, over connections that are kept.
#[derive(Debug)]
pub(super) struct Public {
    url: String,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl Public {
    /// That of the broker at `url`, for whose certificate `ca` (PEM) vouches.
    pub(super) fn of(url: &str, ca: &[u8]) -> anyhow::Result<Self> {
        let base: http::Uri = url.parse().with_context(|| format!("`{url}` is not a URL"))?;
        anyhow::ensure!(base.scheme_str() == Some("https"), "`{url}` is not an https:// URL");
        let connector = HttpsConnectorBuilder::new().with_tls_config(trusting(ca)?).https_only().enable_http1().build();
        Ok(Self { url: url.trim_end_matches('/').to_owned(), client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// Gets `path`; at most `longest` bytes.
    pub(super) async fn get(&self, path: &str, longest: usize) -> anyhow::Result<Vec<u8>> {
        let uri: http::Uri = format!("{}{path}", self.url).parse().with_context(|| format!("`{}{path}` is not a URL", self.url))?;
        let fetched = async {
            let response = self.client.get(uri.clone()).await?;
            let status = response.status();
            anyhow::ensure!(status.is_success(), "it answered {status}");
            let body = Limited::new(response.into_body(), longest).collect().await.map_err(|error| anyhow::anyhow!(error))?;
            Ok(body.to_bytes().to_vec())
        };
        tokio::time::timeout(PATIENCE, fetched)
            .await
            .context("it did not answer in time")
            .flatten()
            .with_context(|| format!("cannot get {uri}"))
    }
}

fn trusting(ca: &[u8]) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        roots.add(certificate.context("--cacert is not PEM")?).context("--cacert")?;
    }
    anyhow::ensure!(!roots.is_empty(), "--cacert holds no certificate");
    let provider = rustls::crypto::ring::default_provider();
    let builder = rustls::ClientConfig::builder_with_provider(provider.into()).with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_fetched_without_tls_or_without_knowing_whom_to_trust() {
        for (url, reason) in
            [("http://localhost:1", "is not an https:// URL"), ("https://localhost:1", "holds no certificate"), ("a b", "is not a URL")]
        {
            let error = Public::of(url, b"").expect_err("refused");
            assert!(format!("{error:#}").contains(reason), "{error:#}");
        }
    }
}
