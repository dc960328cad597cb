//! Images that Wasmtime is about to forget.
//!
//! Wasmtime says that an image goes while it drops it, then deregisters unwind tables that lie in it, and says nothing
//! when it is done. It does both in one call on one thread: when that thread comes here again, or ends, it is done.

use std::cell::RefCell;
use std::sync::Arc;

use execmem::{Engine, Live};
use execmem_linux::Linux;

thread_local! {
    static LAST: RefCell<Option<Leaving>> = const { RefCell::new(None) };
}

/// An image that is freed when this is dropped.
struct Leaving {
    engine: Arc<Engine<Linux>>,
    code: Option<Live>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(code) = self.code.take() {
            let freed = self.engine.free(code);
            debug_assert!(freed.is_ok(), "its own engine");
        }
    }
}

/// Keeps an image until this thread comes here again or ends, and frees the one that was kept so far.
pub(crate) fn leave(engine: &Arc<Engine<Linux>>, code: Live) {
    replace(Some(Leaving { engine: Arc::clone(engine), code: Some(code) }));
}

/// Frees the image that was kept.
pub(crate) fn free_last() {
    replace(None);
}

fn replace(next: Option<Leaving>) {
    let mut next = next;
    let replaced = LAST.try_with(|last| std::mem::replace(&mut *last.borrow_mut(), next.take()));
    if let (Err(_), Some(next)) = (replaced, next) {
        // The thread ends, and what it drops last is kept for good: no thread could say when it may go.
        std::mem::forget(next);
    }
}
