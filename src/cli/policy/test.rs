//! `curfew policy test`: requests in files, decided by policies in a folder, without a broker.

use std::path::PathBuf;

use serde::Serialize;

use super::rehearsal::{self, Rehearsed, Scene};
use crate::app::config::files;
use crate::cli::output::Layout;
use crate::cli::registry;
use crate::cli::session::Session;
use crate::directory::{Names, Problem, yaml};
use crate::policy::Engine;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// YAML files with requests and what is expected of them, or folders of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The folder with the policies, *.cedar.
    #[arg(long, default_value = "policies", value_name = "DIR")]
    policies: PathBuf,
    /// The registry in which they are decided: a YAML file, or a folder of them; may be repeated.
    #[arg(long, value_name = "PATH")]
    registry: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Answer {
    passed: usize,
    failed: usize,
    policy_hash: String,
    tests: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    file: String,
    line: u64,
    test: String,
    passed: bool,
    outcome: String,
    policies: Vec<String>,
    life_seconds: Option<u64>,
    problem: Option<String>,
}

const LAYOUT: Layout = Layout::fields(&["passed", "failed"])
    .and_rows("tests", &["passed", "file", "line", "test", "outcome", "policies", "life_seconds", "problem"]);

impl Args {
    pub(super) fn run(self, session: &Session) -> anyhow::Result<()> {
        let answer = self.answer(session.clock.now())?;
        let (failed, all) = (answer.failed, answer.tests.len());
        session.print(&answer, LAYOUT)?;
        anyhow::ensure!(failed == 0, "{failed} of {all} requests are not decided as expected");
        Ok(())
    }

    fn answer(&self, now: crate::model::Timestamp) -> anyhow::Result<Answer> {
        let lines = |problems: &[String]| problems.join("\n");
        let wrong = |what: &str, problems: &[String]| anyhow::anyhow!("{what} cannot be used\n{}", lines(problems));
        let texts = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        let engine = Engine::compile(files::read_policies(&self.policies)?)
            .map_err(|problems| wrong("the policy text", &problems.iter().map(ToString::to_string).collect::<Vec<_>>()))?;
        let files = registry::texts(&self.registry)?;
        let document = yaml::read(&files, &Names::default()).map_err(|problems| wrong("the registry", &texts(problems)))?;
        let mut tests = Vec::new();
        for (path, text) in registry::texts(&self.paths)? {
            let script: rehearsal::Script = yaml::read_one(&path, &text).map_err(|problem| wrong("the tests", &[problem.to_string()]))?;
            let scene = Scene::set(&path, &script, &document, now).map_err(|problem| wrong("the tests", &[problem.to_string()]))?;
            for test in &script.tests {
                let rehearsed = scene.rehearse(&engine, test).map_err(|problem| wrong("the tests", &[problem.to_string()]))?;
                tests.push(Row::of(path.display().to_string(), rehearsed));
            }
        }
        anyhow::ensure!(!tests.is_empty(), "there is no test to run");
        let failed = tests.iter().filter(|test| !test.passed).count();
        let policy_hash = engine.text().hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Answer { passed: tests.len() - failed, failed, policy_hash, tests })
    }
}

