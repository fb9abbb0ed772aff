//! Counters of the living: how many credentials have neither expired nor been cut, by what they
//! stand on, in minute buckets of expiry. Credentials themselves are not held in memory.

use std::collections::{BTreeMap, HashMap};

use super::{Audience, CLOCK_STEP, CUT_GRACE, CredentialKind, Issued, Position, Timestamp};

/// What the living are counted by. Everything but `owner`, which is the outer key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// The workload.
    pub workload: Position,
    /// The environment.
    pub environment: Position,
    /// The task, if any.
    pub task: Option<Position>,
    /// The lineage; absent for what was obtained with an identity from outside.
    pub lineage: Option<Position>,
    /// The kind.
    pub kind: CredentialKind,
    /// The audience of a token.
    pub audience: Option<Audience>,
    /// The numbers that it carries beside its subjects.
    pub further: Vec<Position>,
}

/// How many expire when: minute of expiry to count and last expiry within that minute.
pub type Buckets = BTreeMap<u64, Bucket>;

/// The credentials of one group that expire in one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// How many.
    pub count: u64,
    /// When the last of them expires.
    pub last: Timestamp,
    /// Whether all of them have expired, by a clock that may yet be set back.
    pub lapsed: bool,
}

const MINUTE: u64 = 60_000;

/// The counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Living {
    owners: HashMap<Position, HashMap<Group, Buckets>>,
    /// How many of each workload stand in buckets that have not lapsed.
    workloads: HashMap<Position, u64>,
    /// Until then something may be alive that is not counted.
    low_until: Timestamp,
}

/// A count of the living, for a preview or a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// All together.
    pub total: u64,
    /// By kind.
    pub by_kind: BTreeMap<CredentialKind, u64>,
    /// By environment.
    pub by_environment: BTreeMap<Position, u64>,
    /// By workload.
    pub by_workload: BTreeMap<Position, u64>,
    /// By environment and audience, the audience absent for certificates: which downstreams are concerned.
    pub accepted: BTreeMap<(Position, Option<Audience>), Accepted>,
    /// By kind and environment: what a cut ends.
    pub ended: BTreeMap<(CredentialKind, Position), u64>,
    /// When the last of them expires.
    pub last_expiry: Option<Timestamp>,
}

impl Census {
    /// Counts one more.
    pub fn add(&mut self, issued: &Issued) {
        self.add_group(&Group::of(issued), 1, issued.expires_at);
    }

    fn add_group(&mut self, group: &Group, count: u64, last: Timestamp) {
        self.total += count;
        *self.by_kind.entry(group.kind).or_default() += count;
        *self.by_environment.entry(group.environment).or_default() += count;
        *self.by_workload.entry(group.workload).or_default() += count;
        let accepted = self.accepted.entry((group.environment, group.audience.clone())).or_default();
        accepted.count += count;
        accepted.last_expiry = accepted.last_expiry.max(last);
        *self.ended.entry((group.kind, group.environment)).or_default() += count;
        self.last_expiry = self.last_expiry.max(Some(last));
    }
}

/// What is alive of one environment and audience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// How many.
    pub count: u64,
    /// When the last of them expires.
    pub last_expiry: Timestamp,
}

/// Whose living are counted or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of an owner.
    Owner(Position),
    /// Of a workload under an owner.
    Workload {
        /// The owner.
        owner: Position,
        /// The workload.
        workload: Position,
    },
    /// In an environment.
    Environment(Position),
    /// Under a task.
    Task {
        /// The owner of the task.
        owner: Position,
        /// The task.
        task: Position,
    },
    /// Obtained through a certificate of ours, the certificate itself not counted.
    Lineage {
        /// The owner of the certificate.
        owner: Position,
        /// The certificate.
        lineage: Position,
    },
    /// Carrying this number beside its subjects: issued for a downstream, or by an exception.
    Bearing(Position),
}

