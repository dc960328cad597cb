//! What a boot changes: where the kernel is, and with it the windows below it.

use execmem_types::{Extent, Table, TableError};

use crate::generated;

/// What is known at boot only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// The kernel image, whole pages.
    pub kernel: Extent,
}

/// How far below the end of the kernel auipc and jalr reach it: 2 GiB less half of what jalr adds.
const REACH_BYTES: u64 = (2 << 30) - (2 << 10);

/// Length of the BPF region, `BPF_JIT_REGION_SIZE`.
const BPF_BYTES: u64 = 128 << 20;

/// Where modules may lie: below the kernel, as far as calls reach all of it. Linux begins at `PFN_ALIGN(_end) - 2G`, one
/// page earlier, from where the last 2 KiB of the kernel are out of reach.
#[must_use]
pub fn module_window(kernel: Extent) -> Option<Extent> {
    let page = generated::MACHINE_RISCV64.page();
    let lowest = u64::try_from(kernel.end().saturating_sub(REACH_BYTES.into())).ok()?;
    Extent::between(page.round_up(lowest)?, kernel.start().into())
}

/// Where BPF programs lie: the 128 MiB below the kernel.
#[must_use]
pub fn bpf_window(kernel: Extent) -> Option<Extent> {
    Extent::new(kernel.start().checked_sub(BPF_BYTES)?, BPF_BYTES)
}

impl Boot {
    /// The table of this boot. A pure function: the same facts give the same table.
    ///
    /// # Errors
    ///
    /// The first rule that the adjusted table breaks: facts that do not go together are refused here, and not found out by the
    /// first allocation.
    pub fn apply(&self, table: Table) -> Result<Table, TableError> {
        table.adjusted(|plan| {
            plan.machine.anchor = Some(self.kernel);
            for (_, descriptor) in plan.owns_mut() {
                descriptor.windows = descriptor.windows.map(|window| moved(window, self.kernel));
            }
        })
    }
}

/// A window of the table where it lies in this boot.
fn moved(window: Option<Extent>, kernel: Extent) -> Option<Extent> {
    if window == generated::WINDOW_MODULES {
        module_window(kernel)
    } else if window == generated::WINDOW_MODULES_DATA {
        Extent::between(module_window(kernel)?.start(), bpf_window(kernel)?.start().into())
    } else if window == generated::WINDOW_BPF {
        bpf_window(kernel)
    } else {
        window
    }
}

#[cfg(test)]
mod tests {
    use execmem_types::Kind;
    use quickcheck::quickcheck;

    use super::*;

    quickcheck! {
        fn every_place_of_the_kernel_keeps_every_rule(place: u64, mib: u64) -> bool {
            // KASLR moves the kernel in steps of 2 MiB within the last 2 GiB.
            let len = (1 + mib % 200) << 20;
            let steps = ((2 << 30) - len) >> 21;
            let start = 0xffff_ffff_8000_0000 + (place % steps) * (2 << 20);
            let kernel = Extent::new(start, len).expect("an image");
            let table = Boot { kernel }.apply(generated::RISCV64).expect("every rule");
            let of = |kind| table.descriptor(kind).windows[0].expect("a window");
            of(Kind::Text).end() == u128::from(start)
                && of(Kind::Text).covers(of(Kind::Bpf))
                && !of(Kind::Data).overlaps(of(Kind::Bpf))
                && table.machine().connects(kernel, of(Kind::Text))
        }
    }

    #[test]
    fn the_table_is_that_of_a_kernel_without_kaslr() {
        let kernel = generated::MACHINE_RISCV64.anchor.expect("a kernel");
        assert_eq!(Boot { kernel }.apply(generated::RISCV64), Ok(generated::RISCV64));
    }

    #[test]
    fn a_page_more_would_be_out_of_reach() {
        let kernel = generated::MACHINE_RISCV64.anchor.expect("a kernel");
        let window = module_window(kernel).expect("a window");
        let longer = Extent::between(window.start() - 4096, window.end()).expect("a window");
        assert!(generated::MACHINE_RISCV64.connects(kernel, window));
        assert!(!generated::MACHINE_RISCV64.connects(kernel, longer));
    }
}
