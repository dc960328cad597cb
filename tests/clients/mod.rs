//! The callers on simulated memory: states, accounts, misuse, and refusals at every step.

mod bpf;
mod by_address;
mod ftrace;
mod kprobe;
mod predictors;
mod prog_pack;
mod support;
