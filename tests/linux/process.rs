//! Processes made for a test, and what they have.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

/// Tells the process that runs the body of a test.
const CHILD: &str = "EXECMEM_TEST_CHILD";

/// Runs the body of the test of this name in a process of its own.
pub(crate) fn in_a_process(test: &str, body: impl FnOnce()) {
    output_in_a_process(test, body);
}

/// The same, and returns what it printed; nothing in that process itself.
pub(crate) fn output_in_a_process(test: &str, body: impl FnOnce()) -> Option<String> {
    let test = &*format!("linux::{test}");
    if std::env::var(CHILD).is_ok_and(|child| child == test) {
        body();
        return None;
    }
    let program = std::env::current_exe().expect("a test program");
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, test);
    let output = command.output().expect("a process");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    skip::relay(&text);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    Some(text)
}

/// Runs a body in a forked process and returns its exit status, or nothing if a signal ended it.
pub(crate) fn in_child(body: impl FnOnce() -> i32) -> Option<i32> {
    wait_for(start_child(body))
}

/// Starts a body in a forked process, for which [`wait_for`] waits.
pub(crate) fn start_child(body: impl FnOnce() -> i32) -> libc::pid_t {
    // SAFETY: the child runs the body and ends without returning. Other threads of the test program do not exist in
    // it; it takes no lock that they could hold but those of the allocator, which glibc makes usable after fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let status = catch_unwind(AssertUnwindSafe(body)).unwrap_or(101);
        // SAFETY: ends the process at once, which is what a forked child should do.
        unsafe { libc::_exit(status) };
    }
    child
}

/// The same by the bare system call, of which the C library and its handlers know nothing.
pub(crate) fn in_cloned_child(body: impl FnOnce() -> i32) -> Option<i32> {
    // SAFETY: as in `in_child`; without CLONE_VM the child has memory of its own. The test program is idle, so that no
    // lock of the allocator is held, or the child does not use it.
    let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if child == 0 {
        let status = catch_unwind(AssertUnwindSafe(body)).unwrap_or(101);
        // SAFETY: as in `in_child`.
        unsafe { libc::_exit(status) };
    }
    wait_for(libc::pid_t::try_from(child).expect("a process"))
}

/// The exit status of a child, or nothing if a signal ended it.
pub(crate) fn wait_for(child: libc::pid_t) -> Option<i32> {
    assert!(child > 0, "fork: {}", std::io::Error::last_os_error());
    let mut status = 0;
    // SAFETY: waitpid(2) writes one int, which `status` is.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

/// Rights that a test tries to give to memory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rights {
    Write,
    Execute,
}

/// Changes the rights of a page; the error is that of the system.
pub(crate) fn change_rights(page: u64, rights: Rights) -> Result<(), i32> {
    let more = match rights {
        Rights::Write => libc::PROT_WRITE,
        Rights::Execute => libc::PROT_EXEC,
    };
    let page = std::ptr::with_exposed_provenance_mut(usize::try_from(page).expect("an address"));
    // SAFETY: a page of executable memory of a test, to which no reference points.
    let outcome = unsafe { libc::mprotect(page, rustix::param::page_size(), libc::PROT_READ | more) };
    if outcome == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) }
}

/// How many descriptors of this process are memory. Takes no heap: a child may not have a usable one.
pub(crate) fn memory_descriptors() -> usize {
    use std::io::Write as _;
    let is_memory = |number: &u32| {
        let (mut path, mut target) = ([0_u8; 32], [0_u8; 256]);
        write!(&mut path[..31], "/proc/self/fd/{number}").expect("short");
        // SAFETY: `path` ends with zero, and the call writes at most as many bytes as `target` has.
        let len = unsafe { libc::readlink(path.as_ptr().cast(), target.as_mut_ptr().cast(), target.len()) };
        let target = usize::try_from(len).map_or(&[][..], |len| &target[..len]);
        target.starts_with(b"/memfd:") || target.ends_with(b"/mem")
    };
    (3..64).filter(is_memory).count()
}

/// Has the next child be the first of a new namespace of processes. Skips the test where that is forbidden.
pub(crate) fn needs_a_new_namespace() {
    // SAFETY: unshare(2) takes no pointers; processes made from now on are in the new namespace.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWPID) };
    skip::unless(skip::condition(unshared == 0, "no right to make a namespace of processes"));
}

/// Skips the test where the kernel has no memory that it does not map itself.
pub(crate) fn needs_secret_memory() {
    const SYS_MEMFD_SECRET: libc::c_long = 447;
    // SAFETY: memfd_secret(2) takes flags only.
    let file = unsafe { libc::syscall(SYS_MEMFD_SECRET, libc::O_CLOEXEC) };
    skip::unless(skip::condition(file >= 0, "the kernel has no memfd_secret: Linux 5.14, and secretmem.enable"));
    // SAFETY: the file that was opened just now.
    unsafe { libc::close(libc::c_int::try_from(file).expect("a file")) };
}

/// Time that this thread had a processor.
pub(crate) fn processor_time(body: impl FnOnce()) -> Duration {
    let now = || {
        Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime)).expect("after the start")
    };
    let start = now();
    body();
    now() - start
}
