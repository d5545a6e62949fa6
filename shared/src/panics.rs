//! Work that may panic, and where it did.
//!
//! A panic is a defect of this program, and what it says may quote what a caller sent: so the place is told, and the words
//! only where they are part of the program. Invariant: a panic of caught work ends that work alone; all others are as ever.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Once;
use std::task::Poll;

thread_local! {
    /// Whether what this thread runs right now is caught when it panics.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
    /// Where caught work has panicked last on this thread.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Work that panicked. Names no header, body or key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked {
    place: Option<String>,
    words: Option<&'static str>,
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the code that handles it panicked at {}", self.place.as_deref().unwrap_or("an unknown place"))?;
        self.words.map_or(Ok(()), |words| write!(f, " ({words})"))
    }
}

/// Does this work to its end, or to its panic. What it shares with others must bear being left half done.
///
/// # Errors
/// Where it panicked.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    static TELL_PLACES: Once = Once::new();
    TELL_PLACES.call_once(tell_places);
    let mut work = Box::pin(work);
    std::future::poll_fn(|context| {
        let before = CAUGHT.replace(true);
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        CAUGHT.set(before);
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(Panicked { place: PLACE.take(), words: words(&*panic) })),
        }
    })
    .await
}

/// From now on the place of a panic is remembered where the panic is caught; the others are told as before.
fn tell_places() {
    let as_before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if CAUGHT.get() {
            PLACE.set(panic.location().map(place));
        } else {
            as_before(panic);
        }
    }));
}

/// File and line; of a file of a dependency only what comes behind the directory where it was built.
fn place(at: &Location<'_>) -> String {
    let file = at.file().rsplit_once("/registry/src/").map_or(at.file(), |(_, file)| file);
    format!("{file}:{}", at.line())
}

/// What a panic says, where that was written into the program as it is.
fn words(panic: &(dyn Any + Send)) -> Option<&'static str> {
    panic.downcast_ref::<&'static str>().copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "work that does not panic fails the test")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_says_where_and_quotes_nothing_that_it_was_given() {
        let secret = String::from("hunter2");
        let broken = caught(async {
            tokio::task::yield_now().await;
            assert!(secret.is_empty(), "not empty: {secret}");
        });
        let said = broken.await.unwrap_err().to_string();
        assert!(said.contains("panicked at shared/src/panics.rs:") && !said.contains("hunter2"), "{said}");
        let said = caught(async { panic!("words of the program") }).await.unwrap_err();
        assert!(said.to_string().ends_with("(words of the program)"), "{said}");
    }

    #[tokio::test]
    async fn work_that_does_not_panic_is_as_if_nobody_watched() {
        assert_eq!(caught(async { tokio::task::yield_now().await }).await, Ok(()));
        assert!(tokio::spawn(async { panic!("nobody catches this") }).await.unwrap_err().is_panic());
    }
}
