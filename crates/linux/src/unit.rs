//! The record of 2 MiB of a window: a word a page, and the writable view.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use execmem_types::Trap;

use crate::host::LARGE;
use crate::view::View;

/// Bytes of a unit: what one large page maps.
pub(crate) const UNIT_BYTES: u64 = LARGE.bytes();

/// The most pages that a unit has.
const MAX_PAGES: usize = 512;

/// The record of 2 MiB of a window, made when something is first mapped there and kept until the window goes.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Where the writable view starts if accesses may use it; 0 if not.
    alias: AtomicUsize,
    pub(crate) pages: [AtomicU32; MAX_PAGES],
    /// The writable view. Once it is there it stays, readable and writable, whether or not there is something behind it.
    pub(crate) view: OnceLock<View>,
    /// What latent pages hold. Changes with the mappings.
    pattern: [AtomicU32; 2],
    /// Bytes that are mapped nowhere and go back when the rest of their file does.
    waiting: AtomicUsize,
    /// It should be a large page, and the kernel had none.
    is_owed: AtomicBool,
    /// It was made beforehand: it keeps its memory, and needs no system call to be mapped.
    is_prepared: AtomicBool,
}

impl Unit {
    pub(crate) fn new() -> Self {
        Unit {
            alias: AtomicUsize::new(0),
            pages: [const { AtomicU32::new(0) }; MAX_PAGES],
            view: OnceLock::new(),
            pattern: [const { AtomicU32::new(0) }; 2],
            waiting: AtomicUsize::new(0),
            is_owed: AtomicBool::new(false),
            is_prepared: AtomicBool::new(false),
        }
    }

    /// Where the writable view starts if accesses may use it; 0 if not.
    #[inline]
    pub(crate) fn open_view(&self) -> usize {
        self.alias.load(Ordering::Acquire)
    }

    /// Lets accesses use the writable view.
    pub(crate) fn publish_view(&self) {
        self.alias.store(self.view.get().map_or(0, View::start), Ordering::Release);
    }

    /// Bytes of it that wait for the rest of their file.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// More bytes wait.
    pub(crate) fn wait_for(&self, bytes: usize) {
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What waited went back.
    pub(crate) fn wait_for_nothing(&self) {
        self.waiting.store(0, Ordering::Relaxed);
    }

    /// Whether it should be a large page and is not.
    pub(crate) fn is_owed(&self) -> bool {
        self.is_owed.load(Ordering::Relaxed)
    }

    /// Notes whether it should be a large page and is not.
    pub(crate) fn set_owed(&self, is_owed: bool) {
        self.is_owed.store(is_owed, Ordering::Relaxed);
    }

    /// Whether it was made beforehand.
    pub(crate) fn is_prepared(&self) -> bool {
        self.is_prepared.load(Ordering::Relaxed)
    }

    /// Notes whether it was made beforehand.
    pub(crate) fn set_prepared(&self, is_prepared: bool) {
        self.is_prepared.store(is_prepared, Ordering::Relaxed);
    }

    /// What latent pages hold.
    pub(crate) fn pattern(&self) -> Trap {
        let [bytes, len] = &self.pattern;
        let bytes = bytes.load(Ordering::Relaxed).to_ne_bytes();
        match len.load(Ordering::Relaxed) {
            1 => Trap::byte(bytes[0]),
            2 => Trap::half([bytes[0], bytes[1]]),
            _ => Trap::word(bytes),
        }
    }

    /// Notes what latent pages hold.
    pub(crate) fn set_pattern(&self, pattern: Trap) {
        let [bytes, len] = &self.pattern;
        bytes.store(u32::from_ne_bytes(pattern.phase(0)), Ordering::Relaxed);
        len.store(u32::try_from(pattern.unit()).unwrap_or(4), Ordering::Relaxed);
    }
}
