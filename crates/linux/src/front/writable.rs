//! Where a draft can be stored to directly, for clients that make code through a pointer.

use execmem::sync::Locking;
use execmem::{Draft, Engine, KindSet, KindTag};

use crate::Linux;

/// Where the bytes of a draft can be stored to directly: the address of the writable view of its first byte, readable and
/// writable for all of its [bytes](execmem::Handle::extent).
///
/// To return it is safe, to store through it is the caller's `unsafe`. It is the caller's until the draft is published or
/// freed: code changes by [`Engine::patch`] then, and the place may become another draft's. References of the code are
/// computed for the draft's own address.
///
/// There is none unless the memory is mapped twice ([`Publish::Poke`](crate::Publish::Poke)) and the writable view is open
/// between writes ([`Options::hides_views`](crate::Options::hides_views)), nor for what goes beyond a unit of 2 MiB, since
/// each unit has a view of its own, nor in a forked child. A client writes by [`Engine::write`] then. Gives the draft its
/// memory, as a write does.
///
/// ```
/// use execmem::kinds::Text;
///
/// let engine = execmem_linux::shared()?;
/// let mut draft = engine.alloc::<Text>(64)?;
/// if let Some(pointer) = execmem_linux::writable(engine, &mut draft) {
///     // Sound: the draft has 64 bytes, and is neither published nor freed.
///     unsafe { pointer.write_bytes(0x90, 64) };
///     let mut bytes = [0; 64];
///     engine.read(&draft, 0, &mut bytes)?;
///     assert_eq!(bytes, [0x90; 64]);
/// }
/// engine.free(draft)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn writable<S, L, K>(engine: &Engine<Linux, S, L>, draft: &mut Draft<K>) -> Option<*mut u8>
where
    S: KindSet,
    L: Locking,
    K: KindTag<Set = S>,
{
    // Nothing is read; a handle of another engine and a forked child are refused.
    engine.read(draft, 0, &mut []).ok()?;
    engine.facts().window_of_memory().writable(draft.extent()).map(std::ptr::with_exposed_provenance_mut)
}
