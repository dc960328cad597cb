//! What a boot changes: where the text of the kernel ends, and with it the near window.

use execmem_types::{Extent, Kind, PageSize, Table, TableError};

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

impl Boot {
    /// The table of this boot. A pure function: the same facts give the same table.
    ///
    /// # Errors
    ///
    /// The first rule that the adjusted table breaks: facts that do not go together are refused here, and not found out by the
    /// first allocation.
    pub fn apply(&self, table: Table) -> Result<Table, TableError> {
        table.adjusted(|plan| {
            plan.machine.anchor = Some(self.text);
            let [near, area] = text_windows(self, plan.machine.page());
            if let Some(text) = plan.own_mut(Kind::Text) {
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
    use crate::generated;

    quickcheck! {
        fn every_kernel_and_module_area_keeps_every_rule(text_pages: u32, module_mib: u32) -> bool {
            generated::TABLES.iter().all(|named| {
                let page = named.table.machine().page();
                let text = Extent::new(0xc000_0000, (1 + u64::from(text_pages) % 0x1e00) * 4096).expect("below 30 MiB");
                let module_bytes = (1 + u64::from(module_mib) % 256) << 20;
                let table = Boot { text, module_bytes }.apply(named.table).expect("every rule");
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
            assert_eq!(Boot { text, module_bytes: mib << 20 }.apply(table), Ok(table));
        }
    }

    #[test]
    fn a_kernel_larger_than_a_branch_has_no_near_window() {
        let text = Extent::new(0xc000_0000, 32 << 20).expect("an image");
        let refused = Boot { text, module_bytes: 32 << 20 }.apply(generated::POWERPC_8XX);
        assert_eq!(refused.map_err(|error| error.rule), Err(Rule::HasWindow));
    }

    #[test]
    fn data_in_the_segment_of_text_is_refused_where_execution_is_a_right_of_segments() {
        let refused = generated::POWERPC_BOOK3S32.adjusted(|plan| {
            if let Some(data) = plan.own_mut(Kind::Data) {
                data.windows = [generated::WINDOW_MODULES_BOOK3S32, None, None];
            }
        });
        assert_eq!(refused.map_err(|error| error.rule), Err(Rule::SegmentIsOneRight));
    }

    #[test]
    fn leaves_of_the_linear_map_are_no_granularity() {
        let refused = generated::POWERPC_8XX.adjusted(|plan| {
            if let Some(data) = plan.own_mut(Kind::Data) {
                data.granularities[0] = Some(PageSize::mib(8));
            }
        });
        assert_eq!(refused.map_err(|error| error.rule), Err(Rule::GranularityIsLeaf));
    }
}
