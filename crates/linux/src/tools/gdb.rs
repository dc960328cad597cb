//! GDB's JIT interface ("JIT Compilation Interface" in its manual): a list of small object files in memory, and a
//! function with a breakpoint on it.
#![expect(unsafe_code, reason = "shares a list with the debugger")]

use std::collections::HashMap;
use std::io;
use std::ptr::{addr_of_mut, null_mut};
use std::sync::{Mutex, PoisonError};

use object::Endianness;
use object::elf;
use object::write::elf::{FileHeader, SectionHeader, Sym, Writer};

use super::{Code, Listener};

/// An element of the list, as the debugger reads it.
#[repr(C)]
struct Entry {
    next: *mut Entry,
    previous: *mut Entry,
    file: *const u8,
    file_len: u64,
}

/// The head of the list, as the debugger reads it.
#[repr(C)]
struct Descriptor {
    version: u32,
    action: u32,
    relevant: *mut Entry,
    first: *mut Entry,
}

const REGISTER: u32 = 1;
const UNREGISTER: u32 = 2;

/// The debugger finds the list by this name.
#[unsafe(no_mangle)]
static mut __jit_debug_descriptor: Descriptor =
    Descriptor { version: 1, action: 0, relevant: null_mut(), first: null_mut() };

/// The debugger stops here and reads the list.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn __jit_debug_register_code() {
    // Something that cannot be optimised away.
    std::hint::black_box(());
}

/// Held while the list changes.
static LIST: Mutex<()> = Mutex::new(());

/// An object file that the debugger knows until this is dropped.
struct Registered {
    entry: Box<Entry>,
    _file: Box<[u8]>,
}

// SAFETY: the pointers are to the list, which is changed under `LIST` only, and to `_file`, which is never written.
unsafe impl Send for Registered {}

impl Registered {
    fn new(file: Vec<u8>) -> Self {
        let file = file.into_boxed_slice();
        let entry = Entry { next: null_mut(), previous: null_mut(), file: file.as_ptr(), file_len: file.len() as u64 };
        let mut registered = Registered { entry: Box::new(entry), _file: file };
        registered.change(REGISTER);
        registered
    }

    /// Adds the entry to the list or takes it out, and tells the debugger.
    fn change(&mut self, action: u32) {
        let _list = LIST.lock().unwrap_or_else(PoisonError::into_inner);
        let entry: *mut Entry = &raw mut *self.entry;
        let descriptor = addr_of_mut!(__jit_debug_descriptor);
        // SAFETY: the list is changed by the thread that holds `LIST`; its entries are boxes that live until they are out of it.
        let list = unsafe { &mut *descriptor };
        if action == REGISTER {
            self.entry.next = list.first;
            list.first = entry;
        } else if self.entry.previous.is_null() {
            list.first = self.entry.next;
        }
        // SAFETY: a neighbour in the list lives, as above.
        if let Some(next) = unsafe { self.entry.next.as_mut() } {
            next.previous = if action == REGISTER { entry } else { self.entry.previous };
        }
        // SAFETY: as above.
        if let Some(previous) = unsafe { self.entry.previous.as_mut() } {
            previous.next = self.entry.next;
        }
        list.relevant = entry;
        list.action = action;
        __jit_debug_register_code();
        list.relevant = null_mut();
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.change(UNREGISTER);
    }
}

/// Tells gdb and lldb the names of functions, as long as they live.
#[derive(Default)]
pub struct Gdb {
    known: Mutex<HashMap<u64, Registered>>,
}

impl Gdb {
    /// A listener that knows no code yet.
    #[must_use]
    pub fn new() -> Self {
        Gdb::default()
    }

    /// The object file that describes a function: no bytes, an address, and a symbol.
    ///
    /// # Errors
    ///
    /// If the file would be too large for its format.
    pub fn object_file(code: &Code<'_>) -> io::Result<Vec<u8>> {
        describe(code).map_err(io::Error::other)
    }
}

impl std::fmt::Debug for Gdb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gdb").finish_non_exhaustive()
    }
}

impl Listener for Gdb {
    fn published(&self, code: &Code<'_>) -> io::Result<()> {
        let registered = Registered::new(Gdb::object_file(code)?);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(code.address, registered);
        Ok(())
    }

    fn freed(&self, address: u64) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
    }
}

fn describe(code: &Code<'_>) -> Result<Vec<u8>, object::write::Error> {
    let (machine, is_wide, endian) = if cfg!(target_arch = "x86_64") {
        (elf::EM_X86_64, true, Endianness::Little)
    } else if cfg!(target_arch = "aarch64") {
        (elf::EM_AARCH64, true, Endianness::Little)
    } else if cfg!(target_arch = "riscv64") {
        (elf::EM_RISCV, true, Endianness::Little)
    } else {
        (elf::EM_PPC, false, Endianness::Big)
    };
    let mut file = Vec::new();
    let mut writer = Writer::new(endian, is_wide, &mut file);
    let len = code.bytes.len() as u64;
    // Everything is reserved in the order in which it is written.
    let text_name = writer.add_section_name(b".text");
    writer.reserve_file_header();
    writer.reserve_null_section_index();
    let text = writer.reserve_section_index();
    let name = writer.add_string(code.name.as_bytes());
    writer.reserve_null_symbol_index();
    writer.reserve_symbol_index(None);
    writer.reserve_symtab_section_index();
    writer.reserve_symtab();
    writer.reserve_strtab_section_index();
    writer.reserve_strtab();
    writer.reserve_shstrtab_section_index();
    writer.reserve_shstrtab();
    writer.reserve_section_headers();
    let header =
        FileHeader { os_abi: 0, abi_version: 0, e_type: elf::ET_EXEC, e_machine: machine, e_entry: 0, e_flags: 0 };
    writer.write_file_header(&header)?;
    writer.write_null_symbol();
    writer.write_symbol(&Sym {
        name: Some(name),
        section: Some(text),
        st_info: (elf::STB_GLOBAL << 4) | elf::STT_FUNC,
        st_other: 0,
        st_shndx: 0,
        st_value: code.address,
        st_size: len,
    });
    writer.write_strtab();
    writer.write_shstrtab();
    writer.write_null_section_header();
    writer.write_section_header(&SectionHeader {
        name: Some(text_name),
        sh_type: elf::SHT_NOBITS,
        sh_flags: (elf::SHF_ALLOC | elf::SHF_EXECINSTR).into(),
        sh_addr: code.address,
        sh_offset: 0,
        sh_size: len,
        sh_link: 0,
        sh_info: 0,
        sh_addralign: 1,
        sh_entsize: 0,
    });
    writer.write_symtab_section_header(1);
    writer.write_strtab_section_header();
    writer.write_shstrtab_section_header();
    Ok(file)
}
