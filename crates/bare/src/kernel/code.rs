//! Functions in the image that are copied into memory of the engine.

/// A function of the machine's `code.s`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Function {
    start: *const u8,
    end: *const u8,
    site: *const u8,
}

unsafe extern "C" {
    static code_answer: u8;
    static code_answer_end: u8;
    static code_traced: u8;
    static code_traced_site: u8;
    static code_traced_end: u8;
    static code_probed: u8;
    static code_probed_end: u8;
}

/// Returns 42.
pub(crate) const ANSWER: Function =
    Function { start: &raw const code_answer, end: &raw const code_answer_end, site: &raw const code_answer };

/// Returns its argument and one. An instruction that does nothing stands at its [site](Function::site).
pub(crate) const TRACED: Function =
    Function { start: &raw const code_traced, end: &raw const code_traced_end, site: &raw const code_traced_site };

/// Returns its argument and 1000. Its first instruction can be probed.
pub(crate) const PROBED: Function =
    Function { start: &raw const code_probed, end: &raw const code_probed_end, site: &raw const code_probed };

impl Function {
    /// Its bytes.
    pub(crate) fn bytes(self) -> &'static [u8] {
        // SAFETY: the two names are the ends of constants of the image.
        unsafe { core::slice::from_raw_parts(self.start, self.end as usize - self.start as usize) }
    }

    /// Offset of the instruction that can be replaced.
    pub(crate) fn site(self) -> u64 {
        self.site as u64 - self.start as u64
    }
}
