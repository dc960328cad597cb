//! A few instructions of each machine, executed as its manual says: an opinion on encodings that owes nothing to the
//! templates that made them.

/// Where the processor is, and what it has in the registers that veneers use.
struct Processor<'f> {
    fetch: &'f dyn Fn(u64, usize) -> Option<Vec<u8>>,
    pc: u64,
    /// The register that holds the target, and what powerpc has beside it.
    register: u64,
    count: u64,
}

/// Most instructions between a branch and its target.
const MAX_STEPS: usize = 16;

/// Follows branches from `pc` until there are no instructions. Returns where that is.
pub(crate) fn follow(arch: &str, pc: u64, fetch: &dyn Fn(u64, usize) -> Option<Vec<u8>>) -> Option<u64> {
    let mut processor = Processor { fetch, pc, register: 0, count: 0 };
    for _ in 0..MAX_STEPS {
        if fetch(processor.pc, 1).is_none() {
            return Some(processor.pc);
        }
        processor.step(arch)?;
    }
    None
}

const fn sign(value: u64, bits: u32) -> u64 {
    ((value << (64 - bits)).cast_signed() >> (64 - bits)).cast_unsigned()
}

impl Processor<'_> {
    fn step(&mut self, arch: &str) -> Option<()> {
        match arch {
            "x86" | "x86-32" => self.x86(arch == "x86"),
            "arm64-4k" | "arm64-16k" | "arm64-64k" => self.arm64(),
            "powerpc-8xx" | "powerpc-8xx-16k" | "powerpc-book3s32" => self.powerpc(),
            "riscv64" => self.riscv(),
            "arm" => self.arm(),
            "loongarch" | "loongarch-4k" => self.loongarch(),
            "mips" => self.mips(),
            "s390" => self.s390(),
            "sparc64" => self.sparc(),
            "nios2" => self.nios2(),
            _ => None,
        }
    }

    fn bytes<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        (self.fetch)(address, N)?.try_into().ok()
    }

    fn little(&self) -> Option<u64> {
        self.bytes(self.pc).map(u32::from_le_bytes).map(u64::from)
    }

    fn big(&self) -> Option<u64> {
        self.bytes(self.pc).map(u32::from_be_bytes).map(u64::from)
    }

    fn x86(&mut self, is_64: bool) -> Option<()> {
        let [opcode] = self.bytes(self.pc)?;
        match opcode {
            0xe8 | 0xe9 => {
                let displacement = i64::from(i32::from_le_bytes(self.bytes(self.pc + 1)?));
                self.pc = self.pc.wrapping_add(5).wrapping_add_signed(displacement);
                self.pc = if is_64 { self.pc } else { self.pc & 0xffff_ffff };
            }
            0xff if is_64 => {
                let [0x25] = self.bytes(self.pc + 1)? else { return None };
                let displacement = i64::from(i32::from_le_bytes(self.bytes(self.pc + 2)?));
                self.pc = u64::from_le_bytes(self.bytes((self.pc + 6).wrapping_add_signed(displacement))?);
            }
            _ => return None,
        }
        Some(())
    }

    fn arm64(&mut self) -> Option<()> {
        let word = self.little()?;
        let next = self.pc + 4;
        let imm16 = word >> 5 & 0xffff;
        let shift = (word >> 21 & 3) * 16;
        self.pc = match word {
            _ if word & 0x7c00_0000 == 0x1400_0000 => self.pc.wrapping_add(sign(word & 0x3ff_ffff, 26) << 2), // b, bl
            _ if word & 0x9f00_001f == 0x9000_0010 => {
                let pages = (word >> 5 & 0x7_ffff) << 2 | word >> 29 & 3;
                self.register = (self.pc & !0xfff).wrapping_add(sign(pages, 21) << 12); // adrp x16
                next
            }
            _ if word & 0xffc0_03ff == 0x9100_0210 => {
                self.register = self.register.wrapping_add(word >> 10 & 0xfff); // add x16, x16
                next
            }
            _ if word & 0xff80_001f == 0xd280_0010 => {
                self.register = imm16 << shift; // movz x16
                next
            }
            _ if word & 0xff80_001f == 0xf280_0010 => {
                self.register = self.register & !(0xffff << shift) | imm16 << shift; // movk x16
                next
            }
            0xd61f_0200 => self.register, // br x16
            _ => return None,
        };
        Some(())
    }

    fn powerpc(&mut self) -> Option<()> {
        let word = self.big()?;
        let next = self.pc + 4;
        let immediate = sign(word & 0xffff, 16);
        self.pc = match (word >> 26, word) {
            (18, _) if word & 2 == 0 => self.pc.wrapping_add(sign(word & 0x3ff_fffc, 26)) & 0xffff_ffff, // b, bl
            (15, _) if word >> 16 & 0x3ff == 12 << 5 => {
                self.register = immediate << 16 & 0xffff_ffff; // lis r12
                next
            }
            (14, _) if word >> 16 & 0x3ff == 12 << 5 | 12 => {
                self.register = self.register.wrapping_add(immediate) & 0xffff_ffff; // addi r12, r12
                next
            }
            (_, 0x7d89_03a6) => {
                self.count = self.register; // mtctr r12
                next
            }
            (_, 0x4e80_0420) => self.count, // bctr
            _ => return None,
        };
        Some(())
    }

    /// auipc into any register, then what uses it.
    fn riscv(&mut self) -> Option<()> {
        let word = self.little()?;
        let next = self.pc + 4;
        let immediate = sign(word >> 20, 12);
        self.pc = match word & 0x7f {
            0x17 => {
                self.register = self.pc.wrapping_add(sign(word & 0xffff_f000, 32));
                next
            }
            0x67 => self.register.wrapping_add(immediate) & !1,
            0x03 if word >> 12 & 7 == 3 => {
                self.register = u64::from_le_bytes(self.bytes(self.register.wrapping_add(immediate))?);
                next
            }
            _ => return None,
        };
        Some(())
    }

    fn arm(&mut self) -> Option<()> {
        let word = self.little()?;
        self.pc = match word {
            0xe51f_f004 => u32::from_le_bytes(self.bytes(self.pc + 4)?).into(), // ldr pc, [pc, #-4]
            _ if word >> 25 == 0xea >> 1 => {
                self.pc.wrapping_add(8).wrapping_add(sign(word & 0xff_ffff, 24) << 2) & 0xffff_ffff
            }
            _ => return None,
        };
        Some(())
    }

    fn loongarch(&mut self) -> Option<()> {
        let word = self.little()?;
        let next = self.pc + 4;
        let immediate = word >> 5 & 0xf_ffff;
        self.pc = match word >> 25 {
            _ if word >> 27 == 0x50 >> 3 => {
                let words = (word & 0x3ff) << 16 | word >> 10 & 0xffff;
                self.pc.wrapping_add(sign(words, 26) << 2) // b, bl
            }
            0x0a if word & 0x1f == 13 => {
                self.register = sign(immediate << 12, 32); // lu12i.w t1
                next
            }
            0x0b if word & 0x1f == 13 => {
                self.register = self.register & 0xffff_ffff | sign(immediate, 20) << 32; // lu32i.d t1
                next
            }
            _ if word & 0xffc0_03ff == 0x0300_01ad => {
                self.register = self.register & 0xf_ffff_ffff_ffff | (word >> 10 & 0xfff) << 52; // lu52i.d t1, t1
                next
            }
            _ if word & 0xfc00_03ff == 0x4c00_01a0 => self.register.wrapping_add(sign(word >> 10 & 0xffff, 16) << 2),
            _ => return None,
        };
        Some(())
    }

    fn mips(&mut self) -> Option<()> {
        let word = self.big()?;
        let (2 | 3) = word >> 26 else { return None };
        self.pc = self.pc.wrapping_add(4) & !0xfff_ffff | (word & 0x3ff_ffff) << 2; // j, jal
        Some(())
    }

    fn s390(&mut self) -> Option<()> {
        let opcode: [u8; 2] = self.bytes(self.pc)?;
        let ([0xc0, 0xe5] | [0xc0, 0xf4]) = opcode else { return None };
        let halfwords = i64::from(i32::from_be_bytes(self.bytes(self.pc + 2)?));
        self.pc = self.pc.wrapping_add_signed(halfwords * 2); // brasl, brcl
        Some(())
    }

    fn sparc(&mut self) -> Option<()> {
        let word = self.big()?;
        let words = match word >> 30 {
            1 => sign(word & 0x3fff_ffff, 30),                                  // call
            0 if word >> 22 == 0x1080_0000 >> 22 => sign(word & 0x3f_ffff, 22), // ba
            _ => return None,
        };
        self.pc = self.pc.wrapping_add(words << 2);
        Some(())
    }

    fn nios2(&mut self) -> Option<()> {
        let word = self.little()?;
        let (0 | 1) = word & 0x3f else { return None };
        self.pc = self.pc & !0xfff_ffff | (word >> 6) << 2; // call, jmpi
        Some(())
    }
}
