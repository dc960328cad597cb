//! Code and objects for the loads: small, checkable, and of any length. x86-64, and [`foreign`] machines.

pub(crate) mod foreign;

use object::elf;
use object::write::{Object, Relocation, SectionId, SectionKind, StandardSection, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, RelocationFlags, SymbolFlags, SymbolKind, SymbolScope};

/// What the last instruction of a [`function`] adds to the result of the first.
const KEY: u32 = 0x5eed_1234;

/// Whether generated code can run in this process.
pub(crate) fn runs_here() -> bool {
    std::env::consts::ARCH == "x86_64"
}

/// The shortest function.
pub(crate) const MIN_BYTES: usize = 16;

/// A function of `len` bytes whose first and last bytes take part in its result.
pub(crate) fn function(tag: u32, len: usize) -> Vec<u8> {
    let len = len.max(MIN_BYTES);
    let mut code = vec![0xb8]; // mov eax, tag
    code.extend(tag.to_le_bytes());
    code.push(0xe9); // jmp tail
    let tail = len - 6;
    let distance = i32::try_from(tail - 10).unwrap_or(0);
    code.extend(distance.to_le_bytes());
    code.resize(tail, 0xcc);
    code.push(0x35); // xor eax, KEY
    code.extend(KEY.to_le_bytes());
    code.push(0xc3); // ret
    code
}

/// What a [`function`] returns.
pub(crate) const fn result_of(tag: u32) -> u32 {
    tag ^ KEY
}

/// `lea eax, [rdi + addend]; ret`
pub(crate) fn adder(addend: u32) -> Vec<u8> {
    let mut code = vec![0x8d, 0x87];
    code.extend(addend.to_le_bytes());
    code.push(0xc3);
    code
}

/// The symbol that modules of ours import.
pub(crate) const IMPORTED: &str = "imported_adder";

/// What a module of ours computes from an argument, given the addend of the function it imports.
pub(crate) const fn module_result(number: u32, argument: u32, addend: u32) -> u32 {
    let data = number.wrapping_mul(3);
    let sealed = number ^ 0xffff;
    data.wrapping_add(number).wrapping_add(sealed).wrapping_add(argument).wrapping_add(addend)
}

/// A relocatable module with sections of six kinds, and every relocation a user-space address can hold.
///
/// - `init_module` stores into `.data` and into data that is read-only afterwards;
/// - `answer(x)` adds both, a constant of `.rodata` and x, and passes the sum to an imported function;
/// - `through_pointer(x)` jumps to `answer` by a pointer in `.data`.
pub(crate) fn module(number: u32) -> Result<Vec<u8>, object::write::Error> {
    let mut module = ModuleWriter::of(Architecture::X86_64, Endianness::Little);
    let rodata = module.object.section_id(StandardSection::ReadOnlyData);
    let data = module.object.section_id(StandardSection::Data);
    let sealed = module.object.add_section(Vec::new(), b".data..ro_after_init".to_vec(), SectionKind::Data);
    let init = module.object.add_section(Vec::new(), b".init.text".to_vec(), SectionKind::Text);
    let text = module.object.section_id(StandardSection::Text);

    let constant = module.define("constant", rodata, &number.to_le_bytes());
    let counter = module.define("counter", data, &[0; 4]);
    let kept = module.define("kept", sealed, &[0; 4]);
    let pointer = module.define("pointer", data, &[0; 8]);
    let imported = module.import(IMPORTED);

    let mut answer = Code::default();
    answer.op(&[0x8b, 0x05]).relative(counter); // mov eax, [rip + counter]
    answer.op(&[0x03, 0x05]).relative(constant); // add eax, [rip + constant]
    answer.op(&[0x03, 0x05]).relative(kept); // add eax, [rip + kept]
    answer.op(&[0x01, 0xc7]); // add edi, eax
    answer.op(&[0xe9]).call(imported); // jmp imported
    let answer = module.function("answer", text, answer)?;
    let mut through = Code::default();
    through.op(&[0xff, 0x25]).relative(pointer); // jmp [rip + pointer]
    module.function("through_pointer", text, through)?;
    module.relocate(data, pointer, 0, answer, elf::R_X86_64_64)?;

    let mut start = Code::default();
    start.op(&[0xc7, 0x05]).relative_before(counter, 4).op(&number.wrapping_mul(3).to_le_bytes());
    start.op(&[0xc7, 0x05]).relative_before(kept, 4).op(&(number ^ 0xffff).to_le_bytes());
    start.op(&[0x31, 0xc0, 0xc3]); // xor eax, eax; ret
    module.function("init_module", init, start)?;
    let mut end = Code::default();
    end.op(&[0x31, 0xc0, 0xc3]);
    module.function("cleanup_module", text, end)?;
    module.object.write()
}

