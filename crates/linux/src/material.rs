//! What memory is made of: a row for each class of memory.

use execmem_types::{Mapping, Trap};

use crate::file::Guard;

/// What the memory of a block is made of. Reported by [`Facts::backing`](crate::Facts::backing).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backing {
    /// Pages of the smallest size, at least so far.
    Small,
    /// 2 MiB pages of the pool that the administrator reserved (hugetlb).
    Reserved,
    /// 2 MiB pages that the kernel made at once (`MADV_COLLAPSE`).
    Collapsed,
    /// 2 MiB pages that the kernel was asked for and may give now, later or never: it is too old to do it at once.
    Advised,
    /// Small pages that the kernel has no mapping of (`memfd_secret`).
    Secret,
}

impl Backing {
    pub(crate) const ALL: [Backing; 5] =
        [Backing::Small, Backing::Reserved, Backing::Collapsed, Backing::Advised, Backing::Secret];
}

/// What memory is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Material {
    /// A memory file, mapped twice: at home without the right to write, and where it is written.
    File,
    /// The same, of memory that the kernel has no mapping of.
    SecretFile,
    /// Memory of this process alone, mapped once. Where the process may not write, the kernel does.
    Private,
    /// Memory that the kernel has no mapping of, mapped once.
    Secret,
}

/// What a window can make memory of, and what its options say. Decided when it is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means {
    /// How the executable view of memory files is guarded, if there can be memory files.
    pub(crate) guard: Option<Guard>,
    /// Where memory files are forbidden after all, the kernel may write instead.
    pub(crate) may_fall_back: bool,
    /// Data is in memory that the kernel has no mapping of.
    pub(crate) hides_data: bool,
    /// The writable view has no rights but during a write.
    pub(crate) hides_views: bool,
    /// The reserved pool is used while it has pages.
    pub(crate) uses_pool: bool,
    /// Units are in large pages from their start.
    pub(crate) starts_large: bool,
    /// Where memory should come from.
    pub(crate) node: Option<u32>,
}

/// A class of memory and what it is made of. The first row that fits counts.
struct Row {
    /// The process may store to it at home, now or later.
    is_stored: Option<bool>,
    /// It is data that should be hidden from the kernel.
    is_hidden: Option<bool>,
    /// There can be memory files.
    has_files: Option<bool>,
    material: Material,
}

const ROWS: [Row; 5] = [
    Row { is_stored: Some(true), is_hidden: Some(true), has_files: None, material: Material::Secret },
    Row { is_stored: Some(true), is_hidden: Some(false), has_files: None, material: Material::Private },
    Row { is_stored: Some(false), is_hidden: Some(true), has_files: Some(true), material: Material::SecretFile },
    Row { is_stored: Some(false), is_hidden: Some(false), has_files: Some(true), material: Material::File },
    Row { is_stored: Some(false), is_hidden: None, has_files: Some(false), material: Material::Private },
];

impl Means {
    /// What the memory of a mapping is made of.
    pub(crate) fn material(&self, mapping: &Mapping) -> Material {
        let is_data = !mapping.protection.is_executable() && mapping.unused == Trap::ZERO;
        let is_stored = mapping.rights.contain(execmem_types::Protection::ReadWrite);
        let fits = |column: Option<bool>, value: bool| column.is_none_or(|column| column == value);
        let row = ROWS.iter().find(|row| {
            fits(row.is_stored, is_stored)
                && fits(row.is_hidden, is_data && self.hides_data)
                && fits(row.has_files, self.guard.is_some())
        });
        row.map_or(Material::Private, |row| row.material)
    }
}

#[cfg(test)]
mod tests {
    use execmem_types::{Extent, PageSize, Protection};

    use super::*;

    #[test]
    fn every_class_has_a_material_under_all_means() {
        let extent = Extent::new(0, 4096).expect("a page");
        let mapping = |protection| Mapping::new(extent, PageSize::kib(4), protection, Trap::ZERO);
        let code = Mapping { unused: Trap::byte(0xcc), ..mapping(Protection::ReadExecute) };
        let sealed = mapping(Protection::ReadWrite).becoming(Protection::ReadOnly);
        let flipped = Mapping { unused: code.unused, ..sealed.becoming(Protection::ReadExecute) };
        let all = [code, mapping(Protection::ReadOnly), mapping(Protection::ReadWrite), sealed, flipped];
        let made = |guard, hides_data| {
            let means = Means {
                guard,
                may_fall_back: false,
                hides_data,
                hides_views: false,
                uses_pool: false,
                starts_large: false,
                node: None,
            };
            all.map(|mapping| means.material(&mapping))
        };
        use Material::{File, Private, Secret, SecretFile};
        let sealed = Some(Guard::Sealed);
        assert_eq!(made(sealed, false), [File, File, Private, Private, Private]);
        assert_eq!(made(sealed, true), [File, SecretFile, Secret, Secret, Private]);
        assert_eq!(made(None, false), [Private; 5]);
        assert_eq!(made(None, true), [Private, Private, Secret, Secret, Private]);
    }
}
