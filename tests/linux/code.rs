//! Functions of the machine this runs on, and engines to put them in.

use execmem::{Engine, Kind, Live, kinds::Text};
use execmem_linux::{Linux, Options, Publish, call};

/// Every way to publish. Emulators of processes have no `/proc/self/mem` of what they emulate.
pub(crate) fn ways() -> impl Iterator<Item = Publish> {
    let on_machines = cfg!(target_arch = "x86_64").then_some(Publish::ProcMem);
    [Publish::Poke, Publish::Flip].into_iter().chain(on_machines)
}

/// An engine whose content arrives this way.
pub(crate) fn engine(publish: Publish) -> Engine<Linux> {
    engine_of(&Options::default().publish(publish))
}

/// An engine over a window of these options.
pub(crate) fn engine_of(options: &Options) -> Engine<Linux> {
    let linux = Linux::reserve(options).expect("executable memory");
    let table = linux.table().expect("a table");
    Engine::new(table, linux).expect("memory")
}

/// A function that returns a value.
#[cfg(target_arch = "x86_64")]
fn returns(value: u32) -> Vec<u8> {
    // mov eax, value; ret
    [&[0xb8], &value.to_le_bytes()[..], &[0xc3]].concat()
}

/// A function that returns a value.
#[cfg(target_arch = "aarch64")]
fn returns(value: u32) -> Vec<u8> {
    // movz w0, low; movk w0, high, lsl 16; ret
    [0x5280_0000 | (value & 0xffff) << 5, 0x72a0_0000 | (value >> 16) << 5, 0xd65f_03c0_u32]
        .map(u32::to_le_bytes)
        .concat()
}

/// A function that returns a value.
#[cfg(target_arch = "riscv64")]
fn returns(value: u32) -> Vec<u8> {
    // lui a0, high; addiw a0, a0, low; ret. The low part is signed, so the high part makes up for it.
    let high = value.wrapping_add(0x800) & 0xffff_f000;
    let low = value.wrapping_sub(high) & 0xfff;
    [high | 0x537, low << 20 | 0x5_051b, 0x8067].map(u32::to_le_bytes).concat()
}

/// A function that returns a value.
#[cfg(target_arch = "powerpc")]
fn returns(value: u32) -> Vec<u8> {
    // lis r3, high; ori r3, r3, low; blr
    [0x3c60_0000 | value >> 16, 0x6063_0000 | value & 0xffff, 0x4e80_0020].map(u32::to_be_bytes).concat()
}

/// A function that returns a value, padded with traps to a length in which it still fits.
pub(crate) fn constant(value: u32, len: usize) -> Vec<u8> {
    let mut code = returns(value);
    code.resize(len.max(code.len()), 0);
    code
}

/// Allocates, writes and publishes a function.
pub(crate) fn install(engine: &Engine<Linux>, value: u32, len: usize) -> Live<Text> {
    let code = constant(value, len);
    let mut draft = engine.alloc::<Text>(code.len() as u64).expect("room");
    engine.write(&mut draft, 0, &code).expect("a draft");
    engine.publish(draft).expect("memory")
}

/// Calls a function made by [`install`].
pub(crate) fn run(live: &Live<Text>) -> u32 {
    run_at(live.address())
}

/// The same by address.
pub(crate) fn run_at(address: u64) -> u32 {
    // SAFETY: the memory holds a function of [`constant`], is published, and is not freed meanwhile.
    let value = unsafe { call(address, [0; 4]) };
    u32::try_from(value & 0xffff_ffff).expect("32 bits")
}

/// The byte at an address.
#[cfg(target_arch = "x86_64")]
pub(crate) fn byte_at(address: u64) -> u8 {
    let pointer = std::ptr::with_exposed_provenance::<u8>(usize::try_from(address).expect("an address"));
    // SAFETY: memory of a test, which lives; where it does not, the test is about the fault.
    unsafe { pointer.read_volatile() }
}

/// Stores a byte at an address.
#[cfg(target_arch = "x86_64")]
pub(crate) fn store_byte(address: u64, byte: u8) {
    let pointer = std::ptr::with_exposed_provenance_mut::<u8>(usize::try_from(address).expect("an address"));
    // SAFETY: as in `byte_at`; no reference points to it.
    unsafe { pointer.write_volatile(byte) }
}

/// The word before an entry point that has at least 16 bytes of its own there.
#[cfg(target_arch = "x86_64")]
pub(crate) fn word_before(entry: u64) -> u32 {
    let pointer = std::ptr::with_exposed_provenance::<u32>(usize::try_from(entry - 4).expect("an address"));
    // SAFETY: readable as long as the function is published, as the caller says, and no thread writes it.
    unsafe { pointer.read() }
}

/// Bytes of text, and those of them in large pages, as the kernel sees it; nothing is writable and executable.
pub(crate) fn text_bytes(engine: &Engine<Linux>) -> (u64, u64) {
    let window = engine.facts().window();
    let areas = execmem_linux::proc::areas().expect("proc");
    let ours = || areas.iter().filter(|area| window.overlaps(area.extent));
    assert!(ours().all(|area| !(area.is_writable && area.is_executable)));
    let text = || ours().filter(|area| area.is_executable);
    (text().map(|area| area.extent.len()).sum(), text().map(|area| area.large_bytes).sum())
}

/// Kinds whose content is data.
pub(crate) const DATA: [Kind; 3] = [Kind::Data, Kind::RoData, Kind::RoAfterInit];
