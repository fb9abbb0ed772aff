//! What a credential says of itself: environment, position and subjects. As the claim `curfew` of
//! a token, and as a non-critical X.509 extension with the same fields.

use serde::{Deserialize, Serialize};

use super::der::{self, INTEGER, SEQUENCE, UTF8_STRING, integer, write};
use crate::model::{EnvironmentName, MOST_FURTHER, Position, Subjects};

/// The extension's OID, 2.25.199204945: provisional, until there is an enterprise number.
///
/// The last arc is below 2^28, because widespread X.509 readers refuse a whole certificate for a
/// larger one, even in an extension that is not critical.
pub const EXTENSION_OID: &[u64] = &[2, 25, 199_204_945];

/// The OID's content octets (X.690, section 8.19), as they stand in a certificate.
pub const EXTENSION_OID_DER: &[u8] = &[0x69, 0xde, 0xfe, 0xc0, 0x51];

/// What a credential says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The environment, by the name that a service decides by.
    pub environment: EnvironmentName,
    /// The credential's own position.
    pub position: Position,
    /// What it dies with.
    pub subjects: Subjects,
    /// What else it dies with, ascending, at most [`MOST_FURTHER`]: of a token, the downstreams that it was issued for.
    pub further: Vec<Position>,
}

/// Why bytes are not a binding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// They are not the DER of `CurfewBinding`.
    #[error("not the DER of a CurfewBinding")]
    Der,
    /// The environment has no valid name.
    #[error("the environment's name is not valid")]
    Environment,
    /// A number is zero, is missing, is too many, or contradicts another.
    #[error("the numbers are not owner, workload, environment, lineage, of a task its number, and then further ones, ascending")]
    Numbers,
}

/// The claim `curfew`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claim {
    env: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<u64>,
    pos: u64,
    sub: Vec<u64>,
}

impl From<&Binding> for Claim {
    fn from(binding: &Binding) -> Self {
        Self {
            env: binding.environment.as_str().to_owned(),
            task: binding.subjects.task.map(Position::get),
            pos: binding.position.get(),
            sub: binding.listed().collect(),
        }
    }
}

impl TryFrom<Claim> for Binding {
    type Error = BindingError;

    fn try_from(claim: Claim) -> Result<Self, BindingError> {
        Self::of(&claim.env, claim.task, claim.pos, &claim.sub)
    }
}

impl Binding {
    /// Everything that the credential dies with, itself included.
    pub fn numbers(&self) -> impl Iterator<Item = Position> {
        self.subjects.numbers(self.position).chain(self.further.iter().copied())
    }

    /// Owner, workload, environment, lineage (itself if it is the first), the task if any, and the further ones.
    fn listed(&self) -> impl Iterator<Item = u64> {
        let Subjects { owner, workload, environment, task, lineage } = self.subjects;
        let always = [owner, workload, environment, lineage.unwrap_or(self.position)];
        always.into_iter().chain(task).chain(self.further.iter().copied()).map(Position::get)
    }

    fn of(environment: &str, task: Option<u64>, position: u64, numbers: &[u64]) -> Result<Self, BindingError> {
        let [owner, workload, place, lineage, further @ ..] = numbers else { return Err(BindingError::Numbers) };
        let (owner, workload, place, lineage) = (*owner, *workload, *place, *lineage);
        let further = match (task, further) {
            (None, further) => further,
            (Some(task), [again, further @ ..]) if *again == task => further,
            (Some(_), _) => return Err(BindingError::Numbers),
        };
        let in_order = further.len() <= MOST_FURTHER && further.is_sorted_by(|one, next| one < next);
        if position == 0 || numbers.contains(&0) || lineage > position || !in_order {
            return Err(BindingError::Numbers);
        }
        let subjects = Subjects {
            owner: Position::new(owner),
            workload: Position::new(workload),
            environment: Position::new(place),
            task: task.map(Position::new),
            lineage: (lineage != position).then_some(Position::new(lineage)),
        };
        let environment = environment.parse().map_err(|_not_a_name| BindingError::Environment)?;
        let further = further.iter().copied().map(Position::new).collect();
        Ok(Self { environment, position: Position::new(position), subjects, further })
    }

