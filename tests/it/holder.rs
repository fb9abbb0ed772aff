//! Holders of certificates, from outside or of our own, and what they obtain.

use std::fs;

use curfew::client::{Client, Config, Failure, api};
use curfew::verify::Presented;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::harness::{AUDIENCE, Broker, Identity};

/// A certificate and its key.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    /// DER.
    pub(crate) leaf: Vec<u8>,
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl Holder {
    /// An identity from outside.
    pub(crate) fn of(identity: &Identity) -> Self {
        let chain = fs::read(&identity.certificate).unwrap();
        let leaf = CertificateDer::from_pem_slice(&chain).unwrap().to_vec();
        Self { leaf, chain, key: fs::read(&identity.key).unwrap() }
    }

    pub(crate) fn config(&self, broker: &Broker) -> Config {
        Config::new(&broker.addresses().grpc, fs::read(broker.ca()).unwrap(), self.chain.clone(), self.key.clone())
    }

    /// As `config`, with this certificate in place of its own.
    pub(crate) fn over(&self, config: &Config) -> Config {
        Config { certificate: self.chain.clone(), key: self.key.clone(), ..config.clone() }
    }

    pub(crate) async fn connect(&self, broker: &Broker) -> Client {
        Client::connect(self.config(broker)).await.unwrap()
    }

    /// What a service sees of it beside a token.
    pub(crate) fn presented(&self) -> Presented {
        Presented::Certificate(ring::digest::digest(&ring::digest::SHA256, &self.leaf).as_ref().try_into().unwrap())
    }
}

/// Asks for a token for the ledger service.
pub(crate) async fn token(client: &Client, environment: &str, task: u64) -> Result<api::IssueTokenResponse, Failure> {
    let request = api::IssueTokenRequest { environment: environment.to_owned(), audience: AUDIENCE.to_owned(), task, ..Default::default() };
    Ok(client.credentials().issue_token(request).await?.into_inner())
}

/// Asks for a certificate for a new key.
pub(crate) async fn certificate(client: &Client, environment: &str, task: u64) -> Result<(api::Issuance, Holder), Failure> {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
    let request = api::IssueCertificateRequest { csr, environment: environment.to_owned(), task, ..Default::default() };
    let issued = client.credentials().issue_certificate(request).await?.into_inner();
    let leaf = issued.chain[0].clone();
    let holder = Holder { chain: pem(&leaf).into_bytes(), leaf, key: key.serialize_pem().into_bytes() };
    Ok((issued.issuance.unwrap(), holder))
}

/// A certificate, PEM.
pub(crate) fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64::engine::general_purpose::STANDARD.encode(der))
}
