//! What a boot changes: where the module window starts, under KASLR or without it, and alignment under KASAN.

use execmem_types::{Extent, PowerOfTwo, Row, Table, TableError};

use crate::generated;

/// Room for the kernel image, `KERNEL_IMAGE_SIZE`; modules begin behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Image {
    /// 1 GiB: with `CONFIG_RANDOMIZE_BASE`.
    #[default]
    Gib1,
    /// 512 MiB: without it.
    Mib512,
}

impl Image {
    /// The room, from `__START_KERNEL_map` on.
    fn extent(self) -> Option<Extent> {
        let len = match self {
            Image::Gib1 => 1 << 30,
            Image::Mib512 => 512 << 20,
        };
        Extent::new(generated::MACHINE_X86.anchor?.start(), len)
    }
}

/// What is known at boot only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Boot {
    /// Room for the kernel image.
    pub image: Image,
    /// How far the module window starts above its fixed start; `None` without KASLR.
    pub kaslr: Option<KaslrOffset>,
    /// KASAN is on and shadows modules itself (without `CONFIG_KASAN_VMALLOC`): every block needs whole pages of shadow,
    /// so that everything is aligned to 32 KiB, which is `MODULE_ALIGN` then.
    pub is_shadowed: bool,
}

/// The random part of the start of the module window: 1 to 1,024 pages (`arch/x86/mm/init.c`), which is 10 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KaslrOffset {
    pages: u32,
}

impl KaslrOffset {
    /// Largest offset in pages.
    pub const MAX_PAGES: u32 = 1024;

    /// An offset of `pages`, if that is 1 to [`MAX_PAGES`](Self::MAX_PAGES).
    #[must_use]
    pub const fn from_pages(pages: u32) -> Option<Self> {
        if pages == 0 || pages > Self::MAX_PAGES { None } else { Some(KaslrOffset { pages }) }
    }

    /// The offset for a random number.
    #[must_use]
    pub const fn from_random(random: u32) -> Self {
        KaslrOffset { pages: random % Self::MAX_PAGES + 1 }
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.pages as u64 * generated::MACHINE_X86.page().bytes()
    }
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
            if plan.machine.anchor == generated::MACHINE_X86.anchor {
                plan.machine.anchor = self.image.extent();
            }
            let unit = plan.machine.shadow_unit();
            for (_, row) in plan.rows_mut() {
                if let Row::Own(descriptor) = &mut *row {
                    descriptor.windows = descriptor.windows.map(|window| Some(self.moved(window?)));
                }
                if self.is_shadowed {
                    shadow(row, unit);
                }
            }
        })
    }

    /// The module window, or the first part of it, starts behind the image, and under KASLR later, and ends where it did;
    /// other windows stay.
    fn moved(&self, window: Extent) -> Extent {
        let modules = generated::WINDOW_MODULES.map(Extent::start);
        let Some(image) = self.image.extent().filter(|_| modules == Some(window.start())) else { return window };
        let offset = self.kaslr.map_or(0, KaslrOffset::bytes);
        u64::try_from(image.end()).ok().and_then(|end| Extent::between(end + offset, window.end())).unwrap_or(window)
    }
}

/// Gives a row shadow memory.
fn shadow(row: &mut Row, unit: PowerOfTwo) {
    match row {
        Row::Own(descriptor) => {
            descriptor.is_shadowed = true;
            descriptor.alignment = descriptor.alignment.max(unit);
        }
        Row::Shares { alignment, .. } => *alignment = (*alignment).max(unit),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use execmem_types::{Kind, NamedTable};
    use quickcheck::quickcheck;

    use super::*;

    /// The tables of 64-bit kernels.
    fn tables() -> impl Iterator<Item = &'static NamedTable> {
        generated::TABLES.iter().filter(|named| named.table.machine().address_bits() == 64)
    }

    quickcheck! {
        fn kaslr_moves_the_start_by_1_to_1024_pages_and_keeps_every_rule(random: u32, is_shadowed: bool, is_small: bool) -> bool {
            tables().all(|named| {
                let image = if is_small { Image::Mib512 } else { Image::Gib1 };
                let boot = Boot { image, kaslr: Some(KaslrOffset::from_random(random)), is_shadowed };
                let table = boot.apply(named.table).expect("every rule");
                let near = table.descriptor(Kind::Text).windows().next().expect("a window");
                let fixed = if is_small { 0xffff_ffff_a000_0000 } else { 0xffff_ffff_c000_0000 };
                let offset = near.start() - fixed;
                let unmoved = named.table.descriptor(Kind::Text).windows().next().expect("a window");
                near.end() == unmoved.end() && offset.is_multiple_of(0x1000) && (0x1000..=0x40_0000).contains(&offset)
            })
        }
    }

    #[test]
    fn shadow_of_every_block_is_whole_pages_in_every_table() {
        for named in generated::TABLES {
            let table = Boot { is_shadowed: true, ..Boot::default() }.apply(named.table).expect("every rule");
            for kind in Kind::ALL {
                assert!(table.descriptor(kind).is_shadowed);
                assert!(table.alignment(kind).bytes() >= 0x8000, "{} {kind}", named.name);
            }
        }
    }

    #[test]
    fn without_kaslr_and_kasan_a_boot_changes_nothing() {
        for named in generated::TABLES {
            assert_eq!(Boot::default().apply(named.table), Ok(named.table));
        }
    }

    #[test]
    fn offsets_outside_the_range_do_not_exist() {
        assert_eq!(KaslrOffset::from_pages(0), None);
        assert_eq!(KaslrOffset::from_pages(1025), None);
        assert_eq!(KaslrOffset::from_pages(1024), Some(KaslrOffset::from_random(1023)));
    }

    #[test]
    fn the_window_is_1008_or_1520_mib_long() {
        let len = |image| {
            let table = Boot { image, ..Boot::default() }.apply(generated::X86).expect("every rule");
            table.descriptor(Kind::Text).windows[0].map(|window| window.len() >> 20)
        };
        assert_eq!((len(Image::Gib1), len(Image::Mib512)), (Some(1008), Some(1520)));
    }

    #[test]
    fn a_far_window_does_not_move() {
        let boot = Boot { kaslr: KaslrOffset::from_pages(7), ..Boot::default() };
        let table = boot.apply(generated::X86_STRICT).expect("every rule");
        assert_eq!(table.descriptor(Kind::Text).windows[1], generated::WINDOW_VMALLOC);
    }
}
