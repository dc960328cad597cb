//! What a boot changes: where the text of the kernel ends, and with it the near window.

use execmem_types::{Arch, Code, Extent, Kind, Machine, PageSize, Row, Table, TableError};

use crate::generated;

/// powerpc of 32 bits: 8xx and book3s/32.
#[derive(Debug, Clone, Copy)]
pub struct Powerpc;

/// What is known when the kernel is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// The kernel's text, `PAGE_OFFSET .. _etext`.
    pub text: Extent,
    /// Length of the module area below it, `CONFIG_MODULES_SIZE` in bytes: 1 to 256 MiB.
    pub module_bytes: u64,
}

/// How far b and bl reach back.
const REACH_BYTES: u64 = 32 << 20;

/// The near window, and the module area if that is larger (`arch/powerpc/mm/mem.c`).
///
/// Linux lets the near window begin below the module area if both are small; the page tables that the miss handlers walk
/// do not exist there, so here it never does.
#[must_use]
pub fn text_windows(boot: &Boot, page: PageSize) -> [Option<Extent>; 2] {
    let end = boot.text.start();
    let area = end.checked_sub(boot.module_bytes).and_then(|start| Extent::between(start, end.into()));
    let Some(area) = area else { return [None; 2] };
    let limit = (boot.text.last() - (REACH_BYTES - 1)).max(area.start());
    let near = page.round_up(limit).and_then(|start| Extent::between(start, area.end()));
    if near == Some(area) { [near, None] } else { [near, Some(area)] }
}

impl Arch for Powerpc {
    const MACHINE: Machine = generated::MACHINE_POWERPC_8XX;
    const TABLE: Table = generated::POWERPC_8XX;
    const CODE: Code = generated::CODE_POWERPC_8XX;

    type Boot = Boot;

    fn boot(table: Table, boot: &Boot) -> Result<Table, TableError> {
        table.adjusted(|machine, rows| {
            machine.anchor = Some(boot.text);
            let [near, area] = text_windows(boot, machine.page());
            if let Row::Own(text) = &mut rows[Kind::Text.index()] {
                text.windows = [near, area, None];
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use execmem_types::Rule;
    use quickcheck::quickcheck;

    use super::*;

    quickcheck! {
        fn every_kernel_and_module_area_keeps_every_rule(text_pages: u32, module_mib: u32) -> bool {
            generated::TABLES.iter().all(|named| {
                let page = named.table.machine().page();
                let text = Extent::new(0xc000_0000, (1 + u64::from(text_pages) % 0x1e00) * 4096).expect("below 30 MiB");
                let module_bytes = (1 + u64::from(module_mib) % 256) << 20;
                let table = Powerpc::boot(named.table, &Boot { text, module_bytes }).expect("every rule");
                let windows = table.descriptor(Kind::Text).windows;
                let near = windows[0].expect("a near window");
                near.start().is_multiple_of(page.bytes())
                    && near.start() >= 0xc000_0000 - module_bytes
                    && windows[1].is_none_or(|area| area.covers(near) && area.len() == module_bytes)
            })
        }
    }

    #[test]
    fn the_tables_are_those_of_their_own_kernels() {
        let sizes = [(generated::POWERPC_8XX, 32), (generated::POWERPC_8XX_16K, 32), (generated::POWERPC_BOOK3S32, 64)];
        for (table, mib) in sizes {
            let text = table.machine().anchor.expect("a kernel");
            assert_eq!(Powerpc::boot(table, &Boot { text, module_bytes: mib << 20 }), Ok(table));
        }
    }

    #[test]
    fn a_kernel_larger_than_a_branch_has_no_near_window() {
        let text = Extent::new(0xc000_0000, 32 << 20).expect("an image");
        let refused = Powerpc::boot(generated::POWERPC_8XX, &Boot { text, module_bytes: 32 << 20 });
        assert_eq!(refused.map_err(|error| error.rule), Err(Rule::HasWindow));
    }

    #[test]
    fn data_in_the_segment_of_text_is_refused_where_execution_is_a_right_of_segments() {
        let refused = generated::POWERPC_BOOK3S32.adjusted(|_, rows| {
            if let Row::Own(data) = &mut rows[Kind::Data.index()] {
                data.windows = [generated::WINDOW_MODULES_BOOK3S32, None, None];
            }
        });
        assert_eq!(refused.map_err(|error| error.rule), Err(Rule::SegmentIsOneRight));
    }

    #[test]
    fn leaves_of_the_linear_map_are_no_granularity() {
        let refused = generated::POWERPC_8XX.adjusted(|_, rows| {
            if let Row::Own(data) = &mut rows[Kind::Data.index()] {
                data.granularities[0] = Some(PageSize::mib(8));
            }
        });
        assert_eq!(refused.map_err(|error| error.rule), Err(Rule::GranularityIsLeaf));
    }
}
