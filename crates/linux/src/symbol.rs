//! Addresses of what this process has under a name.
#![expect(unsafe_code, reason = "calls the dynamic linker")]

use std::ffi::CString;

/// The address of a function or object that a library of this process exports under `name` (dlsym(3)).
#[must_use]
pub fn symbol(name: &str) -> Option<u64> {
    let name = CString::new(name).ok()?;
    // SAFETY: dlsym(3) reads a string that ends with zero, which `name` is, and may be called by any thread.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then(|| found.expose_provenance() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_c_library_has_is_found() {
        assert!(symbol("malloc").is_some());
        assert_eq!(symbol("no_such_symbol_anywhere"), None);
        assert_eq!(symbol("mal\0loc"), None);
    }
}
