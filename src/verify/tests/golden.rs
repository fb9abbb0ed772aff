//! The golden files as a verifier meets them: made once by a broker, good at their instant for ever.

use super::*;

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../tests/golden/formats/", $name))
    };
}

#[test]
fn golden_credentials_are_accepted_until_the_golden_delta_says_otherwise() {
    let settings = Settings { bearer: true, ..Settings::new(audience()) };
    let verifier = Verifier::new(settings, KeySet::from_json(golden!("keys.json")).expect("the golden keys"));
    let certificate = include_bytes!("../../../tests/golden/formats/certificate.der");
    let verdicts = || {
        let tokens = [golden!("access-token.jwt"), golden!("jwt-svid.jwt")];
        let [access, svid] = tokens.map(|text| verifier.token(text, Presented::Certificate([7; 32]), now()).map(|_| ()));
        [access, svid, verifier.certificate(certificate, now()).map(|_| ())].map(|verdict| verdict.map_err(|rejected| rejected.code()))
    };
    assert_eq!(verdicts(), [Err("NO_LIST"); 3]);
    assert_eq!(verifier.apply(golden!("list.jwt"), now()), Ok(Applied::Advanced(Position::new(1000))));
    assert_eq!(verdicts(), [Ok(()); 3]);
    assert_eq!(verifier.apply(golden!("delta.jwt"), now()), Ok(Applied::Advanced(Position::new(1001))));
    assert_eq!(verdicts(), [Err("REVOKED"); 3]);
}