impl Whose {
    /// The only owner among whose groups there can be any.
    const fn owner(self) -> Option<Position> {
        match self {
            Self::Owner(owner) | Self::Workload { owner, .. } | Self::Task { owner, .. } | Self::Lineage { owner, .. } => Some(owner),
            Self::Environment(_) | Self::Bearing(_) => None,
        }
    }

    /// Whether it covers a group of its owner.
    fn covers(self, group: &Group) -> bool {
        match self {
            Self::Owner(_) => true,
            Self::Workload { workload, .. } => group.workload == workload,
            Self::Environment(environment) => group.environment == environment,
            Self::Task { task, .. } => group.task == Some(task),
            Self::Lineage { lineage, .. } => group.lineage == Some(lineage),
            Self::Bearing(number) => group.further.contains(&number),
        }
    }
}

impl Group {
    fn of(issued: &Issued) -> Self {
        let subjects = issued.subjects;
        Self {
            workload: subjects.workload,
            environment: subjects.environment,
            task: subjects.task,
            lineage: subjects.lineage,
            kind: issued.kind,
            audience: issued.audience.clone(),
            further: issued.further(),
        }
    }
}

impl Living {
    /// Counts one issuance.
    pub fn add(&mut self, issued: &Issued) {
        *self.workloads.entry(issued.subjects.workload).or_default() += 1;
        let groups = self.owners.entry(issued.subjects.owner).or_default();
        let bucket = groups.entry(Group::of(issued)).or_default().entry(issued.expires_at.millis() / MINUTE).or_default();
        if std::mem::take(&mut bucket.lapsed) {
            *self.workloads.entry(issued.subjects.workload).or_default() += bucket.count;
        }
        bucket.count += 1;
        bucket.last = bucket.last.max(issued.expires_at);
    }

    /// Says that something may be missing that expires by `latest_expiry`.
    pub fn distrust(&mut self, latest_expiry: Timestamp) {
        self.low_until = latest_expiry.plus(CUT_GRACE);
    }

    /// Whether something may be alive that is not counted: after a start at which not everything
    /// could be counted again.
    pub fn may_be_low(&self, now: Timestamp) -> bool {
        now < self.low_until
    }

    /// Puts back what [`Living::groups`] gave.
    pub fn restore(&mut self, owner: Position, group: Group, buckets: Buckets) {
        *self.workloads.entry(group.workload).or_default() += counted(&buckets);
        self.owners.entry(owner).or_default().insert(group, buckets);
    }

    /// How many of a workload are alive at most: what expired within the last minutes may
    /// count too.
    pub fn at_most(&self, workload: Position) -> u64 {
        self.workloads.get(&workload).copied().unwrap_or_default()
    }

    /// Every group with its buckets, in no order.
    pub fn groups(&self) -> impl Iterator<Item = (Position, &Group, &Buckets)> {
        self.owners.iter().flat_map(|(owner, groups)| groups.iter().map(|(group, buckets)| (*owner, group, buckets)))
    }

    /// Forgets the living of a subject: it was cut.
    pub fn cut(&mut self, whose: Whose) {
        let Self { owners, workloads, .. } = self;
        let mut keep = |groups: &mut HashMap<Group, Buckets>| {
            for (group, buckets) in groups.extract_if(|group, _| whose.covers(group)) {
                lessen(workloads, group.workload, counted(&buckets));
            }
            !groups.is_empty()
        };
        match whose.owner() {
            Some(owner) => {
                if owners.get_mut(&owner).is_some_and(|groups| !keep(groups)) {
                    owners.remove(&owner);
                }
            }
            None => owners.retain(|_, groups| keep(groups)),
        }
    }

    /// Forgets all of them, and what may be missing too: nothing from before is alive.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets one credential: it was cut by itself.
    pub fn cut_one(&mut self, issued: &Issued) {
        let Some(groups) = self.owners.get_mut(&issued.subjects.owner) else { return };
        let Some(buckets) = groups.get_mut(&Group::of(issued)) else { return };
        let minute = issued.expires_at.millis() / MINUTE;
        let Some(bucket) = buckets.get_mut(&minute) else { return };
        bucket.count = bucket.count.saturating_sub(1);
        let lapsed = bucket.lapsed;
        // Not left empty: what is counted next must not inherit its last expiry.
        if bucket.count == 0 {
            buckets.remove(&minute);
        }
        if !lapsed {
            lessen(&mut self.workloads, issued.subjects.workload, 1);
        }
    }

