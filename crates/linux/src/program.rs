//! Which program or library an address belongs to, as the dynamic linker knows it. Needs no `/proc`.
#![expect(unsafe_code, reason = "is called back by the dynamic linker with its own list")]

use std::ffi::{c_int, c_void};

use execmem_types::Extent;

/// What is looked for, and what was found.
struct Search {
    address: u64,
    found: Option<Extent>,
}

/// All segments of the program or library that has an address.
pub(crate) fn around(address: u64) -> Option<Extent> {
    let mut search = Search { address, found: None };
    let data: *mut Search = &raw mut search;
    // SAFETY: dl_iterate_phdr(3) calls `look` with each object of the process, while none comes or goes, and hands on
    // `data`, which lives until it returns and is used by nothing else meanwhile.
    unsafe { libc::dl_iterate_phdr(Some(look), data.cast::<c_void>()) };
    search.found
}

/// Looks at one object; 1 ends the search.
///
/// # Safety
///
/// As dl_iterate_phdr(3) calls it: with a description of a loaded object, and the data of the search.
unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _size: usize, data: *mut c_void) -> c_int {
    // SAFETY: a description that lives during the call, by dl_iterate_phdr(3).
    let Some(info) = (unsafe { info.as_ref() }) else { return 0 };
    // SAFETY: the `Search` that `around` passed.
    let Some(search) = (unsafe { data.cast::<Search>().as_mut() }) else { return 0 };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the object's program headers, which are as many as it says and do not change while it is loaded.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let loaded = headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_memsz > 0);
    #[cfg_attr(
        target_pointer_width = "64",
        expect(clippy::useless_conversion, reason = "these numbers are 32 bits wide on other machines")
    )]
    let extents = loaded.filter_map(|header| {
        Extent::new(u64::from(info.dlpi_addr).wrapping_add(header.p_vaddr.into()), header.p_memsz.into())
    });
    let whole = extents
        .reduce(|all, part| Extent::between(all.start().min(part.start()), all.end().max(part.end())).unwrap_or(all));
    search.found = whole.filter(|whole| whole.contains(search.address));
    c_int::from(search.found.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_belongs_to_its_program_and_what_it_calls_to_a_library() {
        let here: fn() = code_belongs_to_its_program_and_what_it_calls_to_a_library;
        let own = around(here as usize as u64).expect("a program");
        let library = crate::symbol("malloc").and_then(around).expect("a library");
        assert!(own.len() > 4096 && library.len() > 4096);
        let on_the_stack = 0_u8;
        assert_eq!(around((&raw const on_the_stack).addr() as u64), None);
    }
}
