//! A key whose holder hangs, comes back, fails, or is slow.

use std::sync::mpsc::{Sender, channel};

use super::*;

/// Signs each message when the test lets it; the test's end is `Err`, a signature that is refused.
struct Held {
    called: Sender<()>,
    gate: Arc<Mutex<Receiver<Result<(), String>>>>,
}

impl Remote for Held {
    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        let _ = self.called.send(());
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
        gate.map_err(|gone| gone.to_string())?.map(|()| message.to_vec())
    }
}

struct World {
    key: Arc<Aside>,
    /// A call has reached the holder.
    called: Receiver<()>,
    gate: Sender<Result<(), String>>,
}

impl World {
    fn new(threads: usize, patience: Duration) -> Self {
        let (called, calls) = channel();
        let (gate, opened) = channel();
        let opened = Arc::new(Mutex::new(opened));
        let remote = || Held { called: called.clone(), gate: Arc::clone(&opened) };
        let remotes = std::iter::repeat_with(remote).take(threads).collect();
        let key = Arc::new(Aside::new("token", vec![1], remotes, patience).expect("threads"));
        Self { key, called: calls, gate }
    }

    /// Whoever asks for a signature meanwhile.
    fn ask(&self) -> JoinHandle<Result<Vec<u8>, SignError>> {
        let key = Arc::clone(&self.key);
        thread::spawn(move || key.sign(b"asked"))
    }

    /// A key that all of its threads hang on.
    fn hanging(threads: usize) -> Self {
        let world = Self::new(threads, SHORT);
        // One that is given up before a thread had it hangs nothing.
        while !world.key.answering().silent {
            assert_eq!(world.key.sign(b"lost"), Err(SignError));
        }
        world.called.iter().take(threads).for_each(drop);
        world
    }

    /// The same key, for one who waits for `patience`.
    fn for_one_who_waits(&self, patience: Duration) -> Aside {
        let (_, let_go) = channel();
        Aside {
            public_key: Vec::new(),
            jobs: self.key.jobs.clone(),
            threads: Vec::new(),
            let_go: Mutex::new(let_go),
            patience,
            watch: Arc::clone(&self.key.watch),
        }
    }
}

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(600);

#[test]
fn what_is_signed_is_what_was_asked_for() {
    let world = World::new(2, LONG);
    world.gate.send(Ok(())).expect("open");
    assert_eq!(world.key.sign(b"asked"), Ok(b"asked".to_vec()));
    assert_eq!(world.key.answering(), Answering::default());
}

#[test]
fn while_every_thread_hangs_nothing_is_waited_for_and_one_that_returns_is_enough_to_go_on() {
    let world = World::hanging(2);
    assert!(world.key.answering().silent);
    assert_eq!(world.key.sign(b"refused at once"), Err(SignError));
    assert!(world.called.try_recv().is_err(), "it was not even asked");
    // It comes back for one of them.
    world.gate.send(Ok(())).expect("open");
    while world.key.answering().silent {
        thread::yield_now();
    }
    // The other may come back first.
    world.gate.send(Ok(())).expect("open");
    world.gate.send(Ok(())).expect("open");
    assert_eq!(world.for_one_who_waits(LONG).sign(b"again"), Ok(b"again".to_vec()));
}

#[test]
fn one_call_that_hangs_leaves_the_other_threads_to_work() {
    let world = World::new(2, SHORT);
    while world.called.try_recv().is_err() {
        assert_eq!(world.key.sign(b"lost"), Err(SignError));
    }
    assert!(!world.key.answering().silent);
    let key = world.for_one_who_waits(LONG);
    // Whichever of the two is let go, it is the other's turn after it.
    world.gate.send(Ok(())).expect("open");
    world.gate.send(Ok(())).expect("open");
    assert_eq!(key.sign(b"made"), Ok(b"made".to_vec()));
}

#[test]
fn no_more_wait_than_may_and_the_next_fails_at_once() {
    let world = World::new(1, LONG);
    let first = world.ask();
    world.called.recv().expect("called");
    let waiting: Vec<_> = std::iter::repeat_with(|| world.ask()).take(WAITING).collect();
    // Once they all wait, one more does not; before, it is one of those that wait.
    let key = world.for_one_who_waits(Duration::ZERO);
    while !key.ask(b"more").is_err_and(|problem| problem.contains("128 signatures wait")) {
        thread::yield_now();
    }
    (0..=WAITING).for_each(|_| world.gate.send(Ok(())).expect("open"));
    let made = waiting.into_iter().map(|one| one.join().expect("no panic")).filter(Result::is_ok).count();
    assert!(first.join().expect("no panic").is_ok());
    assert!(made > 0, "those that waited are served");
}

#[test]
fn what_nobody_waits_for_any_more_is_not_made() {
    let world = World::hanging(1);
    let key = world.for_one_who_waits(LONG);
    // Given up while it waited: put there as it would be by one that came in time.
    let (answer, _answered) = sync_channel(1);
    let given_up = Job { message: b"given up".to_vec(), stage: Mutex::new(Stage::GivenUp), answer };
    key.jobs.as_ref().expect("open").send(Arc::new(given_up)).expect("room");
    world.gate.send(Ok(())).expect("open");
    while key.answering().silent {
        thread::yield_now();
    }
    world.gate.send(Ok(())).expect("open");
    assert_eq!(key.sign(b"wanted"), Ok(b"wanted".to_vec()));
    assert_eq!(world.called.try_iter().count(), 1, "only what is wanted reached it");
}

#[test]
fn a_refusal_is_counted_and_does_not_silence_the_key() {
    let world = World::new(1, LONG);
    world.gate.send(Err("the token was taken out".to_owned())).expect("open");
    assert_eq!(world.key.sign(b"asked"), Err(SignError));
    assert_eq!(world.key.answering(), Answering { silent: false, failures: 1 });
    world.gate.send(Ok(())).expect("open");
    assert!(world.key.sign(b"asked").is_ok());
    assert!(!world.key.watch.troubled.load(Ordering::SeqCst));
}

#[test]
fn who_waits_holds_up_nobody_else_on_the_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let world = World::new(1, LONG);
    let key = Arc::clone(&world.key);
    let signed = runtime.spawn(async move { key.sign(b"asked") });
    world.called.recv().expect("called");
    // There is one thread for tasks, and its task waits.
    let (ran, seen) = channel();
    runtime.spawn(async move { ran.send(()) });
    seen.recv().expect("another task runs meanwhile");
    world.gate.send(Ok(())).expect("open");
    assert!(runtime.block_on(signed).expect("no panic").is_ok());
}

/// What takes its time to let go, as a module that logs out does.
struct Slow(Arc<AtomicU64>);

impl Remote for Slow {
    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        Ok(message.to_vec())
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        (0..1000).for_each(|_| thread::yield_now());
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn when_a_key_is_gone_nothing_calls_its_holder_any_more() {
    let gone = Arc::new(AtomicU64::new(0));
    let remotes = std::iter::repeat_with(|| Slow(Arc::clone(&gone))).take(4).collect();
    let key = Aside::new("token", Vec::new(), remotes, Duration::from_secs(600)).expect("threads");
    key.sign(b"asked").expect("signed");
    drop(key);
    assert_eq!(gone.load(Ordering::SeqCst), 4);
}

#[test]
fn a_holder_that_hangs_keeps_nobody_from_ending() {
    let World { key, gate, .. } = World::hanging(1);
    drop(key);
    drop(gate);
}
