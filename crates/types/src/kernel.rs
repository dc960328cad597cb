//! The kinds of Linux: a set like any other, and the default.

crate::kinds! {
    /// The kinds of Linux: the seven of the sections that a module has, and three callers whose window or protection differs on
    /// some architectures.
    pub enum Kind, types in kinds {
        /// Code of a module, or of a JIT.
        Text: Code = "text",
        /// Writable data.
        Data: Data = "data",
        /// Constants.
        RoData: Constants = "rodata",
        /// Data that is written during initialisation and then [sealed](crate::Seal).
        RoAfterInit: SealedAfterInit = "ro-after-init",
        /// Code that is freed after initialisation.
        InitText: Code = "init-text",
        /// Data that is freed after initialisation.
        InitData: Data = "init-data",
        /// Constants that are freed after initialisation.
        InitRoData: Constants = "init-rodata",
        /// Instruction slots of kprobes.
        Kprobe: Code = "kprobe",
        /// Trampolines of ftrace.
        Ftrace: Code = "ftrace",
        /// BPF programs, their trampolines and dispatchers.
        Bpf: Code = "bpf",
    }
}

impl Kind {
    /// The kinds of a module's sections.
    pub const MODULE: [Kind; 7] =
        [Kind::Text, Kind::Data, Kind::RoData, Kind::RoAfterInit, Kind::InitText, Kind::InitData, Kind::InitRoData];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_at_their_index_and_have_names() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index);
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(Kind::from_name("no such kind"), None);
        assert_eq!(<Kind as crate::KindSet>::from_number(200), None);
    }
}
