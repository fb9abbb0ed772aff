//! NIST's PKITS (the Public Key Interoperability Test Suite, 223 certificates at the ends of paths) against what checks paths
//! and CRLs beneath the verifier of certificates: rustls-webpki, called as the product calls it.
//!
//! What is not supported is listed by name, and the list is exact: a test in it that comes out right fails this too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use curfew::formats::svid::signs_certificates;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{
    ALL_VERIFICATION_ALGS, BorrowedCertRevocationList, CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage,
    RevocationOptionsBuilder, anchor_from_trusted_cert,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use crate::harness::run;

/// 2020-01-01: within the life of everything that is to be good.
const NOW: u64 = 1_577_836_800;

/// The sections, and what the names of their tests contain; the first that fits counts.
const SECTIONS: [(&str, &[&str]); 16] = [
    ("4.16 Private Certificate Extensions", &["CertificateExtension"]),
    ("4.15 Delta-CRLs", &["deltaCRL"]),
    ("4.14 Distribution Points", &["istributionPoint", "onlyContains", "onlySomeReasons", "indirectCRL", "cRLIssuer"]),
    ("4.13 Name Constraints", &["nameConstraints"]),
    ("4.12 Inhibit Any Policy", &["inhibitAnyPolicy"]),
    ("4.11 Inhibit Policy Mapping", &["inhibitPolicyMapping"]),
    ("4.10 Policy Mappings", &["PolicyMapping", "MappingFromanyPolicy", "MappingToanyPolicy"]),
    ("4.9 Require Explicit Policy", &["requireExplicitPolicy"]),
    ("4.8 Certificate Policies", &["Policies", "AnyPolicy", "anyPolicy", "UserNotice", "CPSPointer"]),
    ("4.7 Key Usage", &["keyUsage"]),
    ("4.6 Basic Constraints", &["asicConstraints", "cAFalse", "pathLenConstraint"]),
    ("4.5 Self-Issued Certificates", &["BasicSelfIssued"]),
    ("4.4 Basic Certificate Revocation", &["CRL", "Revoked", "SerialNumber"]),
    ("4.3 Name Chaining", &["NameChaining", "NameUIDs", "RFC3280", "UTF8String"]),
    ("4.2 Validity Periods", &["Date"]),
    ("4.1 Signature Verification", &["CertificatePath", "Signature", "DSA"]),
];

/// Bad, though their names do not say so: some certificate asks for a policy that the whole path has, and there is none.
const BAD_BY_POLICY: [&str; 6] = [
    "DifferentPoliciesTest4",
    "DifferentPoliciesTest5",
    "DifferentPoliciesTest7",
    "DifferentPoliciesTest8",
    "DifferentPoliciesTest9",
    "DifferentPoliciesTest12",
];

/// Not supported, and accepted: certificate policies, and deltas of CRLs.
const ACCEPTED_THOUGH_BAD: [&str; 5] =
    ["DifferentPoliciesTest12", "DifferentPoliciesTest4", "DifferentPoliciesTest5", "DifferentPoliciesTest9", "InvaliddeltaCRLTest4"];

