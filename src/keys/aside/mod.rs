//! Signing by something outside of this process, which may be slow, hang, or forget who we are: on
//! threads of its own, so that it holds up nobody but those who want its signatures, and them not for long.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

use super::signer::{Answering, SignError, Signer};

/// How many wait for a thread to sign; beyond it a signature fails at once. Each that waits may hold a thread
/// of the runtime, which has 512 to spare.
const WAITING: usize = 128;

/// What signs, from one thread's point of view.
pub(crate) trait Remote: Send + 'static {
    /// Signs; first makes good what it lost since the last time.
    ///
    /// # Errors
    /// Why there is no signature, for the log.
    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, String>;
}

/// A key whose signatures are made elsewhere.
pub(crate) struct Aside {
    public_key: Vec<u8>,
    /// Gone when no more is asked: the threads end then.
    jobs: Option<SyncSender<Arc<Job>>>,
    threads: Vec<JoinHandle<()>>,
    /// Ends when each thread has let go of what it signs with.
    let_go: Mutex<Receiver<Infallible>>,
    patience: Duration,
    watch: Arc<Watch>,
}

/// How it goes.
struct Watch {
    what: &'static str,
    threads: isize,
    /// Threads in a call for whose answer nobody waits any more. For a moment it may be off by one.
    stuck: AtomicIsize,
    /// The last signature was not made, and that was said.
    troubled: AtomicBool,
    failures: AtomicU64,
}

/// A signature that is wanted.
struct Job {
    message: Vec<u8>,
    stage: Mutex<Stage>,
    answer: SyncSender<Result<Vec<u8>, String>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Begun,
    Done,
    /// Nobody waits for it any more.
    GivenUp,
}

impl Job {
    /// Goes from one stage to the next; the caller learns where it stood.
    fn enter(&self, next: Stage) -> Stage {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        match (*stage, next) {
            (Stage::GivenUp | Stage::Done, _) => *stage,
            (known, _) => {
                *stage = next;
                known
            }
        }
    }
}

impl Watch {
    fn is_silent(&self) -> bool {
        self.stuck.load(Ordering::SeqCst) >= self.threads
    }

    /// Counts a signature that was not made; says so if the one before was.
    fn failed(&self, problem: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if !self.troubled.swap(true, Ordering::SeqCst) {
            tracing::error!(key = self.what, problem, "no signatures are made by what holds this key; each is counted from here on");
        }
    }

    fn succeeded(&self) {
        if self.troubled.load(Ordering::Relaxed) && self.troubled.swap(false, Ordering::SeqCst) {
            tracing::info!(key = self.what, "signatures are made again");
        }
    }

    /// Makes what is asked for until nobody can ask any more.
    fn work(&self, jobs: &Mutex<Receiver<Arc<Job>>>, mut remote: impl Remote) {
        loop {
            let Ok(job) = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv() else { return };
            if job.enter(Stage::Begun) == Stage::GivenUp {
                continue;
            }
            let signed = remote.sign(&job.message);
            if job.enter(Stage::Done) == Stage::GivenUp {
                self.stuck.fetch_sub(1, Ordering::SeqCst);
            }
            // There is room for the one answer, and whoever gave up does not want it.
            let _ = job.answer.send(signed);
        }
    }
}

impl Aside {
    /// Signs with each of `remotes` on a thread of its own; nobody waits longer than `patience`.
    ///
    /// # Errors
    /// If the operating system gives no threads.
    pub(crate) fn new<R: Remote>(what: &'static str, public_key: Vec<u8>, remotes: Vec<R>, patience: Duration) -> io::Result<Self> {
        let (jobs, asked) = sync_channel::<Arc<Job>>(WAITING);
        let asked = Arc::new(Mutex::new(asked));
        let watch = Arc::new(Watch {
            what,
            threads: isize::try_from(remotes.len()).unwrap_or(isize::MAX),
            stuck: AtomicIsize::new(0),
            troubled: AtomicBool::new(false),
            failures: AtomicU64::new(0),
        });
        let (holding, let_go) = channel();
        let begin = |remote| {
            let (asked, watch, holding) = (Arc::clone(&asked), Arc::clone(&watch), holding.clone());
            thread::Builder::new().name("signing".to_owned()).spawn(move || {
                watch.work(&asked, remote);
                drop(holding);
            })
        };
        let threads = remotes.into_iter().map(begin).collect::<io::Result<_>>()?;
        Ok(Self { public_key, jobs: Some(jobs), threads, let_go: Mutex::new(let_go), patience, watch })
    }

    fn ask(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        if self.watch.is_silent() {
            return Err("every call into it hangs".to_owned());
        }
        let (answer, answered) = sync_channel(1);
        let job = Arc::new(Job { message: message.to_vec(), stage: Mutex::new(Stage::Waiting), answer });
        let asked = self.jobs.as_ref().map(|jobs| jobs.try_send(Arc::clone(&job)));
        asked.and_then(Result::ok).ok_or_else(|| format!("{WAITING} signatures wait for it"))?;
        if let Ok(signed) = unhurried(|| answered.recv_timeout(self.patience)) {
            return signed;
        }
        match job.enter(Stage::GivenUp) {
            // It came in this instant.
            Stage::Done => answered.recv().map_err(|gone| gone.to_string())?,
            stage @ (Stage::Waiting | Stage::Begun | Stage::GivenUp) => {
                if stage == Stage::Begun {
                    self.watch.stuck.fetch_add(1, Ordering::SeqCst);
                }
                Err(format!("it did not answer within {:?}", self.patience))
            }
        }
    }
}

/// Waits, and lets other tasks of the runtime go on meanwhile.
fn unhurried<T>(wait: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
        _ => wait(),
    }
}

impl Signer for Aside {
    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signed = self.ask(message);
        signed.inspect(|_| self.watch.succeeded()).map_err(|problem| {
            self.watch.failed(&problem);
            SignError
        })
    }

    fn answering(&self) -> Answering {
        Answering { silent: self.watch.is_silent(), failures: self.watch.failures.load(Ordering::Relaxed) }
    }
}

impl Drop for Aside {
    /// Waits until the threads have let go of what they sign with, but for one that hangs: a module must not be
    /// called when the process ends, for then it has cleaned up behind itself.
    fn drop(&mut self) {
        self.jobs = None;
        let let_go = self.let_go.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let_go.recv_timeout(self.patience) == Err(RecvTimeoutError::Disconnected) {
            for thread in self.threads.drain(..) {
                // One that panicked has ended too.
                let _ended = thread.join();
            }
        }
    }
}

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aside").field("what", &self.watch.what).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
