//! The loader of modules, and what is done with it.

use std::sync::Arc;

use execmem::{Engine, Kind, KindStats};
use execmem_arch_x86::TABLE;
use execmem_clients::module::{Coming, Loader, Module, Modules, plan};
use execmem_sim::Sim;
use object::elf::{R_X86_64_64, R_X86_64_PLT32};
use object::write::{Object, Relocation, StandardSection, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};

use crate::memory::Exempt;
use crate::scene::{Failure, Heap, Scene};

type Shared = Arc<Engine<Exempt<Sim>>>;

/// Where imports lie: within reach of modules, and out of it.
const NEAR: u64 = 0xffff_ffff_8123_4560;
const FAR: u64 = 0x1234_0000_0000;

/// An operation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    /// And where its import lies.
    Load(u64),
    Finish,
    UnloadComing,
    Unload,
    AddToSet(&'static str),
    RemoveFromSet(&'static str),
    Plan,
}

/// A loader, a set of modules, and one module.
#[derive(Debug)]
pub(crate) struct Loading {
    engine: Shared,
    loader: Loader<Shared>,
    set: Modules<Shared>,
    object: Vec<u8>,
    coming: Option<Coming<Shared>>,
    module: Option<Module<Shared>>,
}

/// Adds a symbol that is defined elsewhere, or not yet.
fn symbol(object: &mut Object<'_>, name: &str) -> SymbolId {
    object.add_symbol(Symbol {
        name: name.into(),
        value: 0,
        size: 0,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Undefined,
        flags: SymbolFlags::None,
    })
}

/// A module with code that calls an import, data that refers to the code, sealed data, and code for its start.
fn object() -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let (text, data) = (object.section_id(StandardSection::Text), object.section_id(StandardSection::Data));
    let sealed = object.add_section(Vec::new(), b".data..ro_after_init".to_vec(), SectionKind::Data);
    let init = object.add_section(Vec::new(), b".init.text".to_vec(), SectionKind::Text);
    let imported = symbol(&mut object, "imported");
    let code = symbol(&mut object, "code");
    object.add_symbol_data(code, text, &[0; 16], 16);
    for (name, section) in [("value", data), ("kept", sealed), ("init_module", init)] {
        let defined = symbol(&mut object, name);
        object.add_symbol_data(defined, section, &[0; 16], 8);
    }
    let relocations = [(text, 4, imported, -4, R_X86_64_PLT32), (data, 8, code, 0, R_X86_64_64)];
    for (section, offset, symbol, addend, r_type) in relocations {
        let flags = RelocationFlags::Elf { r_type };
        object.add_relocation(section, Relocation { offset, symbol, addend, flags }).expect("a relocation");
    }
    object.write().expect("an object")
}

impl Loading {
    /// An engine with a loader, and nothing loaded.
    pub(crate) fn new() -> Self {
        let engine = Arc::new(Engine::new(TABLE, Exempt(Sim::new(TABLE.machine()))).expect("memory"));
        Loading {
            loader: Loader::new(Arc::clone(&engine)).expect("rules"),
            set: Modules::new(Arc::clone(&engine)).expect("rules"),
            object: object(),
            coming: None,
            module: None,
            engine,
        }
    }
}

impl Scene for Loading {
    type Op = Op;
    /// What kinds hold, and modules of the set.
    type Picture = (Vec<(u64, u64)>, usize);

    fn run(&mut self, op: Op) -> Result<(), Failure> {
        match op {
            Op::Load(import) => self.coming = Some(self.loader.load(&self.object, &|_: &str| Some(import))?),
            Op::Finish => self.module = Some(self.coming.take().ok_or(Failure::Missing)?.finish()?),
            Op::UnloadComing => self.coming.take().ok_or(Failure::Missing)?.unload(),
            Op::Unload => self.module.take().ok_or(Failure::Missing)?.unload(),
            Op::AddToSet(name) => self.set.load(name, &self.object, &|_: &str| Some(NEAR), |_| Ok(()))?,
            Op::RemoveFromSet(name) => match self.set.unload(name) {
                // There was no heap to load it.
                Err(execmem_clients::Error::NoSuchModule { .. }) => {}
                outcome => outcome?,
            },
            Op::Plan => drop(plan(&[("a", &self.object)], &|_: &str| Some(NEAR))?),
        }
        Ok(())
    }

    fn heap(op: Op) -> Heap {
        match op {
            Op::UnloadComing | Op::Unload | Op::RemoveFromSet(_) => Heap::Untouched,
            _ => Heap::Needed,
        }
    }

    fn picture(&self) -> Self::Picture {
        let of = |stats: KindStats| (stats.live, stats.bytes_granted);
        (Kind::ALL.iter().map(|kind| of(self.engine.kind_stats(*kind))).collect(), self.set.len())
    }

    fn check(&self) -> Result<(), String> {
        self.engine.audit().map_err(|broken| broken.to_string())
    }

    fn end(self) -> Result<(), String> {
        self.coming.into_iter().for_each(Coming::unload);
        self.module.into_iter().for_each(Module::unload);
        self.set.unload_all();
        self.engine.shrink();
        self.engine.audit().map_err(|broken| broken.to_string())?;
        match self.engine.stats().bytes_mapped() {
            0 => Ok(()),
            bytes => Err(format!("{bytes} bytes stay mapped")),
        }
    }
}

/// A life of modules.
pub(crate) fn script() -> Vec<Op> {
    let mut ops = vec![Op::Plan];
    for import in [NEAR, FAR] {
        ops.extend([Op::Load(import), Op::UnloadComing, Op::Load(import), Op::Finish, Op::Unload]);
    }
    ops.extend([Op::AddToSet("a"), Op::RemoveFromSet("a")]);
    ops
}
