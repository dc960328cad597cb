//! Which kind of memory a section goes to: by its flags and its name, as Linux decides it.

use execmem::KnownKind as _;
use object::elf::{SHF_EXECINSTR, SHF_WRITE};

use super::object_file::Section;
use super::per_cpu;
use crate::ModuleKinds;

/// Sections that are read-only once the module is initialised, though their flags say writable.
const READ_ONLY_AFTER_INIT: [&str; 3] = [".data..ro_after_init", "__jump_table", ".static_call_sites"];

/// Sections that are read while loading and then not kept, though their flags say otherwise.
const NOT_KEPT: [&str; 2] = [".modinfo", "__versions"];

/// How the names of sections start that go when the module is initialised.
const INIT: &str = ".init";

/// The kind of a section, `None` if it is not loaded.
///
/// Source: kernel/module/main.c, `__layout_sections` and `rewrite_section_headers`.
pub(super) fn kind_of<S: ModuleKinds>(section: &Section<'_>) -> Option<S> {
    if !section.is_loaded() || is_per_cpu(section) || NOT_KEPT.iter().any(|name| section.name.starts_with(name)) {
        return None;
    }
    let has = |flag: u32| section.flags & u64::from(flag) != 0;
    let is_init = section.name.starts_with(INIT);
    let kinds = match (has(SHF_EXECINSTR), has(SHF_WRITE)) {
        (true, _) => [S::Text::KIND, S::InitText::KIND],
        (false, false) => [S::RoData::KIND, S::InitRoData::KIND],
        // Initialisation data is gone before it would be sealed.
        (false, true) if READ_ONLY_AFTER_INIT.contains(&section.name) => [S::RoAfterInit::KIND, S::InitData::KIND],
        (false, true) => [S::Data::KIND, S::InitData::KIND],
    };
    Some(kinds[usize::from(is_init)])
}

/// Whether a section is ordinary memory for as long as its module is loaded.
pub(super) fn stays(section: &Section<'_>) -> bool {
    !section.name.starts_with(INIT) && !is_per_cpu(section)
}

/// Whether each processor has its own copy of a section.
pub(super) fn is_per_cpu(section: &Section<'_>) -> bool {
    section.is_loaded() && section.name.starts_with(per_cpu::PREFIX)
}

#[cfg(test)]
mod tests {
    use execmem::Kind;

    use super::*;

    fn check(name: &'static str, flags: u32, want: Option<Kind>) {
        let flags = u64::from(flags);
        assert_eq!(kind_of(&Section { name, flags, len: 1, align: 1, data: &[] }), want, "{name}");
    }

    #[test]
    fn sections_go_where_linux_puts_them() {
        const ALLOC: u32 = object::elf::SHF_ALLOC;
        check(".text", ALLOC | SHF_EXECINSTR, Some(Kind::Text));
        check(".text.unlikely", ALLOC | SHF_EXECINSTR, Some(Kind::Text));
        check(".init.text", ALLOC | SHF_EXECINSTR, Some(Kind::InitText));
        check(".exit.text", ALLOC | SHF_EXECINSTR, Some(Kind::Text));
        check(".rodata.str1.8", ALLOC, Some(Kind::RoData));
        check(".init.rodata", ALLOC, Some(Kind::InitRoData));
        check(".data", ALLOC | SHF_WRITE, Some(Kind::Data));
        check(".bss", ALLOC | SHF_WRITE, Some(Kind::Data));
        check(".init.data", ALLOC | SHF_WRITE, Some(Kind::InitData));
        check(".data..ro_after_init", ALLOC | SHF_WRITE, Some(Kind::RoAfterInit));
        check(".static_call_sites", ALLOC | SHF_WRITE, Some(Kind::RoAfterInit));
        check(".altinstructions", ALLOC, Some(Kind::RoData));
        check(".altinstr_replacement", ALLOC | SHF_EXECINSTR, Some(Kind::Text));
        check("__bug_table", ALLOC | SHF_WRITE, Some(Kind::Data));
        check(".note.gnu.build-id", ALLOC, Some(Kind::RoData));
        check("__jump_table", ALLOC | SHF_WRITE, Some(Kind::RoAfterInit));
        check(".modinfo", ALLOC, None);
        check("__versions", ALLOC, None);
        check(".data..percpu", ALLOC | SHF_WRITE, None);
        check(".comment", 0, None);
        check(".symtab", 0, None);
    }
}
