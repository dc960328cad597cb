//! The loader of modules, and what is done with it.

use std::sync::Arc;

use execmem::{Engine, Kind, KindStats};
use execmem_arch_x86::TABLE;
use execmem_clients::module::{Coming, Loader, Module, Modules, plan};
use object::elf::{R_X86_64_64, R_X86_64_PLT32};
use object::write::{Object, Relocation, StandardSection, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};

use crate::memory::Make;
use crate::paint::call;
use crate::scene::{Failure, Heap, Scene, nothing_is_left};

type Shared<B> = Arc<Engine<B>>;

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

impl Op {
    /// What it calls.
    pub(crate) const fn call(self) -> &'static str {
        match self {
            Op::Load(_) => "`Loader::load`",
            Op::Finish => "`Coming::finish_or_unload`",
            Op::UnloadComing => "`Coming::unload`",
            Op::Unload => "`Module::unload`",
            Op::AddToSet(_) => "`Modules::load`",
            Op::RemoveFromSet(_) => "`Modules::unload`",
            Op::Plan => "`plan`",
        }
    }
}

/// A loader, a set of modules, and one module.
#[derive(Debug)]
pub(crate) struct Loading<B: Make> {
    engine: Shared<B>,
    loader: Loader<Shared<B>>,
    set: Modules<Shared<B>>,
    object: Vec<u8>,
    coming: Option<Coming<Shared<B>>>,
    module: Option<Module<Shared<B>>>,
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

/// The build ID of a module: lengths, type, owner, and four bytes.
const BUILD_ID: &[u8] = b"\x04\0\0\0\x04\0\0\0\x03\0\0\0GNU\0mine";

/// A module of a kernel with code that calls an import and is exported, data that refers to the code, sealed data, code for its
/// start, and a build ID.
fn object() -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let (text, data) = (object.section_id(StandardSection::Text), object.section_id(StandardSection::Data));
    let sealed = object.add_section(Vec::new(), b".data..ro_after_init".to_vec(), SectionKind::Data);
    let init = object.add_section(Vec::new(), b".init.text".to_vec(), SectionKind::Text);
    let [id, about] = [(".note.gnu.build-id", SectionKind::Note), (".modinfo", SectionKind::ReadOnlyData)]
        .map(|(name, kind)| object.add_section(Vec::new(), name.into(), kind));
    object.append_section_data(id, BUILD_ID, 4);
    object.append_section_data(about, b"license=GPL\0", 1);
    let imported = symbol(&mut object, "imported");
    let code = symbol(&mut object, "code");
    object.add_symbol_data(code, text, &[0; 16], 16);
    for (name, section) in [("value", data), ("kept", sealed), ("init_module", init), ("__ksymtab_code", data)] {
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

impl<B: Make> Loading<B> {
    /// An engine with a loader, and nothing loaded.
    pub(crate) fn new() -> Self {
        let engine = Arc::new(Engine::new(TABLE, B::make(&TABLE)).expect("memory"));
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

impl<B: Make> Scene for Loading<B> {
    type Op = Op;
    /// What kinds hold, and modules of the set.
    type Picture = (Vec<(u64, u64)>, usize);

    fn run(&mut self, op: Op) -> Result<(), Failure> {
        let (near, data) = (|_: &str| Some(NEAR), &*self.object);
        match op {
            Op::Load(import) => self.coming = Some(call(|| self.loader.load(data, &|_: &str| Some(import)))?),
            Op::Finish => {
                let coming = self.coming.take().ok_or(Failure::Missing)?;
                self.module = Some(call(|| coming.finish_or_unload())?);
            }
            Op::UnloadComing => {
                let coming = self.coming.take().ok_or(Failure::Missing)?;
                call(|| coming.unload());
            }
            Op::Unload => {
                let module = self.module.take().ok_or(Failure::Missing)?;
                call(|| module.unload());
            }
            Op::AddToSet(name) => call(|| self.set.load(name, data, &near, |_| Ok(())))?,
            Op::RemoveFromSet(name) => match call(|| self.set.unload(name)) {
                // There was no heap to load it.
                Err(execmem_clients::Error::NoSuchModule { .. }) => {}
                outcome => outcome?,
            },
            Op::Plan => drop(call(|| plan(&[("a", data)], &near))?),
        }
        Ok(())
    }

    fn heap(op: Op) -> Heap {
        match op {
            Op::Finish | Op::UnloadComing | Op::Unload | Op::RemoveFromSet(_) => Heap::Untouched,
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
        nothing_is_left(&self.engine)
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
