//! Code that no engine made.

use crate::{BackendError, Extent, PowerOfTwo};

/// Code of an image that a caller vouched for, in an `unsafe` function of whatever commands the memory: it stays where it is
/// for as long as this lives, and its holder may replace its instructions.
pub trait VouchedCode {
    /// Where it lies.
    fn extent(&self) -> Extent;

    /// Reads bytes of it.
    ///
    /// # Errors
    ///
    /// They are not all inside, or cannot be read.
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError>;

    /// Replaces bytes of it. Every processor executes the new ones once it returns.
    ///
    /// # Errors
    ///
    /// They are not all inside, or cannot be written.
    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), BackendError>;

    /// So many aligned bytes are written by one store.
    fn stores_at_once(&self) -> PowerOfTwo;
}
