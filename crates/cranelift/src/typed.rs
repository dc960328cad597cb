//! Functions as pointers of their types.
#![expect(unsafe_code, reason = "makes function pointers for callers that vouch for the code")]

use cranelift_module::FuncId;

use crate::CodeModule;

impl CodeModule {
    /// A finalized function as a pointer of type `F`: `extern "C" fn(i64) -> i64`, say.
    ///
    /// # Safety
    ///
    /// As [`execmem_linux::fn_at`]: `F` is a type of function pointers that agrees with the signature of the function and
    /// its calling convention. It must not be called once the function is freed.
    #[must_use]
    pub unsafe fn as_fn<F: Copy>(&self, id: FuncId) -> Option<F> {
        // SAFETY: the caller vouches for the type, and a finalized function is published.
        self.address(id).map(|address| unsafe { execmem_linux::fn_at(address) })
    }
}
