//! The callers on real memory: what they place is executed, also while it changes.

mod dispatcher;
mod ebpf;
mod ftrace;
mod images;
mod kprobe;
mod modules;
mod objects;
mod patching;
mod programs;
mod support;

/// The tests of this folder.
pub(crate) fn tests() -> Vec<skip::Test> {
    let tests = [
        dispatcher::tests(),
        ebpf::tests(),
        ftrace::tests(),
        images::tests(),
        kprobe::tests(),
        modules::tests(),
        patching::tests(),
    ];
    tests.into_iter().flatten().collect()
}
