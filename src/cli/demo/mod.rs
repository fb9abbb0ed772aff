//! `curfew demo`: the main job, told over real sockets against a real broker process.

mod story;

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::output::{self, Format, Layout};
use super::sample;
use super::session::Session;
use crate::ambient::Stopwatch;

/// What happened so far.
#[derive(Debug, Serialize)]
struct Telling {
    ok: bool,
    steps: Vec<Step>,
    #[serde(skip)]
    aloud: bool,
}

#[derive(Debug, Serialize)]
struct Step {
    step: usize,
    title: &'static str,
    ok: bool,
    took_us: u64,
    what: Vec<String>,
}

const STEPS: Layout = Layout::fields(&["ok"]).and_rows("steps", &["step", "title", "ok", "took_us"]);

pub(super) async fn run(session: &Session) -> anyhow::Result<()> {
    let aloud = session.global.format == Format::Table && session.global.field.is_none();
    let mut telling = Telling { ok: false, steps: Vec::new(), aloud };
    let told = tokio::select! {
        told = story::play(session, &mut telling) => told,
        () = sample::stopped()? => Err(anyhow::anyhow!("stopped")),
    };
    telling.ok = told.is_ok();
    if !aloud {
        session.print(&telling, STEPS)?;
    } else if telling.ok {
        output::write(ENDING)?;
    }
    told
}

const ENDING: &str = "\nEvery step did what was promised. `curfew dev` leaves the same sample running, to try it yourself.\n";

impl Telling {
    /// Lets one thing happen, and tells what it was and how long it took.
    async fn step<T>(&mut self, title: &'static str, happens: impl Future<Output = anyhow::Result<(T, Vec<String>)>>) -> anyhow::Result<T> {
        let watch = Stopwatch::start();
        let outcome = happens.await;
        let took = watch.elapsed();
        let (outcome, what) = match outcome {
            Ok((value, what)) => (Ok(value), what),
            Err(error) => (Err(error), vec!["this is not what was promised".to_owned()]),
        };
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let step = Step { step: self.steps.len() + 1, title, ok: outcome.is_ok(), took_us, what };
        if self.aloud {
            output::write(&step.aloud(took))?;
        }
        self.steps.push(step);
        outcome
    }
}

impl Step {
    fn aloud(&self, took: Duration) -> String {
        let mut text = format!("{:>2}. {:<76} {:>9}\n", self.step, self.title, short(took));
        for line in self.what.iter().flat_map(|line| folded(line)) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "    {line}");
        }
        text
    }
}

/// A text in lines that fit under a title.
fn folded(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + word.chars().count() < 86 => *line = format!("{line} {word}"),
            _ => lines.push(format!("  {word}")),
        }
    }
    lines
}

/// A length of time with two or three digits.
fn short(took: Duration) -> String {
    match took.as_micros() {
        micros @ ..1000 => format!("{micros} µs"),
        micros @ 1000..10_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        micros => format!("{} ms", micros / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_short_to_read() {
        for (micros, text) in [(0, "0 µs"), (999, "999 µs"), (1000, "1.0 ms"), (9_950, "9.9 ms"), (143_700, "143 ms")] {
            assert_eq!(short(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn a_long_text_is_folded_between_words_and_nothing_is_lost() {
        let text = "one two three four five six seven eight nine ten ".repeat(5);
        let lines = folded(text.trim_end());
        assert!(lines.len() > 2 && lines.iter().all(|line| line.chars().count() <= 86), "{lines:?}");
        assert_eq!(lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "), text.trim_end());
    }

    #[tokio::test]
    async fn a_step_that_fails_is_told_and_ends_the_story() {
        let mut telling = Telling { ok: false, steps: Vec::new(), aloud: false };
        assert_eq!(telling.step("good", async { Ok((7, vec!["as promised".to_owned()])) }).await.expect("good"), 7);
        assert!(telling.step::<()>("bad", async { anyhow::bail!("no") }).await.is_err());
        assert_eq!(telling.steps.iter().map(|step| (step.step, step.ok)).collect::<Vec<_>>(), [(1, true), (2, false)]);
    }
}