    /// The DER of `CurfewBinding`, the value of the extension.
    pub fn to_der(&self) -> Vec<u8> {
        let mut numbers = Vec::with_capacity(64);
        self.listed().for_each(|number| write(&mut numbers, INTEGER, &integer(number)));
        let mut fields = Vec::with_capacity(160);
        write(&mut fields, UTF8_STRING, self.environment.as_str().as_bytes());
        if let Some(task) = self.subjects.task {
            write(&mut fields, TASK, &integer(task.get()));
        }
        write(&mut fields, INTEGER, &integer(self.position.get()));
        write(&mut fields, SEQUENCE, &numbers);
        let mut der = Vec::with_capacity(fields.len() + 4);
        write(&mut der, SEQUENCE, &fields);
        der
    }

    /// Reads the value of the extension.
    ///
    /// # Errors
    /// If it is anything but the one DER form of a binding: what does not encode back to the same
    /// bytes is refused.
    pub fn from_der(der: &[u8]) -> Result<Self, BindingError> {
        let mut rest = der;
        let mut fields = read(&mut rest, SEQUENCE)?;
        let environment = read(&mut fields, UTF8_STRING)?;
        let task = fields.starts_with(&[TASK]).then(|| number(&mut fields, TASK)).transpose()?;
        let position = number(&mut fields, INTEGER)?;
        let mut listed = read(&mut fields, SEQUENCE)?;
        let mut numbers = Vec::with_capacity(6);
        while !listed.is_empty() {
            numbers.push(number(&mut listed, INTEGER)?);
        }
        let environment = std::str::from_utf8(environment).map_err(|_not_utf8| BindingError::Environment)?;
        let binding = Self::of(environment, task, position, &numbers)?;
        if binding.to_der() == der { Ok(binding) } else { Err(BindingError::Der) }
    }
}

/// `[0] IMPLICIT INTEGER`.
const TASK: u8 = 0x80;

fn read<'a>(input: &mut &'a [u8], tag: u8) -> Result<&'a [u8], BindingError> {
    der::read(input, tag).ok_or(BindingError::Der)
}

