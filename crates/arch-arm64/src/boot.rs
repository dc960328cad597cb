//! What a boot changes: where the kernel is, and with it every window.

use execmem_types::{Descriptor, Extent, MAX_WINDOWS, Table, TableError};

use crate::boxes::Boxes;
use crate::generated;

/// What is known at boot only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// The kernel image.
    pub kernel: Extent,
    /// Where its modules may lie.
    pub boxes: Boxes,
}

/// What a window of a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Direct,
    Plt,
    Vmalloc,
}

/// The windows of the tables by what they are for.
const ROLES: [(Option<Extent>, Role); 6] = [
    (generated::WINDOW_DIRECT, Role::Direct),
    (generated::WINDOW_DIRECT_16K, Role::Direct),
    (generated::WINDOW_PLT, Role::Plt),
    (generated::WINDOW_PLT_16K, Role::Plt),
    (generated::WINDOW_VMALLOC, Role::Vmalloc),
    (generated::WINDOW_VMALLOC_16K, Role::Vmalloc),
];

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
            plan.owns_mut().for_each(|(_, descriptor)| self.place(descriptor));
        })
    }

    /// Gives a row the windows of this boot. Without a direct one, nothing calls the kernel directly.
    fn place(&self, descriptor: &mut Descriptor) {
        let roles = descriptor.windows.map(|window| {
            window.and_then(|window| ROLES.iter().find(|(known, _)| *known == Some(window))).map(|(_, role)| *role)
        });
        let mut windows = roles.iter().flatten().flat_map(|role| self.windows(*role)).flatten();
        descriptor.windows = [(); MAX_WINDOWS].map(|()| windows.next());
        descriptor.is_anchored &= self.boxes.direct.is_some();
    }

    /// The windows of a role, the longer first.
    fn windows(&self, role: Role) -> [Option<Extent>; 2] {
        match role {
            Role::Direct => self.boxes.direct.map_or([None; 2], |direct| around(direct, self.kernel)),
            Role::Plt => self.boxes.plt.map_or([None; 2], |plt| around(plt, self.kernel)),
            Role::Vmalloc => [self.vmalloc(), None],
        }
    }

    /// What lies above the kernel and the boxes around it.
    fn vmalloc(&self) -> Option<Extent> {
        let occupied = [Some(self.kernel), self.boxes.direct, self.boxes.plt];
        let start = occupied.into_iter().flatten().map(Extent::last).max()?.checked_add(1)?;
        Extent::between(start, generated::WINDOW_VMALLOC?.end())
    }
}

/// The two parts of a box that the kernel does not take, the longer first.
fn around(whole: Extent, kernel: Extent) -> [Option<Extent>; 2] {
    let below = Extent::between(whole.start(), kernel.start().into());
    let above = kernel.last().checked_add(1).and_then(|start| Extent::between(start, whole.end()));
    let len = |part: Option<Extent>| part.map_or(0, Extent::len);
    if len(below) >= len(above) { [below, above] } else { [above, below] }
}

#[cfg(test)]
mod tests {
    use execmem_types::Kind;
    use quickcheck::quickcheck;

    use super::*;

    fn kernel(place: u64, mib: u64) -> Extent {
        let start = 0xffff_8800_0000_0000 + place % (1 << 45) / 0x1_0000 * 0x1_0000;
        Extent::new(start, (1 + mib % 100) << 20).expect("an image")
    }

    quickcheck! {
        fn every_boot_keeps_every_rule_and_leaves_the_kernel_alone(place: u64, mib: u64, seeds: (u64, u64)) -> bool {
            generated::TABLES.iter().all(|named| {
                let kernel = kernel(place, mib);
                let boxes = Boxes::random(kernel, named.table.machine().page(), [seeds.0, seeds.1]);
                let table = Boot { kernel, boxes }.apply(named.table).expect("every rule");
                let text = table.descriptor(Kind::Text);
                let windows = || Kind::ALL.into_iter().flat_map(|kind| table.descriptor(kind).windows().collect::<Windows>());
                text.is_anchored
                    && table.machine().connects(kernel, text.windows[0].expect("near"))
                    && windows().all(|window| !window.overlaps(kernel))
            })
        }

        fn without_a_small_box_nothing_is_near(place: u64, mib: u64, seed: u64) -> bool {
            let kernel = kernel(place, mib);
            let boxes = Boxes::random_full(kernel, generated::MACHINE_ARM64_4K.page(), seed);
            let table = Boot { kernel, boxes }.apply(generated::ARM64_4K).expect("every rule");
            !table.descriptor(Kind::Text).is_anchored
        }
    }

    /// Up to [`MAX_WINDOWS`], collected.
    struct Windows([Option<Extent>; MAX_WINDOWS]);

    impl FromIterator<Extent> for Windows {
        fn from_iter<I: IntoIterator<Item = Extent>>(windows: I) -> Self {
            let mut windows = windows.into_iter();
            Windows([(); MAX_WINDOWS].map(|()| windows.next()))
        }
    }

    impl IntoIterator for Windows {
        type Item = Extent;
        type IntoIter = core::iter::Flatten<core::array::IntoIter<Option<Extent>, MAX_WINDOWS>>;

        fn into_iter(self) -> Self::IntoIter {
            self.0.into_iter().flatten()
        }
    }

    #[test]
    fn without_kaslr_the_tables_are_as_they_are_written() {
        for named in generated::TABLES {
            let kernel = named.table.machine().anchor.expect("a kernel");
            let boxes = Boxes::fixed(kernel);
            let table = Boot { kernel, boxes }.apply(named.table).expect("every rule");
            for kind in [Kind::Text, Kind::Data] {
                assert_eq!(table.descriptor(kind).windows, named.table.descriptor(kind).windows, "{}", named.name);
            }
        }
    }
}
