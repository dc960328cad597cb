//! Unwind tables, known to the unwinder as long as the code they describe.
#![expect(unsafe_code, reason = "hands tables to the unwinder of the C runtime")]

unsafe extern "C" {
    fn __register_frame(table: *const u8);
    fn __deregister_frame(table: *const u8);
}

/// Unwind tables of some code (the content of an `.eh_frame` section), registered until this is dropped.
///
/// Keep it beside the handle of the allocation, and drop it before that is freed.
#[derive(Debug)]
#[must_use = "the unwinder forgets the tables when this is dropped"]
pub struct Frames {
    /// Never moves and is never written: the unwinder has its address.
    table: Box<[u8]>,
}

impl Frames {
    /// Registers tables. The end mark is added.
    ///
    /// # Safety
    ///
    /// `table` must be well-formed records of an `.eh_frame` section whose addresses are those of code that lives as
    /// long as this value, and describe it truly: an exception that passes such code goes where they say.
    pub unsafe fn register(mut table: Vec<u8>) -> Self {
        table.extend([0; 4]);
        let table = table.into_boxed_slice();
        // SAFETY: the table ends with an end mark and lives until it is deregistered; the caller vouches for the rest.
        unsafe { __register_frame(table.as_ptr()) };
        Frames { table }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        // SAFETY: the table that was registered, not deregistered before.
        unsafe { __deregister_frame(self.table.as_ptr()) };
    }
}
