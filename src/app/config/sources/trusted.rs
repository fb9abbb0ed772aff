//! Who may vouch for a server that the broker calls.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::app::config::files;

/// The certificate authorities of a file, or of this machine. Read anew each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::app) struct Trusted(pub(in crate::app) Option<PathBuf>);

impl Trusted {
    /// How a server is called that they vouch for.
    ///
    /// # Errors
    /// If the file cannot be used, or there is nobody to trust.
    pub(in crate::app) fn tls(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Ok(config.map_err(|error| error.to_string())?.with_root_certificates(self.roots()?).with_no_client_auth())
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match &self.0 {
            Some(path) => {
                let pem = files::read_bytes(path).map_err(|error| error.to_string())?;
                for certificate in CertificateDer::pem_slice_iter(&pem) {
                    let certificate = certificate.map_err(|error| format!("{}: {error}", path.display()))?;
                    roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() { Err("there is no certificate authority to trust: name a file as `cacert`".to_owned()) } else { Ok(roots) }
    }
}
