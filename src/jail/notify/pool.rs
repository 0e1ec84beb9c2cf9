//! Threads that take calls of a command and answer them. Nobody's call waits for another's: when all
//! threads are busy, there is one more, up to a bound.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::address;
use super::request::Piece;
use crate::sys::notify::{self, Answer, Listener, Notification};

/// Threads that answer from the beginning.
const AT_FIRST: usize = 2;

/// What becomes of a call.
#[derive(Debug)]
pub(in crate::jail) enum Outcome {
    /// This is the answer.
    Now(Answer),
    /// It was answered, or will be.
    Otherwise,
}

impl Outcome {
    pub(in crate::jail) const CONTINUE: Self = Self::Now(Answer::Continue);

    pub(in crate::jail) fn value(value: i64) -> Self {
        Self::Now(Answer::Value(value))
    }
}

/// Who answers calls.
pub(in crate::jail) trait Answers: Send + Sync + 'static {
    /// Where they arrive.
    fn listener(&self) -> &Listener;

    /// Answers one, or says how it is to be answered.
    ///
    /// # Errors
    /// With what number it fails; without one, `EACCES`.
    fn serve(self: &Arc<Self>, call: &Notification) -> io::Result<Outcome>;

    /// Makes sure that what was read by a thread's number was of that thread.
    fn still_waits(&self, call: &Notification) -> io::Result<()> {
        if self.listener().waits(call.id) {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    }

    /// The bytes of the address that a call says.
    fn said(&self, call: &Notification, piece: Piece) -> io::Result<Vec<u8>> {
        let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
        if length > address::LONGEST {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let mut bytes = vec![0; length];
        notify::read_memory(call.thread, piece.at, &mut bytes)?;
        self.still_waits(call)?;
        Ok(bytes)
    }
}

#[derive(Debug)]
struct Pool<A> {
    answers: Arc<A>,
    most: usize,
    threads: AtomicUsize,
    busy: AtomicUsize,
}

/// Has calls answered, by so many threads at most, until nobody is left who could make one.
///
/// # Errors
/// Where not even the first threads can be started.
pub(in crate::jail) fn answer<A: Answers>(answers: Arc<A>, most: usize) -> io::Result<()> {
    let pool = Arc::new(Pool {
        answers,
        most,
        threads: AtomicUsize::new(0),
        busy: AtomicUsize::new(0),
    });
    (0..AT_FIRST).try_for_each(|_| pool.add_thread())
}

impl<A: Answers> Pool<A> {
    fn add_thread(self: &Arc<Self>) -> io::Result<()> {
        let pool = Arc::clone(self);
        self.threads.fetch_add(1, Relaxed);
        let started = std::thread::Builder::new()
            .name("supervisor".to_owned())
            .spawn(move || pool.answer_all());
        if started.is_err() {
            self.threads.fetch_sub(1, Relaxed);
        }
        started.map(drop)
    }

    fn answer_all(self: Arc<Self>) {
        let listener = self.answers.listener();
        // When nobody is left who could make a call, all is over.
        while let Ok(call) = listener.receive() {
            let busy = self.busy.fetch_add(1, Relaxed) + 1;
            let threads = self.threads.load(Relaxed);
            if busy >= threads && threads < self.most {
                // Without another, calls wait longer.
                let _ = self.add_thread();
            }
            match self.answers.serve(&call) {
                Ok(Outcome::Now(answer)) => listener.answer(call.id, answer),
                Ok(Outcome::Otherwise) => {}
                Err(error) => {
                    let number = error.raw_os_error().unwrap_or(libc::EACCES);
                    listener.answer(call.id, Answer::Errno(number));
                }
            }
            self.busy.fetch_sub(1, Relaxed);
        }
    }
}
