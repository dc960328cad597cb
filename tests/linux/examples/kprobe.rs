//! Probes of the crate `kprobe`, whose slots are in the engine's memory: it asks for a page each, and gets 32 bytes.
#![expect(unsafe_code, reason = "reads and copies by address, as the crate does")]
#![allow(clippy::print_stdout, reason = "an example talks to a terminal")]

fn main() {
    #[cfg(target_arch = "x86_64")]
    println!("a breakpoint of the probe leads to {:#x}", probes::probe_a_function());
}

#[cfg(target_arch = "x86_64")]
mod probes {
    use std::ptr::{slice_from_raw_parts, with_exposed_provenance};
    use std::sync::{Arc, OnceLock};

    use execmem::kinds::Kprobe;
    use execmem::sync::{Locking, ThreadLanes};
    use execmem::{Engine, Kind};
    use execmem_clients::by_address::CodeByAddress;
    use execmem_linux::{Linux, Options};
    use kprobe::retprobe::RetprobeInstance;
    use kprobe::{KprobeAuxiliaryOps, ProbeBuilder, ProbeManager, PtRegs};

    type Lock = <ThreadLanes as Locking>::Spin;
    type Code = CodeByAddress<Arc<Engine<Linux>>, Kprobe>;

    /// Slots of the crate, and here the functions that are probed. The crate's trait has no `self`.
    static CODE: OnceLock<(Arc<Engine<Linux>>, Code)> = OnceLock::new();

    fn code() -> &'static (Arc<Engine<Linux>>, Code) {
        CODE.get_or_init(|| {
            let linux = Linux::reserve(&Options::default()).expect("addresses");
            let engine = Arc::new(Engine::new(linux.table().expect("a table"), linux).expect("memory"));
            (Arc::clone(&engine), CodeByAddress::new(engine, 1 << 20))
        })
    }

    /// The longest instruction, and one that the crate may add.
    const SLOT_BYTES: u64 = 32;

    #[derive(Debug)]
    struct Kernel;

    impl KprobeAuxiliaryOps for Kernel {
        fn copy_memory(from: *const u8, to: *mut u8, len: usize, _: Option<i32>) {
            // SAFETY: the crate names that many bytes of code, which can be read.
            let from = unsafe { &*slice_from_raw_parts(from, len) };
            code().1.edit(to.addr() as u64, len, |bytes| bytes.copy_from_slice(from)).expect("a slot");
        }

        fn set_writeable_for_address<F: FnOnce(*mut u8)>(address: usize, len: usize, _: Option<i32>, action: F) {
            code().1.edit(address as u64, len, |bytes| action(bytes.as_mut_ptr())).expect("code of ours");
        }

        fn alloc_kernel_exec_memory() -> *mut u8 {
            let slot = code().1.alloc(SLOT_BYTES).expect("room");
            with_exposed_provenance::<u8>(usize::try_from(slot).expect("an address")).cast_mut()
        }

        fn free_kernel_exec_memory(slot: *mut u8) {
            code().1.free(slot.addr() as u64).expect("a slot");
        }

        fn alloc_user_exec_memory<F: FnOnce(*mut u8)>(_: Option<i32>, _: F) -> *mut u8 {
            std::ptr::null_mut()
        }

        fn free_user_exec_memory(_: Option<i32>, _: *mut u8) {}

        fn insert_kretprobe_instance_to_task(_: RetprobeInstance) {}

        fn pop_kretprobe_instance_from_task() -> RetprobeInstance {
            unreachable!("no return is probed")
        }
    }

    /// mov eax, 42; ret
    const FUNCTION: [u8; 6] = [0xb8, 42, 0, 0, 0, 0xc3];

    fn read(address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        code().0.read_at(address, &mut bytes).expect("live code");
        bytes
    }

    /// Probes a function, does what the handler of the breakpoint does, and ends the probe. Returns where the breakpoint led.
    pub(crate) fn probe_a_function() -> u64 {
        let (engine, slots) = code();
        let function = slots.alloc(FUNCTION.len() as u64).expect("room");
        slots.edit(function, FUNCTION.len(), |bytes| bytes.copy_from_slice(&FUNCTION)).expect("it is not called yet");
        let place = usize::try_from(function).expect("an address");

        let (manager, mut points) = (ProbeManager::<Lock, Kernel>::new(), kprobe::ProbePointList::new());
        let builder = ProbeBuilder::new().with_symbol_addr(place).with_enable(true);
        let probe = kprobe::register_kprobe(&manager, &mut points, builder).expect("it can be probed");
        assert_eq!(read(function, 6), [0xcc, 42, 0, 0, 0, 0xc3], "a breakpoint stands there");

        // SAFETY: registers are numbers.
        let mut registers: PtRegs = unsafe { std::mem::zeroed() };
        registers.rip = place + 1;
        kprobe::kprobe_handler_from_break(&manager, &mut registers).expect("it is its breakpoint");
        let slot = registers.rip as u64;
        assert_eq!(read(slot, 5), FUNCTION[..5], "the slot has the instruction");
        assert_eq!(slot >> 21, function >> 21, "in the same large page");
        assert_eq!(engine.kind_stats(Kind::Kprobe).live, 2);

        kprobe::unregister_kprobe(&manager, &mut points, probe);
        assert_eq!(read(function, 6), FUNCTION, "the instruction is back");
        // SAFETY: it is a whole function that returns a number.
        let answer = unsafe { execmem_linux::call(function, [0; 4]) };
        assert_eq!(answer & 0xffff_ffff, 42);
        slots.free(function).expect("it is ours");
        assert_eq!(engine.kind_stats(Kind::Kprobe).live, 0, "the slot is free");
        slot
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_probe_of_the_crate_has_its_slot_beside_the_function() {
    assert_ne!(probes::probe_a_function(), 0);
}
