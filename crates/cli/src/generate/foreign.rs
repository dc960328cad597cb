//! Code and objects of machines whose code is placed here and not executed: rows.

use execmem_types::{ByteOrder, Isa};
use object::elf;
use object::write::{SectionKind, StandardSection};
use object::{Architecture, Endianness};

use super::{IMPORTED, ModuleWriter, SymbolId};

/// Instructions of a machine, one word each.
#[derive(Debug)]
pub(crate) struct Foreign {
    isa: Isa,
    architecture: Architecture,
    order: ByteOrder,
    /// What stands in front of the site of a traced function.
    before_site: &'static [u32],
    /// Adds to the first argument; may be probed.
    add: u32,
    /// Returns.
    ret: u32,
    /// Takes the address of a counter and goes on to an imported function.
    answer: &'static [u32],
    /// Where the addresses stand in that: offset, symbol, relocation.
    places: &'static [(u64, Named, u32)],
    /// The relocation of an address in data.
    address: u32,
}

/// What the code of a module refers to.
#[derive(Debug, Clone, Copy)]
enum Named {
    Counter,
    Imported,
    Answer,
}

const ROWS: &[Foreign] = &[
    Foreign {
        isa: Isa::Arm64,
        architecture: Architecture::Aarch64,
        order: ByteOrder::Little,
        before_site: &[0xaa1e_03e9],                      // mov x9, x30
        add: 0x1100_1c00,                                 // add w0, w0, 7
        ret: 0xd65f_03c0,                                 // ret
        answer: &[0x9000_0000, 0x9100_0000, 0x1400_0000], // adrp x0; add x0, x0; b
        places: &[
            (0, Named::Counter, elf::R_AARCH64_ADR_PREL_PG_HI21),
            (4, Named::Counter, elf::R_AARCH64_ADD_ABS_LO12_NC),
            (8, Named::Imported, elf::R_AARCH64_JUMP26),
        ],
        address: elf::R_AARCH64_ABS64,
    },
    Foreign {
        isa: Isa::Riscv64,
        architecture: Architecture::Riscv64,
        order: ByteOrder::Little,
        before_site: &[],
        add: 0x0075_051b,                                              // addiw a0, a0, 7
        ret: 0x0000_8067,                                              // ret
        answer: &[0x0000_0517, 0x0005_0513, 0x0000_0317, 0x0003_0067], // auipc a0; addi a0, a0; tail
        places: &[
            (0, Named::Counter, elf::R_RISCV_PCREL_HI20),
            (4, Named::Answer, elf::R_RISCV_PCREL_LO12_I),
            (8, Named::Imported, elf::R_RISCV_CALL_PLT),
        ],
        address: elf::R_RISCV_64,
    },
    Foreign {
        isa: Isa::Powerpc32,
        architecture: Architecture::PowerPc,
        order: ByteOrder::Big,
        before_site: &[0x7c08_02a6],                      // mflr r0
        add: 0x3863_0007,                                 // addi r3, r3, 7
        ret: 0x4e80_0020,                                 // blr
        answer: &[0x3c60_0000, 0x3863_0000, 0x4800_0000], // lis r3; addi r3, r3; b
        places: &[
            (2, Named::Counter, elf::R_PPC_ADDR16_HA),
            (6, Named::Counter, elf::R_PPC_ADDR16_LO),
            (8, Named::Imported, elf::R_PPC_REL24),
        ],
        address: elf::R_PPC_ADDR32,
    },
];

impl Foreign {
    /// The row of an instruction set, `None` if there is none.
    pub(crate) fn of(isa: Isa) -> Option<&'static Self> {
        ROWS.iter().find(|row| row.isa == isa)
    }

    fn bytes(&self, words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| self.order.bytes_of(*word)).collect()
    }

    /// A function that returns.
    pub(crate) fn returning(&self) -> Vec<u8> {
        self.bytes(&[self.ret])
    }

    /// A function whose first instruction may be probed, and a number behind it.
    pub(crate) fn probed(&self, number: u32) -> Vec<u8> {
        self.bytes(&[self.add, self.ret, number])
    }

    /// A function with a site, a number behind it, and where the site is.
    pub(crate) fn traced(&self, nop: &[u8], number: u32) -> (Vec<u8>, u64) {
        let before = self.bytes(self.before_site);
        let site = before.len() as u64;
        ([&*before, nop, &self.probed(number)].concat(), site)
    }

    /// A relocatable module like that of [`super::module`].
    pub(crate) fn module(&self, number: u32) -> Result<Vec<u8>, object::write::Error> {
        let endianness = if self.order == ByteOrder::Big { Endianness::Big } else { Endianness::Little };
        let mut module = ModuleWriter::of(self.architecture, endianness);
        let section = |module: &mut ModuleWriter, section| module.object.section_id(section);
        let [text, rodata, data] = [StandardSection::Text, StandardSection::ReadOnlyData, StandardSection::Data]
            .map(|standard| section(&mut module, standard));
        let sealed = module.object.add_section(Vec::new(), b".data..ro_after_init".to_vec(), SectionKind::Data);
        let init = module.object.add_section(Vec::new(), b".init.text".to_vec(), SectionKind::Text);
        module.define("constant", rodata, &self.bytes(&[number]));
        module.define("kept", sealed, &[0; 4]);
        let counter = module.define("counter", data, &[0; 8]);
        let pointer = module.define("pointer", data, &[0; 8]);
        let imported = module.import(IMPORTED);
        let answer = module.define("answer", text, &self.bytes(self.answer));
        for (offset, named, number) in self.places {
            let symbol: SymbolId = match named {
                Named::Counter => counter,
                Named::Imported => imported,
                Named::Answer => answer,
            };
            module.relocate(text, answer, *offset, symbol, *number)?;
        }
        module.relocate(data, pointer, 0, answer, self.address)?;
        for (name, section) in [("through_pointer", text), ("init_module", init), ("cleanup_module", text)] {
            module.define(name, section, &self.returning());
        }
        module.object.write()
    }
}
