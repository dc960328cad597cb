//! Unwind tables, known to the unwinder as long as the code they describe.
//!
//! Unwinders take them by a function of the same name that means two things: of libgcc, a whole table that ends with a
//! mark; of LLVM's libunwind, which musl's programs have, one record of one function.
#![expect(unsafe_code, reason = "hands tables to the unwinder of the C runtime")]

use std::ffi::c_void;

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
    is_singly: bool,
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
        let frames = Frames { table: table.into_boxed_slice(), is_singly: takes_records_singly() };
        for start in frames.starts() {
            // SAFETY: what this unwinder expects, a table with an end mark or a record of a function in one, lives until it
            // is deregistered; the caller vouches for the rest.
            unsafe { __register_frame(frames.table.as_ptr().wrapping_add(start)) };
        }
        frames
    }

    /// Where what is registered begins: the table, or each record of a function.
    fn starts(&self) -> impl Iterator<Item = usize> + '_ {
        let records = records(&self.table).filter(|record| self.is_singly && !record.is_common);
        let whole = (!self.is_singly).then_some(0);
        whole.into_iter().chain(records.map(|record| record.start))
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        for start in self.starts() {
            // SAFETY: what was registered, not deregistered before.
            unsafe { __deregister_frame(self.table.as_ptr().wrapping_add(start)) };
        }
    }
}

/// A record of an `.eh_frame` section (LSB 5, 10.6.1).
struct Record {
    start: usize,
    /// It is common to functions (a CIE), and not the record of one (an FDE).
    is_common: bool,
}

/// The records of a table, up to its end mark.
fn records(table: &[u8]) -> impl Iterator<Item = Record> + '_ {
    /// In place of a length, the mark of one of eight bytes behind it.
    const LONG: u32 = u32::MAX;
    let word = |at: usize| Some(u32::from_ne_bytes(table.get(at..at + 4)?.try_into().ok()?));
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let (len, content) = match word(start)? {
            0 => return None,
            LONG => {
                let len = u64::from_ne_bytes(table.get(start + 4..start + 12)?.try_into().ok()?);
                (usize::try_from(len).ok()?, start + 12)
            }
            len => (usize::try_from(len).ok()?, start + 4),
        };
        next = content.checked_add(len).filter(|end| *end <= table.len());
        next?;
        Some(Record { start, is_common: word(content)? == 0 })
    })
}

/// Whether the unwinder takes the records of functions one by one: LLVM's does. It is the one that has a function of its
/// own for that in the library that `__register_frame` is from.
fn takes_records_singly() -> bool {
    if cfg!(target_env = "musl") {
        return true;
    }
    let register: unsafe extern "C" fn(*const u8) = __register_frame;
    let of_llvm = crate::symbol("__unw_add_dynamic_fde").and_then(library_of);
    of_llvm.is_some() && of_llvm == library_of(register as usize as u64)
}

/// Where the library that has an address was loaded.
fn library_of(address: u64) -> Option<usize> {
    // SAFETY: all fields are numbers and pointers, for which zero is a value.
    let mut found: libc::Dl_info = unsafe { std::mem::zeroed() };
    let address = std::ptr::with_exposed_provenance::<c_void>(usize::try_from(address).ok()?);
    // SAFETY: dladdr(3) reads nothing at the address, and writes to `found`, which lives.
    let is_known = unsafe { libc::dladdr(address, &raw mut found) } != 0;
    (is_known && !found.dli_fbase.is_null()).then(|| found.dli_fbase.addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_apart_and_end_at_the_mark() {
        let word = |word: u32| word.to_ne_bytes();
        let common = [word(8), word(0), word(7)].concat();
        let function = [word(8), word(16), word(7)].concat();
        let long = [&word(u32::MAX)[..], &8_u64.to_ne_bytes(), &word(1), &word(7)].concat();
        let table = [&common[..], &function, &long, &word(0), &function].concat();
        let seen: Vec<_> = records(&table).map(|record| (record.start, record.is_common)).collect();
        assert_eq!(seen, [(0, true), (12, false), (24, false)]);
        assert_eq!(records(&function[..6]).count(), 0, "cut off");
        assert_eq!(records(&[0xff; 20]).count(), 0, "longer than the table");
    }

    #[test]
    fn a_function_is_in_a_library_and_nothing_else_is() {
        let [own, of_c] = [library_of as *const (), libc::dladdr as *const ()].map(|function| function.addr());
        let library = |address: usize| library_of(address as u64).expect("a function of one");
        assert!(library(own) < own && library(own) != library(of_c));
        assert_eq!((library_of(0), library_of(u64::MAX)), (None, None));
    }
}