fn number(input: &mut &[u8], tag: u8) -> Result<u64, BindingError> {
    let content = read(input, tag)?;
    let magnitude = content.strip_prefix(&[0]).unwrap_or(content);
    let mut bytes = [0; 8];
    let start = bytes.len().checked_sub(magnitude.len()).ok_or(BindingError::Der)?;
    bytes.get_mut(start..).ok_or(BindingError::Der)?.copy_from_slice(magnitude);
    Ok(u64::from_be_bytes(bytes))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::formats) fn bindings() -> impl Strategy<Value = Binding> {
        let number = || prop_oneof![1..300u64, 1..u64::MAX >> 1].prop_map(Position::new);
        let subjects = (number(), number(), number(), proptest::option::of(number()));
        let further = proptest::collection::btree_set(number(), 0..=MOST_FURTHER);
        ("[a-z0-9][a-z0-9._-]{0,61}[a-z0-9]", number(), subjects, proptest::option::of(1..u64::MAX), further).prop_map(
            |(environment, position, (owner, workload, place, task), lineage, further)| Binding {
                environment: environment.parse().expect("a name"),
                position,
                subjects: Subjects {
                    owner,
                    workload,
                    environment: place,
                    task,
                    lineage: lineage.map(|number| Position::new(number % position.get())).and_then(Position::non_zero),
                },
                further: further.into_iter().collect(),
            },
        )
    }

    fn sample(task: Option<u64>, further: &[u64]) -> Binding {
        let subjects = Subjects {
            owner: Position::new(7),
            workload: Position::new(200),
            environment: Position::new(9),
            task: task.map(Position::new),
            lineage: None,
        };
        let further = further.iter().copied().map(Position::new).collect();
        Binding { environment: "production".parse().expect("a name"), position: Position::new(65_536), subjects, further }
    }

    proptest! {
        #[test]
        fn both_forms_read_back(binding in bindings()) {
            prop_assert_eq!(Binding::from_der(&binding.to_der()), Ok(binding.clone()));
            let json = serde_json::to_vec(&Claim::from(&binding)).expect("JSON");
            let claim: Claim = serde_json::from_slice(&json).expect("the same");
            prop_assert_eq!(Binding::try_from(claim), Ok(binding));
        }

        #[test]
        fn another_encoding_never_reads_as_the_same(binding in bindings(), at: prop::sample::Index, byte: u8) {
            let mut der = binding.to_der();
            let at = at.index(der.len());
            prop_assume!(der[at] != byte);
            der[at] = byte;
            prop_assert_ne!(Binding::from_der(&der), Ok(binding));
        }

        #[test]
        fn no_bytes_bring_the_reader_down(bytes: Vec<u8>) {
            let _ = Binding::from_der(&bytes);
        }
    }

    #[test]
    fn the_der_is_what_the_document_says() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let plain = "3022 0c0a70726f64756374696f6e 0203010000 300f 020107 020200c8 020109 0203010000";
        assert_eq!(hex(&sample(None, &[]).to_der()), plain.replace(' ', ""));
        let task = "3028 0c0a70726f64756374696f6e 80010b 0203010000 3012 020107 020200c8 020109 0203010000 02010b";
        assert_eq!(hex(&sample(Some(11), &[]).to_der()), task.replace(' ', ""));
        let further = "302e 0c0a70726f64756374696f6e 80010b 0203010000 3018 020107 020200c8 020109 0203010000 02010b 02010c 02010d";
        assert_eq!(hex(&sample(Some(11), &[12, 13]).to_der()), further.replace(' ', ""));
    }

    #[test]
    fn the_longest_binding_has_a_length_of_two_bytes_and_reads_back() {
        let large = |number: u64| Position::new(u64::MAX - number);
        let named = |length: usize| Binding {
            environment: "e".repeat(length).parse().expect("a name"),
            position: large(0),
            subjects: Subjects {
                owner: large(1),
                workload: large(2),
                environment: large(3),
                task: Some(large(4)),
                lineage: Some(large(5)),
            },
            further: Vec::new(),
        };
        for (length, start) in [(46, [0x30, 127, 0x0c, 46]), (47, [0x30, 0x81, 128, 0x0c]), (63, [0x30, 0x81, 144, 0x0c])] {
            let der = named(length).to_der();
            assert_eq!(der[..4], start);
            assert_eq!(Binding::from_der(&der), Ok(named(length)));
        }
    }

    #[test]
    fn the_oid_octets_are_those_of_its_arcs() {
        let [2, 25, last] = *EXTENSION_OID else { panic!("three arcs under 2.25") };
        assert!(last < 1 << 28, "stock readers go no further");
        let mut groups: Vec<u8> = (0..9).map(|group| u8::try_from(last >> (7 * group) & 0x7f).expect("seven bits")).collect();
        groups.reverse();
        let first = groups.iter().position(|group| *group != 0).expect("not zero");
        let mut octets = vec![2 * 40 + 25];
        octets.extend(groups[first..].iter().enumerate().map(|(at, group)| if first + at < 8 { group | 0x80 } else { *group }));
        assert_eq!(octets, EXTENSION_OID_DER);
    }

    #[test]
    fn numbers_that_contradict_each_other_are_refused() {
        for (task, position, numbers) in [
            (None, 9, vec![1, 2, 3]),
            (None, 9, vec![1, 2, 3, 4, 6, 5]),
            (None, 9, vec![1, 2, 3, 4, 5, 5]),
            (None, 99, (1..=21).collect()),
            (Some(5), 9, vec![1, 2, 3, 4]),
            (Some(5), 9, vec![1, 2, 3, 4, 6]),
            (Some(5), 9, vec![1, 2, 3, 4, 6, 5]),
            (Some(5), 9, vec![1, 2, 3, 4, 5, 7, 6]),
            (None, 9, vec![0, 2, 3, 4]),
            (None, 0, vec![1, 2, 3, 4]),
            (None, 9, vec![1, 2, 3, 10]),
        ] {
            assert_eq!(Binding::of("production", task, position, &numbers), Err(BindingError::Numbers), "{numbers:?}");
        }
        let most = Binding::of("production", None, 99, &(1..=20).collect::<Vec<_>>()).expect("as many as there may be");
        assert_eq!(most.further.len(), MOST_FURTHER);
        assert_eq!(Binding::of("Production", None, 9, &[1, 2, 3, 4]), Err(BindingError::Environment));
        assert!(serde_json::from_str::<Claim>(r#"{"env":"a","pos":9,"sub":[1,2,3,4],"more":1}"#).is_err());
    }
}