/// Not supported, and refused.
const REFUSED_THOUGH_GOOD: [&str; 68] = [
    "OverlappingPoliciesTest6",
    "ValidBasicSelfIssuedCRLSigningKeyTest6",
    "ValidBasicSelfIssuedNewWithOldTest3",
    "ValidBasicSelfIssuedNewWithOldTest4",
    "ValidBasicSelfIssuedOldWithNewTest1",
    "ValidDNandRFC822nameConstraintsTest27",
    "ValidDNnameConstraintsTest11",
    "ValidDNnameConstraintsTest14",
    "ValidDNnameConstraintsTest18",
    "ValidDNnameConstraintsTest19",
    "ValidDNnameConstraintsTest1",
    "ValidDNnameConstraintsTest4",
    "ValidDNnameConstraintsTest5",
    "ValidDNnameConstraintsTest6",
    "ValidDSAParameterInheritanceTest5",
    "ValidDSASignaturesTest4",
    "ValidIDPwithindirectCRLTest22",
    "ValidIDPwithindirectCRLTest24",
    "ValidIDPwithindirectCRLTest25",
    "ValidNameChainingCapitalizationTest5",
    "ValidNameChainingWhitespaceTest3",
    "ValidNameChainingWhitespaceTest4",
    "ValidNameUIDsTest6",
    "ValidPolicyMappingTest11",
    "ValidPolicyMappingTest12",
    "ValidPolicyMappingTest13",
    "ValidPolicyMappingTest14",
    "ValidPolicyMappingTest1",
    "ValidPolicyMappingTest3",
    "ValidPolicyMappingTest5",
    "ValidPolicyMappingTest6",
    "ValidPolicyMappingTest9",
    "ValidRFC822nameConstraintsTest21",
    "ValidRFC822nameConstraintsTest23",
    "ValidRFC822nameConstraintsTest25",
    "ValidRolloverfromPrintableStringtoUTF8StringTest10",
    "ValidSelfIssuedinhibitAnyPolicyTest7",
    "ValidSelfIssuedinhibitAnyPolicyTest9",
    "ValidSelfIssuedinhibitPolicyMappingTest7",
    "ValidSelfIssuedpathLenConstraintTest15",
    "ValidSelfIssuedpathLenConstraintTest17",
    "ValidSelfIssuedrequireExplicitPolicyTest6",
    "ValidSeparateCertificateandCRLKeysTest19",
    "ValidURInameConstraintsTest34",
    "ValidURInameConstraintsTest36",
    "ValidUTF8StringCaseInsensitiveMatchTest11",
    "ValidcRLIssuerTest28",
    "ValidcRLIssuerTest29",
    "ValidcRLIssuerTest30",
    "ValidcRLIssuerTest33",
    "ValiddeltaCRLTest5",
    "ValiddistributionPointTest1",
    "ValiddistributionPointTest4",
    "ValiddistributionPointTest5",
    "ValiddistributionPointTest7",
    "ValidinhibitAnyPolicyTest2",
    "ValidinhibitPolicyMappingTest2",
    "ValidinhibitPolicyMappingTest4",
    "ValidonlyContainsCACertsTest13",
    "ValidonlySomeReasonsTest18",
    "ValidonlySomeReasonsTest19",
    "ValidpathLenConstraintTest14",
    "ValidpathLenConstraintTest8",
    "Validpre2000UTCnotBeforeDateTest3",
    "ValidrequireExplicitPolicyTest1",
    "ValidrequireExplicitPolicyTest2",
    "ValidrequireExplicitPolicyTest4",
    "inhibitAnyPolicyTest3",
];

/// The files of PKITS.
struct Suite {
    certificates: BTreeMap<String, Vec<u8>>,
    crls: Vec<Vec<u8>>,
}

impl Suite {
    fn read() -> Self {
        let folder = folder();
        let files = |name: &str| fs::read_dir(folder.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect::<BTreeSet<_>>();
        let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
        Self {
            certificates: files("certs").iter().map(|path| (stem(path), fs::read(path).unwrap())).collect(),
            crls: files("crls").iter().map(|path| fs::read(path).unwrap()).collect(),
        }
    }

    /// The tests by name, each with the certificate at the end of its path.
    fn tests(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.certificates.iter().filter_map(|(name, der)| Some((name.strip_suffix("EE")?, der.as_slice())))
    }

    /// Whether a path leads from a certificate to the anchor, and no CRL in force names anything on it.
    fn accepts(&self, leaf: &[u8]) -> bool {
        let (intermediates, names) = self.above(leaf);
        let signing = intermediates.into_iter().filter(|der| signs_certificates(der));
        let intermediates: Vec<CertificateDer<'_>> = signing.map(CertificateDer::from).collect();
        let crls = self.crls.iter().filter(|der| {
            let crl = CertificateRevocationList::from_der(der);
            crl.is_ok_and(|(_, crl)| names.contains(crl.issuer().as_raw()))
        });
        // What cannot be read is as if it was not there.
        let crls = crls.filter_map(|der| Some(CertRevocationList::from(BorrowedCertRevocationList::from_der(der).ok()?)));
        let (crls, root) = (crls.collect::<Vec<_>>(), CertificateDer::from(self.certificates["TrustAnchorRootCertificate"].as_slice()));
        let crls: Vec<&CertRevocationList<'_>> = crls.iter().collect();
        // Without any CRL nothing is known to be good.
        let Ok(revocation) = RevocationOptionsBuilder::new(&crls) else { return false };
        let revocation = revocation.with_expiration_policy(ExpirationPolicy::Enforce).build();
        let (anchor, now) = (anchor_from_trusted_cert(&root).unwrap(), UnixTime::since_unix_epoch(Duration::from_secs(NOW)));
        let leaf = CertificateDer::from(leaf);
        let checked = EndEntityCert::try_from(&leaf).and_then(|leaf| {
            let usage = KeyUsage::client_auth();
            leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &[anchor], &intermediates, now, usage, Some(revocation), None).map(drop)
        });
        checked.is_ok()
    }

