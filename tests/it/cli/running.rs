//! A command that goes on while the test looks at what it says, line by line.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// How long it may take to say the next thing.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command that runs. It is killed when this is dropped.
pub(super) struct Running {
    process: Child,
    pub(super) stdout: Lines,
    pub(super) stderr: Lines,
}

/// What it says on one of its outputs.
pub(super) struct Lines(Receiver<String>);

impl Lines {
    fn of(output: Option<impl Read + Send + 'static>) -> Self {
        let (told, lines) = mpsc::channel();
        let output = BufReader::new(output.unwrap());
        // Who asks no more is told no more.
        std::thread::spawn(move || output.lines().map_while(Result::ok).all(|line| told.send(line).is_ok()));
        Self(lines)
    }

    /// The next line.
    #[track_caller]
    pub(super) fn next(&self) -> String {
        self.0.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no further line: {error}"))
    }

    /// The next line that has these words; what was said before is passed over.
    #[track_caller]
    pub(super) fn until(&self, words: &str) -> String {
        let mut passed = Vec::new();
        loop {
            let Ok(line) = self.0.recv_timeout(PATIENCE) else { panic!("no `{words}` after {passed:#?}") };
            if line.contains(words) {
                return line;
            }
            passed.push(line);
        }
    }

    /// The first line with each of these words, in whatever order they come.
    #[track_caller]
    pub(super) fn until_all<const N: usize>(&self, words: [&str; N]) -> [String; N] {
        let mut found = [const { None }; N];
        while found.iter().any(Option::is_none) {
            let line = self.next();
            for (_, found) in words.iter().zip(&mut found).filter(|(words, _)| line.contains(**words)) {
                found.get_or_insert_with(|| line.clone());
            }
        }
        found.map(Option::unwrap)
    }

    /// Everything up to the end, which must come.
    #[track_caller]
    pub(super) fn rest(&self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.0.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => return lines,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end after {lines:#?}"),
            }
        }
    }
}

impl Running {
    pub(super) fn start(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (Lines::of(process.stdout.take()), Lines::of(process.stderr.take()));
        Self { process, stdout, stderr }
    }

    /// Sends it a signal, such as `INT`.
    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.process.id())]).status().unwrap();
        assert!(sent.success());
    }

    /// How it ended, and what it said until then and nobody has read.
    #[track_caller]
    pub(super) fn end(mut self) -> (ExitStatus, Vec<String>, Vec<String>) {
        let (stdout, stderr) = (self.stdout.rest(), self.stderr.rest());
        (self.process.wait().unwrap(), stdout, stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
