//! The callers on real memory: what they place is executed, also while it changes.
#![cfg(target_arch = "x86_64")]
#![expect(unsafe_code, reason = "calls the code it generates")]

mod dispatcher;
mod ebpf;
mod ftrace;
mod kprobe;
mod objects;
mod programs;
mod support;