    /// All certificates that can stand above this one by their names, and these names.
    fn above(&self, leaf: &[u8]) -> (Vec<&[u8]>, BTreeSet<Vec<u8>>) {
        let issuer = |der: &[u8]| X509Certificate::from_der(der).unwrap().1.issuer().as_raw().to_vec();
        let mut names = BTreeSet::from([issuer(leaf)]);
        let mut above = Vec::new();
        loop {
            let before = names.len();
            above.clear();
            for (name, der) in self.certificates.iter().filter(|(name, _)| !name.ends_with("EE")) {
                let subject = X509Certificate::from_der(der).unwrap().1.subject().as_raw().to_vec();
                if names.contains(&subject) && name != "TrustAnchorRootCertificate" {
                    names.insert(issuer(der));
                    above.push(der.as_slice());
                }
            }
            if names.len() == before {
                return (above, names);
            }
        }
    }
}

/// Where the Python of the tests has PKITS.
fn folder() -> PathBuf {
    let python = std::env::var_os("CURFEW_TEST_PYTHON").expect("CURFEW_TEST_PYTHON is not set: run the tests with tests/run");
    let place = "import cryptography_vectors, pathlib; print(pathlib.Path(cryptography_vectors.__file__).parent)";
    let place = run(Command::new(python).args(["-B", "-c", place])).done();
    Path::new(place.trim()).join("x509/PKITS_data")
}

fn section(name: &str) -> &'static str {
    let of = SECTIONS.iter().find(|(_, words)| words.iter().any(|word| name.contains(word)));
    of.unwrap_or_else(|| panic!("{name} is of no section")).0
}

#[test]
fn paths_and_crls_are_judged_as_pkits_says_but_for_what_is_listed() {
    let suite = Suite::read();
    let (mut refused, mut accepted, mut counts) = (Vec::new(), Vec::new(), BTreeMap::<_, [usize; 3]>::new());
    for (name, leaf) in suite.tests() {
        let is_good = !name.starts_with("Invalid") && !BAD_BY_POLICY.contains(&name);
        let [all, wrongly_refused, wrongly_accepted] = counts.entry(section(name)).or_default();
        *all += 1;
        match (is_good, suite.accepts(leaf)) {
            (true, false) => (*wrongly_refused += 1, refused.push(name)).1,
            (false, true) => (*wrongly_accepted += 1, accepted.push(name)).1,
            (true, true) | (false, false) => {}
        }
    }
    assert_eq!(accepted, ACCEPTED_THOUGH_BAD);
    assert_eq!(refused, REFUSED_THOUGH_GOOD);
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/testing.md")).unwrap();
    for (section, [all, refused, accepted]) in counts {
        let row = format!("| {section} | {all} | {} | {refused} | {accepted} |", all - refused - accepted);
        assert!(page.contains(&row), "docs/testing.md does not say `{row}`");
    }
}
