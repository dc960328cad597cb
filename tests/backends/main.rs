//! The laws of backends, stamped on every backend and page size.

use execmem::{Extent, PageSize};
use execmem_arch_x86::MACHINE_X86;
use execmem_linux::{Linux, Options};
use execmem_sim::Sim;
use execmem_tests::backend_suite::Subject;

fn sim(page: PageSize) -> Subject<Sim> {
    let window = Extent::new(0xffff_ffff_c000_0000, 1 << 30).expect("window");
    Subject { backend: Sim::new(&MACHINE_X86), window, page }
}

fn linux(page: PageSize) -> Subject<Linux> {
    let backend = Linux::reserve(&Options::default()).expect("executable memory");
    Subject { window: backend.window(), backend, page }
}

#[test]
fn sim_keeps_the_laws_with_small_pages() {
    sim(PageSize::kib(4)).run();
}

#[test]
fn sim_keeps_the_laws_with_large_pages() {
    sim(PageSize::mib(2)).run();
}

#[test]
fn linux_keeps_the_laws_with_small_pages() {
    let page = PageSize::from_bytes(linux(PageSize::kib(4)).backend.machine().page().bytes()).expect("page");
    linux(page).run();
}

#[test]
fn linux_keeps_the_laws_with_large_pages() {
    linux(PageSize::mib(2)).run();
}
