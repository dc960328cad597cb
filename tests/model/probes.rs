//! Slots of kprobes that come and go at once.

use execmem_clients::kprobe::{Kprobes, SlotFormat};
use loom::sync::Arc;

use crate::memory::engine;
use crate::{search, spawn};

const FORMAT: SlotFormat = SlotFormat { bytes: 16 };
const CODE: u8 = 0xc3;

#[test]
fn a_slot_that_is_taken_while_the_last_one_is_freed_keeps_its_code() {
    search(|| {
        // Clients borrow their engine, and threads of loom own what they use.
        let engine = &*Box::leak(Box::new(engine(1)));
        let probes = Arc::new(Kprobes::new(engine, FORMAT, u64::MAX));
        let last = probes.insert(|_| Ok(vec![0x90])).expect("room");
        let thread = spawn({
            let probes = Arc::clone(&probes);
            move || {
                probes.release(last).expect("used");
                probes.collect(|| ())
            }
        });
        let taken = probes.insert(|_| Ok(vec![CODE])).expect("room");
        assert_eq!(thread.join().expect("no panic"), 1);
        let address = probes.address(taken).expect("used");
        assert_eq!(engine.facts().byte(address), CODE);
        assert!(probes.address(last).is_err() && probes.find(address) == Some(taken));
        engine.audit().expect("audit");
    });
}
