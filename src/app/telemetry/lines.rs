//! Lines on their way to whoever reads them. Nobody waits for that one: what finds no room is dropped, and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most that waits, in bytes. As much again may be on its way out.
const MOST: usize = 1 << 20;

/// Takes lines at once, each in one `write`, and has them written by one thread.
#[derive(Debug)]
pub(super) struct Lines {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Waiting {
    text: Vec<u8>,
    /// What waited before is on its way out.
    writing: bool,
}

impl Lines {
    pub(super) const fn new() -> Self {
        let waiting = Mutex::new(Waiting { text: Vec::new(), writing: false });
        Self { waiting, changed: Condvar::new(), dropped: AtomicU64::new(0) }
    }

    /// How many lines nobody will read.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes what waits and what comes, for as long as the process runs.
    pub(super) fn keep_writing(&self, mut out: impl Write) {
        let mut text = Vec::new();
        loop {
            self.next(&mut text);
            if out.write_all(&text).and_then(|()| out.flush()).is_err() {
                let lines = text.iter().filter(|byte| **byte == b'\n').count();
                self.dropped.fetch_add(lines.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        }
    }

    /// Waits until everything that was taken is written, but for no longer than `patience`.
    pub(super) fn settle(&self, patience: Duration) {
        let unsettled = |waiting: &mut Waiting| waiting.writing || !waiting.text.is_empty();
        // Whatever is not written by then has nobody who could be told.
        let _settled = self.changed.wait_timeout_while(self.lock(), patience, unsettled);
    }

    /// Waits for something to write, in the place of what was.
    fn next(&self, text: &mut Vec<u8>) {
        text.clear();
        let mut waiting = self.lock();
        waiting.writing = false;
        self.changed.notify_all();
        let nothing = |waiting: &mut Waiting| waiting.text.is_empty();
        let mut waiting = self.changed.wait_while(waiting, nothing).unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.text, text);
        waiting.writing = true;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.lock();
        if line.len() <= MOST.saturating_sub(waiting.text.len()) {
            waiting.text.extend_from_slice(line);
            self.changed.notify_all();
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::thread;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Hands over what is written to whoever reads it, and waits until that is done.
    struct Reader(SyncSender<Vec<u8>>);

    impl Write for Reader {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.send(text.to_vec()).map_err(|_gone| io::ErrorKind::BrokenPipe)?;
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines() -> (Arc<Lines>, Receiver<Vec<u8>>) {
        let (lines, (reader, read)) = (Arc::new(Lines::new()), sync_channel(0));
        let written = Arc::clone(&lines);
        thread::spawn(move || written.keep_writing(Reader(reader)));
        (lines, read)
    }

    fn say(lines: &Lines, line: &[u8]) {
        let mut lines = lines;
        lines.write_all(line).expect("never fails");
    }

    #[test]
    fn what_is_said_is_read_in_order_and_nothing_is_left_once_it_is_settled() {
        let (lines, read) = lines();
        let reader = thread::spawn(move || read.iter().take_while(|text| !text.ends_with(b"end\n")).flatten().collect::<Vec<u8>>());
        let said: Vec<String> = (0..1000).map(|number| format!("line {number}\n")).collect();
        for line in &said {
            say(&lines, line.as_bytes());
        }
        lines.settle(PATIENCE);
        assert!(lines.lock().text.is_empty() && !lines.lock().writing);
        say(&lines, b"end\n");
        assert_eq!(String::from_utf8(reader.join().expect("reads")).expect("text"), said.concat());
        assert_eq!(lines.dropped(), 0);
    }

    #[test]
    fn while_nobody_reads_what_waits_is_bounded_and_the_rest_is_counted() {
        let (lines, read) = lines();
        say(&lines, b"first\n");
        // The first is on its way from here on.
        let first = read.recv_timeout(PATIENCE).expect("written");
        assert_eq!(first, b"first\n");
        say(&lines, b"second\n");
        while lines.lock().text.len() == b"second\n".len() {
            thread::yield_now();
        }
        let line = [b'x'; 1 << 10];
        for _ in 0..(MOST / line.len()) + 7 {
            say(&lines, &line);
        }
        assert_eq!(lines.dropped(), 7);
        lines.settle(Duration::from_millis(1));
        assert!(lines.lock().writing, "whoever stops waits no longer than it means to");
        // Whoever reads comes back.
        assert_eq!(read.recv_timeout(PATIENCE).expect("written"), b"second\n");
        assert_eq!(read.recv_timeout(PATIENCE).expect("written").len(), MOST);
        say(&lines, b"third\n");
        assert_eq!(read.recv_timeout(PATIENCE).expect("written"), b"third\n");
    }

    #[test]
    fn what_is_longer_than_all_that_may_wait_is_dropped_alone() {
        let (lines, read) = lines();
        say(&lines, &vec![b'x'; MOST + 1]);
        say(&lines, b"short\n");
        assert_eq!((read.recv_timeout(PATIENCE).expect("written"), lines.dropped()), (b"short\n".to_vec(), 1));
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_holds_up_nothing() {
        let (lines, read) = lines();
        drop(read);
        for count in 1..=3 {
            say(&lines, b"nobody is there\n");
            lines.settle(PATIENCE);
            assert_eq!(lines.dropped(), count);
        }
    }
}
