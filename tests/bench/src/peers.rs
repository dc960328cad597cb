//! The allocators of executable memory that are compared, each in a file of its own.

mod by_address;
mod counting;
mod cranelift;
mod dynasmrt;
mod estimated;
mod execmem;
mod heap;
mod mmap;
mod pack;

use ::execmem::Kind;
use anyhow::Result;

use crate::measure::Measures;

pub(crate) use self::by_address::Addresses;
pub(crate) use self::cranelift::Cranelift;
pub(crate) use self::dynasmrt::Dynasmrt;
pub(crate) use self::estimated::Estimated;
pub(crate) use self::execmem::{Execmem, ExecmemCounted};
pub(crate) use self::heap::Heap;
pub(crate) use self::mmap::Mmap;
pub(crate) use self::pack::Packs;

/// An allocator of executable memory, shared by the threads of a trace.
pub(crate) trait Peer: Sized + Sync {
    /// What it returns for a function.
    type Code: Send;
    /// Whether what it installs can be executed.
    const EXECUTES: bool = true;

    /// One that will be asked for code of a kind.
    fn new(kind: Kind) -> Result<Self>;
    /// Allocates, copies and makes executable.
    fn install(&self, code: &[u8]) -> Result<Self::Code>;
    /// Where the function starts.
    fn entry(&self, code: &Self::Code) -> usize;
    /// Frees.
    fn remove(&self, code: Self::Code) -> Result<()>;
    /// Frees many.
    fn remove_group(&self, codes: &mut Vec<Self::Code>) -> Result<()> {
        codes.drain(..).try_for_each(|code| self.remove(code))
    }
    /// What it counted itself, for so many pairs.
    fn counts(&self, pairs: usize) -> Measures {
        let _ = pairs;
        Measures::new()
    }
    /// Checks, with nothing live any more.
    fn finish(&self) -> Result<()> {
        Ok(())
    }
}

/// Calls a generic function for the peer of a name, `None` for a name that is unknown.
macro_rules! with_peer {
    ($name:expr, $function:ident($($argument:expr),*)) => {
        match $name {
            "heap" => Some($function::<$crate::peers::Heap<false>>($($argument),*)),
            "filled" => Some($function::<$crate::peers::Heap<true>>($($argument),*)),
            "mmap" => Some($function::<$crate::peers::Mmap>($($argument),*)),
            "dynasmrt" => Some($function::<$crate::peers::Dynasmrt>($($argument),*)),
            "cranelift" => Some($function::<$crate::peers::Cranelift>($($argument),*)),
            "pack" => Some($function::<$crate::peers::Packs>($($argument),*)),
            "execmem" => Some($function::<$crate::peers::Execmem>($($argument),*)),
            "execmem-counted" => Some($function::<$crate::peers::ExecmemCounted>($($argument),*)),
            "execmem-estimated" => Some($function::<$crate::peers::Estimated>($($argument),*)),
            "execmem-by-address" => Some($function::<$crate::peers::Addresses>($($argument),*)),
            _ => None,
        }
    };
}
pub(crate) use with_peer;

/// Their names, in the order they run.
pub(crate) const NAMES: &[&str] = &["heap", "filled", "mmap", "dynasmrt", "cranelift", "pack", "execmem"];

/// The same, and execmem once more with locks that count: for traces of several threads.
pub(crate) const THREADED: &[&str] =
    &["heap", "filled", "mmap", "dynasmrt", "cranelift", "pack", "execmem", "execmem-counted"];

/// Those that drop code of which nothing but the address is kept, and what knows it by handle.
pub(crate) const BY_ADDRESS: &[&str] = &["heap", "filled", "execmem", "execmem-by-address"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::{self, RUNS_HERE, Template};

    fn lives<P: Peer>() {
        let peer = P::new(Kind::Bpf).expect("memory");
        let mut template = Template::new(100_000);
        for (tag, len) in [(1, 64), (2, 4096), (3, 100_000)] {
            let code = template.with(len, tag, |bytes| peer.install(bytes)).expect("memory");
            let entry = peer.entry(&code);
            // SAFETY: a function of `len` bytes was installed there.
            assert_eq!(unsafe { code::tail(entry, len) }, tag);
            if P::EXECUTES && RUNS_HERE {
                // SAFETY: it was made by the template, and is freed below.
                assert_eq!(unsafe { code::call(entry) }, tag);
            }
            peer.remove(code).expect("live");
        }
        peer.finish().expect("nothing is left");
    }

    #[test]
    fn functions_live_in_every_peer() {
        for name in THREADED.iter().chain(BY_ADDRESS) {
            with_peer!(*name, lives()).expect("a known name");
        }
        assert_eq!(with_peer!("nobody", lives()), None);
    }
}