    /// Counts no more what has expired everywhere, on clocks that are behind too; forgets it once it
    /// has also expired if this clock is ahead.
    pub fn expire(&mut self, now: Timestamp) {
        let lapsed = now.minus(CUT_GRACE);
        let for_good = lapsed.minus(CLOCK_STEP);
        let Self { owners, workloads, .. } = self;
        owners.retain(|_, groups| {
            groups.retain(|group, buckets| {
                for bucket in buckets.values_mut().filter(|bucket| !bucket.lapsed && bucket.last <= lapsed) {
                    bucket.lapsed = true;
                    lessen(workloads, group.workload, bucket.count);
                }
                buckets.retain(|_, bucket| bucket.last > for_good);
                !buckets.is_empty()
            });
            !groups.is_empty()
        });
    }

    /// The last expiry of `whose`, also if it has passed and is not yet forgotten.
    pub fn last_expiry(&self, whose: Whose) -> Option<Timestamp> {
        self.census(whose, Timestamp::EPOCH).last_expiry
    }

    /// Counts the living of `whose` at `now`. A credential that expires within the current minute
    /// counts until the last of its minute has expired.
    pub fn census(&self, whose: Whose, now: Timestamp) -> Census {
        let mut census = Census::default();
        let one = whose.owner().map(|owner| self.owners.get(&owner));
        let all = one.is_none().then(|| self.owners.values());
        let owners = one.flatten().into_iter().chain(all.into_iter().flatten());
        for (group, buckets) in owners.flatten().filter(|(group, _)| whose.covers(group)) {
            for bucket in buckets.values().filter(|bucket| bucket.last > now) {
                census.add_group(group, bucket.count, bucket.last);
            }
        }
        census
    }
}

/// How many stand in the buckets that have not lapsed.
fn counted(buckets: &Buckets) -> u64 {
    buckets.values().filter(|bucket| !bucket.lapsed).map(|bucket| bucket.count).sum()
}