impl Row {
    fn of(file: String, rehearsed: Rehearsed) -> Self {
        let Rehearsed { name, line, explanation, differs } = rehearsed;
        let refused = explanation.refused.as_ref();
        let policies = if refused.is_none() { &explanation.permits } else { &explanation.forbids };
        Self {
            file,
            line,
            test: name,
            passed: differs.is_empty(),
            outcome: refused.map_or("allow", |denial| denial.code.as_str()).to_owned(),
            policies: policies.iter().map(ToString::to_string).collect(),
            life_seconds: explanation.life.map(|life| life.expires_at.since(life.issued_at).as_secs()),
            problem: (!differs.is_empty()).then(|| differs.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn sample(paths: &[&str]) -> Args {
        let folder = |path: &str| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
        Args {
            paths: paths.iter().map(|path| folder(path)).collect(),
            policies: folder("policies"),
            registry: vec![folder("docs/samples/registry.yaml")],
        }
    }

    #[test]
    fn the_sample_passes_under_the_default_policies_and_the_sample_registry() {
        let answer = sample(&["docs/samples/policy-tests.yaml"]).answer(NOW).expect("they can be decided");
        let failed: Vec<_> = answer.tests.iter().filter(|test| !test.passed).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        assert!(answer.passed >= 10 && answer.tests.iter().any(|test| test.outcome == "POLICY_DENIED"));
    }

    /// The rows of a file of tests.
    fn rows(text: &str) -> Result<Vec<Row>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tests.yaml");
        std::fs::write(&path, text).expect("written");
        let answer = Args { paths: vec![path], ..sample(&[]) }.answer(NOW);
        answer.map(|answer| answer.tests).map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    const TOKEN: &str = "
tests:
  - name: a token
    caller: spiffe://example.org/payments/api
    issue: access-token
    environment: production
    audience: https://ledger.example.org
";

    #[test]
    fn what_is_not_as_expected_fails_with_what_it_is_and_where_it_stands() {
        for (expected, problem) in [
            ("    expect: deny\n", "it is allowed"),
            ("    expect: allow\n    policies: [certificates]\n", "the policies are [tokens]"),
            ("    expect: allow\n    life: 4m\n", "the life is 300 s, bounded by default"),
            ("    expect: allow\n    bound_by: policy\n", "the life is 300 s, bounded by default"),
            ("    expect: allow\n    ttl: 1h\n    life: 10m\n    bound_by: kind\n", "the life is 600 s, bounded by policy"),
        ] {
            let rows = rows(&format!("{TOKEN}{expected}")).expect("decided");
            assert_eq!((rows[0].line, rows[0].passed), (3, false), "{expected}");
            assert_eq!(rows[0].problem.as_deref(), Some(problem), "{expected}");
        }
        let denied = rows(&format!("{TOKEN}    bearer: true\n    expect: deny\n    reason: TASK_CLOSED\n")).expect("decided");
        assert!(denied[0].problem.as_deref().is_some_and(|problem| problem.starts_with("the reason is POLICY_DENIED")), "{denied:?}");
    }

    #[test]
    fn a_mistake_in_a_file_is_told_with_its_line_and_what_to_write() {
        for (text, problem) in [
            ("tests:\n  - name: x\n    colour: red\n", "tests.yaml:3: no field `colour`"),
            ("tests:\n  - name: x\n    caller: nobody\n    call: ReadLedger\n    expect: allow\n", "tests.yaml:3: caller: "),
            (&format!("{TOKEN}    expect: maybe\n"), "tests.yaml:8: expect: write allow or deny"),
            (&format!("{TOKEN}    expect: allow\n    life: soon\n"), "tests.yaml:9: life: write a whole number"),
            (&format!("{TOKEN}    expect: allow\n    task: nightly\n"), "tests.yaml:9: task: no task `nightly`"),
            (&format!("{TOKEN}    expect: deny\n    life: 5m\n"), "tests.yaml:3: life: what is denied has no life"),
            (&format!("{TOKEN}    expect: allow\n    reason: TASK_CLOSED\n"), "tests.yaml:3: reason: what is allowed has no reason"),
            (&format!("{TOKEN}    expect: deny\n    reason: BECAUSE\n"), "tests.yaml:9: reason: "),
            (
                "tests:\n  - name: x\n    caller: spiffe://example.org/payments/api\n    expect: allow\n",
                "tests.yaml:2: test: write what is asked",
            ),
            (
                "tests:\n  - name: x\n    caller: spiffe://example.org/payments/api\n    call: RevokeOwner\n    owner: nobody\n    expect: allow\n",
                "tests.yaml:5: owner: no owner `nobody`",
            ),
        ] {
            let told = rows(text).expect_err(problem);
            assert!(told.contains(problem), "{told}\ninstead of\n{problem}");
        }
    }
}
