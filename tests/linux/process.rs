//! Processes made for a test: forked, filtered, or with nothing left to map.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

/// Tells the process that runs the body of a test.
const CHILD: &str = "EXECMEM_TEST_CHILD";

/// Runs the body of the test of this name in a process of its own.
pub(crate) fn in_a_process(test: &str, body: impl FnOnce()) {
    if std::env::var(CHILD).is_ok_and(|child| child == test) {
        return body();
    }
    let program = std::env::current_exe().expect("a test program");
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, test);
    let output = command.output().expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a body in a forked process and returns its exit status, or nothing if a signal ended it.
pub(crate) fn in_child(body: impl FnOnce() -> i32) -> Option<i32> {
    // SAFETY: the child runs the body and ends without returning. Other threads of the test program do not exist in
    // it; it takes no lock that they could hold but those of the allocator, which glibc makes usable after fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let status = catch_unwind(AssertUnwindSafe(body)).unwrap_or(101);
        // SAFETY: ends the process at once, which is what a forked child should do.
        unsafe { libc::_exit(status) };
    }
    assert!(child > 0, "fork: {}", std::io::Error::last_os_error());
    let mut status = 0;
    // SAFETY: waitpid(2) writes one int, which `status` is.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

/// Runs a body in the first process of a new namespace of processes; nothing if there may be none.
pub(crate) fn in_new_namespace(body: impl FnOnce() -> i32) -> Option<i32> {
    // SAFETY: unshare(2) takes no pointers; processes made from now on are in the new namespace.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWPID) };
    if unshared == 0 { in_child(body) } else { None }
}

/// Filters the system calls of this process from now on.
pub(crate) fn install_filter(mut program: Vec<libc::sock_filter>) {
    let filter = libc::sock_fprog { len: u16::try_from(program.len()).expect("a few"), filter: program.as_mut_ptr() };
    // SAFETY: takes no pointers; gives up the right to gain rights, without which filters are for root only.
    let given_up = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(given_up, 0);
    // SAFETY: `filter` points to `len` statements, which live until the call has copied them.
    let installed = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    assert_eq!(installed, 0, "{}", std::io::Error::last_os_error());
}

/// Lets no memory of this process gain the right to execute from now on; false if the kernel cannot.
pub(crate) fn refuse_to_make_executable() -> bool {
    const PR_SET_MDWE: libc::c_int = 65;
    const REFUSE_EXEC_GAIN: libc::c_ulong = 1;
    // SAFETY: takes no pointers.
    unsafe { libc::prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) == 0 }
}

/// Gives up every right of the superuser, if this process has any.
pub(crate) fn become_nobody() {
    const NOBODY: libc::uid_t = 65534;
    // SAFETY: takes no pointers, and changes the user of this process only.
    unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) };
}

/// Mappings that are kept from others until this is dropped.
pub(crate) struct Mappings {
    start: *mut c_void,
    bytes: usize,
}

/// Maps single pages until the process may have no more mappings.
pub(crate) fn use_up_mappings() -> Mappings {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").expect("proc");
    let limit: usize = limit.trim().parse().expect("a number");
    let page = rustix::param::page_size();
    let bytes = (limit + 2) * page;
    // SAFETY: without MAP_FIXED, mmap(2) chooses addresses that nothing uses.
    let start = unsafe {
        libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    assert_ne!(start, libc::MAP_FAILED);
    for number in (0..limit).step_by(2) {
        let at = start.wrapping_byte_add(number * page);
        // SAFETY: the page lies in what was mapped just now and is known to nobody else.
        let changed = unsafe { libc::mprotect(at, page, libc::PROT_READ) };
        if changed != 0 {
            return Mappings { start, bytes };
        }
    }
    panic!("vm.max_map_count does not hold");
}

impl Drop for Mappings {
    fn drop(&mut self) {
        // SAFETY: exactly what `use_up_mappings` mapped, and nothing points into it.
        let unmapped = unsafe { libc::munmap(self.start, self.bytes) };
        assert_eq!(unmapped, 0);
    }
}