/// Takes `count` from a workload's, and forgets a workload that has none left.
fn lessen(workloads: &mut HashMap<Position, u64>, workload: Position, count: u64) {
    if let Some(left) = workloads.get_mut(&workload) {
        *left = left.saturating_sub(count);
        if *left == 0 {
            workloads.remove(&workload);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Bound, Subjects};

    fn issued(owner: u64, workload: u64, environment: u64, task: Option<u64>, expires: u64) -> Issued {
        Issued {
            kind: CredentialKind::AccessToken,
            subjects: Subjects {
                owner: Position::new(owner),
                workload: Position::new(workload),
                environment: Position::new(environment),
                task: task.map(Position::new),
                lineage: None,
            },
            parent: None,
            nonce: [0; 8],
            issued_at: Timestamp::EPOCH,
            expires_at: Timestamp::from_seconds(expires),
            bound_by: Bound::Default,
            audience: "https://api.example".parse().ok(),
            scopes: Vec::new(),
            confirmation: None,
            key: Position::new(2),
            downstreams: Vec::new(),
            policies: Vec::new(),
            policy_hash: [0; 32],
            purpose: None,
            exception: None,
            asked_from: None,
        }
    }

    proptest! {
        #[test]
        fn counting_agrees_with_looking_at_each_credential_to_the_minute(
            credentials in proptest::collection::vec((1..4u64, 4..7u64, 7..9u64, proptest::option::of(9..11u64), 1..600u64), 0..60),
            cut_owner in 1..4u64, minute in 0..10u64,
        ) {
            let mut living = Living::default();
            for (owner, workload, environment, task, expires) in &credentials {
                living.add(&issued(*owner, *workload, *environment, *task, *expires));
            }
            let agree = |living: &Living| (4..7).map(Position::new).all(|workload| {
                let all = living.groups().filter(|(_, group, _)| group.workload == workload).map(|(_, _, buckets)| counted(buckets));
                living.at_most(workload) == all.sum::<u64>()
            });
            prop_assert!(agree(&living));
            living.cut(Whose::Owner(Position::new(cut_owner)));
            prop_assert!(agree(&living));
            if let Some((owner, workload, environment, task, expires)) = credentials.first().filter(|first| first.0 != cut_owner) {
                let one = issued(*owner, *workload, *environment, *task, *expires);
                living.cut_one(&one);
                prop_assert!(agree(&living));
                living.add(&one);
            }
            let now = Timestamp::from_seconds(minute * 60);
            living.expire(now.plus(CUT_GRACE));
            prop_assert!(agree(&living));
            for workload in 4..7 {
                let of_workload = || credentials.iter().filter(move |(owner, one, ..)| *owner != cut_owner && *one == workload);
                let counted = living.at_most(Position::new(workload));
                prop_assert!(counted >= of_workload().filter(|(.., expires)| *expires > minute * 60).count() as u64);
                prop_assert!(counted <= of_workload().filter(|(.., expires)| expires / 60 >= minute).count() as u64, "the expired count no more");
            }
            living.expire(now.plus(CUT_GRACE).plus(CLOCK_STEP));
            prop_assert!(agree(&living));
            living.expire(now);
            let alive = |owner: u64, expires: u64| owner != cut_owner && expires >= minute * 60;
            // A bucket lives until its last credential ends, so at a full minute only that second differs.
            for environment in 7..9 {
                let census = living.census(Whose::Environment(Position::new(environment)), now);
                let expected = credentials.iter().filter(|(o, _, e, _, x)| *e == environment && alive(*o, *x)).count() as u64;
                let edge = credentials.iter().filter(|(_, _, _, _, x)| *x == minute * 60).count() as u64;
                prop_assert!(census.total <= expected && census.total + edge >= expected);
                prop_assert_eq!(census.by_workload.values().sum::<u64>(), census.total);
            }
            prop_assert_eq!(living.census(Whose::Owner(Position::new(cut_owner)), now), Census::default());
        }
    }
    fn seconds(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn number(number: u64) -> Position {
        Position::new(number)
    }

    #[test]
    fn a_census_counts_by_everything_that_a_report_names() {
        let mut living = Living::default();
        let credentials = [issued(1, 4, 7, None, 90), issued(1, 4, 7, None, 100), issued(1, 5, 8, Some(9), 70), issued(2, 6, 7, None, 60)];
        let mut added = Census::default();
        for credential in &credentials {
            living.add(credential);
        }
        credentials.iter().take(3).for_each(|credential| added.add(credential));
        let census = living.census(Whose::Owner(number(1)), Timestamp::EPOCH);
        let audience = credentials[0].audience.clone();
        assert_eq!(
            census,
            Census {
                total: 3,
                by_kind: [(CredentialKind::AccessToken, 3)].into(),
                by_environment: [(number(7), 2), (number(8), 1)].into(),
                by_workload: [(number(4), 2), (number(5), 1)].into(),
                accepted: [
                    ((number(7), audience.clone()), Accepted { count: 2, last_expiry: seconds(100) }),
                    ((number(8), audience), Accepted { count: 1, last_expiry: seconds(70) }),
                ]
                .into(),
                ended: [((CredentialKind::AccessToken, number(7)), 2), ((CredentialKind::AccessToken, number(8)), 1)].into(),
                last_expiry: Some(seconds(100)),
            }
        );
        assert_eq!(census, added);
        assert_eq!(living.census(Whose::Owner(number(1)), Timestamp::from_millis(99_999)).total, 2, "to the minute");
        assert_eq!(living.census(Whose::Owner(number(1)), seconds(100)), Census::default(), "nothing lives at the instant of its expiry");
    }

    #[test]
    fn a_cut_takes_what_it_covers_and_nothing_else() {
        let full = || {
            let mut living = Living::default();
            let renewed = issued(1, 4, 7, None, 90);
            let renewed = Issued { subjects: Subjects { lineage: Some(number(20)), ..renewed.subjects }, ..renewed };
            let renewed = Issued { downstreams: vec![number(30)], ..renewed };
            let other = Issued { downstreams: vec![number(30), number(31)], ..issued(2, 6, 7, None, 60) };
            [issued(1, 4, 7, None, 90), issued(1, 5, 8, Some(9), 70), renewed, other].iter().for_each(|one| living.add(one));
            living
        };
        let left = |whose: Whose| {
            let mut living = full();
            living.cut(whose);
            [4, 5, 6].map(|workload| living.at_most(number(workload)))
        };
        let owner = number(1);
        assert_eq!(left(Whose::Owner(owner)), [0, 0, 1]);
        assert_eq!(left(Whose::Workload { owner, workload: number(4) }), [0, 1, 1]);
        assert_eq!(left(Whose::Workload { owner, workload: number(6) }), [2, 1, 1], "of another owner");
        assert_eq!(left(Whose::Environment(number(7))), [0, 1, 0]);
        assert_eq!(left(Whose::Task { owner, task: number(9) }), [2, 0, 1]);
        assert_eq!(left(Whose::Lineage { owner, lineage: number(20) }), [1, 1, 1]);
        assert_eq!(left(Whose::Bearing(number(30))), [1, 1, 0]);
        assert_eq!(left(Whose::Bearing(number(31))), [2, 1, 0]);
        let mut living = full();
        living.cut(Whose::Workload { owner, workload: number(4) });
        assert_eq!(living.census(Whose::Owner(owner), Timestamp::EPOCH).total, 1);
        living.cut(Whose::Workload { owner, workload: number(5) });
        living.cut(Whose::Environment(number(7)));
        assert_eq!(living, Living::default(), "nothing is kept of an owner that has none left");
    }

    #[test]
    fn what_has_expired_counts_no_more_and_is_forgotten_when_no_clock_can_bring_it_back() {
        let (whose, workload) = (Whose::Owner(number(1)), number(4));
        let mut living = Living::default();
        living.add(&issued(1, 4, 7, None, 90));
        let lapse = seconds(90).plus(CUT_GRACE);
        living.expire(lapse.minus(Duration::from_millis(1)));
        assert_eq!(living.at_most(workload), 1);
        living.expire(lapse);
        assert_eq!((living.at_most(workload), living.last_expiry(whose)), (0, Some(seconds(90))));
        // The clock was set back: what expires in the same minute is alive, and all of that minute may be.
        living.add(&issued(1, 4, 7, None, 80));
        assert_eq!(living.at_most(workload), 2);
        living.expire(lapse);
        assert_eq!(living.at_most(workload), 0);
        living.expire(lapse.plus(CLOCK_STEP).minus(Duration::from_millis(1)));
        assert_eq!(living.last_expiry(whose), Some(seconds(90)));
        living.expire(lapse.plus(CLOCK_STEP));
        assert_eq!(living, Living::default());
    }

    #[test]
    fn counters_that_are_put_back_say_the_same() {
        let mut living = Living::default();
        for environment in [7, 7, 8] {
            living.add(&issued(1, 4, environment, None, 90));
        }
        let mut restored = Living::default();
        living.groups().for_each(|(owner, group, buckets)| restored.restore(owner, group.clone(), buckets.clone()));
        assert_eq!(restored, living);
        assert_eq!(restored.at_most(number(4)), 3);
    }

    #[test]
    fn counts_are_distrusted_until_all_that_may_be_missing_has_expired() {
        let mut living = Living::default();
        assert!(!living.may_be_low(Timestamp::EPOCH));
        living.distrust(seconds(90));
        let end = seconds(90).plus(CUT_GRACE);
        assert!(living.may_be_low(end.minus(Duration::from_millis(1))));
        assert!(!living.may_be_low(end));
        living.distrust(seconds(90));
        living.clear();
        assert_eq!(living, Living::default());
    }
}
