//! Code of this process that is not in a window: of the program, or of a library.
#![expect(unsafe_code, reason = "reads memory and takes part in its execution by address")]

use execmem_types::{BackendError, Extent, PowerOfTwo, SyncScope, VouchedCode};

use crate::window::system_error;
use crate::{copy, icache, proc_mem};

/// Code of this process that its caller [vouched](vouch) for.
#[derive(Debug)]
pub struct Vouched {
    extent: Extent,
    process: u32,
}

/// Says of code that is not in the memory of an engine that its instructions may be replaced by the holder of the result.
/// They are written through `/proc/self/mem`, byte by byte: machines whose instructions are replaced by one store of several
/// bytes refuse that, those with breakpoints of one byte do not.
///
/// # Safety
///
/// For as long as the result lives: the extent is mapped, readable and executable; no Rust reference points to it, as no
/// reference does to functions; and executing what is written there is sound.
#[must_use]
pub unsafe fn vouch(extent: Extent) -> Vouched {
    Vouched { extent, process: std::process::id() }
}

impl Vouched {
    /// Refuses other processes, and bytes outside.
    fn check(&self, address: u64, len: usize) -> Result<Option<Extent>, BackendError> {
        if self.process != std::process::id() {
            return Err(BackendError::Forked);
        }
        let Some(part) = Extent::new(address, len as u64) else { return Ok(None) };
        let is_inside = self.extent.contains(part.start()) && self.extent.contains(part.last());
        if is_inside { Ok(Some(part)) } else { Err(BackendError::NotMapped { address }) }
    }
}

impl VouchedCode for Vouched {
    fn extent(&self) -> Extent {
        self.extent
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        let Some(part) = self.check(address, bytes.len())? else { return Ok(()) };
        let start = usize::try_from(part.start()).map_err(|_| BackendError::NotMapped { address })?;
        // SAFETY: the bytes are inside what `vouch` was told to be readable for as long as this lives, and are accessed by
        // atomic loads.
        unsafe { copy::read(std::ptr::with_exposed_provenance_mut(start), bytes) };
        Ok(())
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        let Some(part) = self.check(address, bytes.len())? else { return Ok(()) };
        let start = usize::try_from(part.start()).map_err(|_| BackendError::NotMapped { address })?;
        proc_mem::write(address, bytes).map_err(system_error)?;
        // SAFETY: the bytes are inside what `vouch` was told to be mapped and readable for as long as this lives.
        unsafe { icache::sync(start, start, bytes.len(), SyncScope::Live) }.map_err(system_error)
    }

    fn stores_at_once(&self) -> PowerOfTwo {
        PowerOfTwo::from_log2(0)
    }
}
