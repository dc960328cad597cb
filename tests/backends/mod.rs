//! The laws of backends, stamped on every backend and page size.

pub(crate) mod sequences;

use execmem::{Describe as _, Extent, PageSize};
use execmem_arch_x86::MACHINE_X86;
use execmem_linux::{Linux, Options, Publish};
use execmem_sim::Sim;
use execmem_tests::backend_suite::Subject;

skip::tests! {
    sim_keeps_the_laws_with_small_pages
    sim_keeps_the_laws_with_large_pages
    linux_keeps_the_laws_with_small_pages
    linux_keeps_the_laws_with_large_pages
    linux_keeps_the_laws_with_one_mapping_and_small_pages
    linux_keeps_the_laws_with_one_mapping_and_large_pages
    linux_keeps_the_laws_with_proc_mem_and_small_pages
    linux_keeps_the_laws_with_proc_mem_and_large_pages
}

fn sim(page: PageSize) -> Subject<Sim> {
    let window = Extent::new(0xffff_ffff_c000_0000, 1 << 30).expect("window");
    Subject { backend: Sim::new(&MACHINE_X86), window, page, can_poke: true }
}

fn linux(publish: Publish, page: PageSize) -> Subject<Linux> {
    let backend = Linux::reserve(&Options::default().publish(publish)).expect("executable memory");
    Subject { window: backend.facts().window(), backend, page, can_poke: publish != Publish::Flip }
}

/// The smallest pages there are here.
fn small() -> PageSize {
    PageSize::from_bytes(linux(Publish::Poke, PageSize::kib(4)).backend.facts().machine().page().bytes()).expect("page")
}

fn sim_keeps_the_laws_with_small_pages() {
    sim(PageSize::kib(4)).run();
}

fn sim_keeps_the_laws_with_large_pages() {
    sim(PageSize::mib(2)).run();
}

fn linux_keeps_the_laws_with_small_pages() {
    linux(Publish::Poke, small()).run();
}

fn linux_keeps_the_laws_with_large_pages() {
    linux(Publish::Poke, PageSize::mib(2)).run();
}

fn linux_keeps_the_laws_with_one_mapping_and_small_pages() {
    linux(Publish::Flip, small()).run();
}

fn linux_keeps_the_laws_with_one_mapping_and_large_pages() {
    linux(Publish::Flip, PageSize::mib(2)).run();
}

fn linux_keeps_the_laws_with_proc_mem_and_small_pages() {
    linux(Publish::ProcMem, small()).run();
}

fn linux_keeps_the_laws_with_proc_mem_and_large_pages() {
    linux(Publish::ProcMem, PageSize::mib(2)).run();
}