type SymbolId = object::write::SymbolId;

/// Instructions, and the places in them that name symbols.
#[derive(Default)]
struct Code {
    bytes: Vec<u8>,
    /// Offset, symbol, addend, relocation.
    places: Vec<(usize, SymbolId, i64, u32)>,
}

impl Code {
    fn op(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend(bytes);
        self
    }

    fn place(&mut self, symbol: SymbolId, addend: i64, number: u32) -> &mut Self {
        self.places.push((self.bytes.len(), symbol, addend, number));
        self.op(&[0; 4])
    }

    fn relative(&mut self, symbol: SymbolId) -> &mut Self {
        self.place(symbol, -4, elf::R_X86_64_PC32)
    }

    /// A displacement that is followed by `more` bytes of the same instruction.
    fn relative_before(&mut self, symbol: SymbolId, more: i64) -> &mut Self {
        self.place(symbol, -4 - more, elf::R_X86_64_PC32)
    }

    fn call(&mut self, symbol: SymbolId) -> &mut Self {
        self.place(symbol, -4, elf::R_X86_64_PLT32)
    }
}

struct ModuleWriter {
    object: Object<'static>,
}

impl ModuleWriter {
    fn of(architecture: Architecture, endianness: Endianness) -> Self {
        ModuleWriter { object: Object::new(BinaryFormat::Elf, architecture, endianness) }
    }

    fn symbol(&mut self, name: &str, kind: SymbolKind, section: SymbolSection) -> SymbolId {
        self.object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: 0,
            size: 0,
            kind,
            scope: SymbolScope::Dynamic,
            weak: false,
            section,
            flags: SymbolFlags::None,
        })
    }

    fn import(&mut self, name: &str) -> SymbolId {
        self.symbol(name, SymbolKind::Text, SymbolSection::Undefined)
    }

    fn define(&mut self, name: &str, section: SectionId, bytes: &[u8]) -> SymbolId {
        let symbol = self.symbol(name, SymbolKind::Data, SymbolSection::Undefined);
        self.object.add_symbol_data(symbol, section, bytes, 8);
        symbol
    }

    fn function(&mut self, name: &str, section: SectionId, code: Code) -> Result<SymbolId, object::write::Error> {
        let symbol = self.symbol(name, SymbolKind::Text, SymbolSection::Undefined);
        let start = self.object.add_symbol_data(symbol, section, &code.bytes, 16);
        for (offset, symbol, addend, r_type) in code.places {
            let offset = start + offset as u64;
            let flags = RelocationFlags::Elf { r_type };
            self.object.add_relocation(section, Relocation { offset, symbol, addend, flags })?;
        }
        Ok(symbol)
    }

    /// Lets a place behind a symbol refer to another.
    fn relocate(
        &mut self,
        section: SectionId,
        at: SymbolId,
        offset: u64,
        symbol: SymbolId,
        r_type: u32,
    ) -> Result<(), object::write::Error> {
        let offset = self.object.symbol(at).value + offset;
        let flags = RelocationFlags::Elf { r_type };
        self.object.add_relocation(section, Relocation { offset, symbol, addend: 0, flags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_the_length_asked_for() {
        for len in [0, 16, 17, 64, 5000] {
            let code = function(7, len);
            assert_eq!(code.len(), len.max(MIN_BYTES));
            assert_eq!(code.last(), Some(&0xc3));
        }
    }
}
