//! What may be taken from a process: system calls, rights, files, mappings.

use std::ffi::c_void;

/// Filters of system calls.
pub(crate) mod filter {
    /// What becomes of a call.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum Verdict {
        /// It fails with this number.
        Error(i32),
        /// It ends the process.
        Kill,
    }

    impl Verdict {
        fn action(self) -> u32 {
            match self {
                Verdict::Error(errno) => libc::SECCOMP_RET_ERRNO | u32::try_from(errno).expect("positive"),
                Verdict::Kill => libc::SECCOMP_RET_KILL_PROCESS,
            }
        }
    }

    // Offsets in `struct seccomp_data`: 0 is the number of the call, 16 the first argument.
    const fn statement(code: u16, k: u32) -> libc::sock_filter {
        libc::sock_filter { code, jt: 0, jf: 0, k }
    }
    const fn load(offset: u32) -> libc::sock_filter {
        statement(0x20, offset)
    }
    const fn unless_equal(k: u32, jf: u8) -> libc::sock_filter {
        libc::sock_filter { code: 0x15, jt: 0, jf, k }
    }
    const fn unless_bit(k: u32, jf: u8) -> libc::sock_filter {
        libc::sock_filter { code: 0x45, jt: 0, jf, k }
    }
    const fn answer(k: u32) -> libc::sock_filter {
        statement(0x06, k)
    }

    fn number(call: libc::c_long) -> u32 {
        u32::try_from(call).expect("a small number")
    }

    /// Which of the calls of a system call.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum When {
        /// Every one.
        Always,
        /// Those whose argument of this number has a bit.
        Bit(u32, i32),
        /// Those whose argument of this number is zero.
        Zero(u32),
    }

    /// Refuses a system call.
    pub(crate) fn deny(call: libc::c_long, when: When, verdict: Verdict) {
        let argument = |number| load(16 + 8 * number);
        // With 1, the statement that answers is passed over.
        let condition = match when {
            When::Always => vec![],
            When::Bit(number, bit) => vec![argument(number), unless_bit(u32::try_from(bit).expect("one bit"), 1)],
            When::Zero(number) => vec![argument(number), unless_equal(0, 1)],
        };
        let passed_over = u8::try_from(condition.len()).expect("two") + 1;
        let begin = vec![load(0), unless_equal(number(call), passed_over)];
        let end = vec![answer(verdict.action()), answer(libc::SECCOMP_RET_ALLOW)];
        super::install_filter([begin, condition, end].concat());
    }

    /// Lets the process make these system calls, and kills it for any other.
    pub(crate) fn allow_only(calls: &[libc::c_long]) {
        let mut program = vec![load(0)];
        for call in calls {
            program.extend([unless_equal(number(*call), 1), answer(libc::SECCOMP_RET_ALLOW)]);
        }
        program.push(answer(Verdict::Kill.action()));
        super::install_filter(program);
    }
}

/// Filters the system calls of this process from now on.
fn install_filter(mut program: Vec<libc::sock_filter>) {
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
        // SAFETY: the page lies in what was mapped just now and is known to no other code.
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

/// Lets other processes of the same user look at this one, although it changed its user.
pub(crate) fn stay_visible() {
    // SAFETY: takes no pointers.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) }, 0);
}

/// Lets this process have no large pages from now on; false if the kernel cannot.
pub(crate) fn forbid_large_pages() -> bool {
    // SAFETY: takes no pointers.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0 }
}

/// Gives this process mounts, and a user if it needs one, of its own; false if it may not.
fn leave_namespaces() -> bool {
    // SAFETY: unshare(2) takes no pointers.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    // SAFETY: as above. The process has one thread that matters; the kernel refuses a user namespace to others.
    unshared == 0 || unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) } == 0
}

/// Makes an empty folder the root of this process; false if it may not.
pub(crate) fn enter_empty_root() -> bool {
    let folder = std::env::temp_dir().join(format!("execmem-root-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder");
    let is_there = std::os::unix::fs::chroot(&folder).is_ok() || {
        leave_namespaces() && std::os::unix::fs::chroot(&folder).is_ok()
    };
    if is_there {
        std::env::set_current_dir("/").expect("the new root");
        assert!(!std::path::Path::new("/proc").exists());
    }
    is_there
}

/// Takes `/proc` from this process; false if it may not.
pub(crate) fn hide_proc() -> bool {
    if !leave_namespaces() {
        return false;
    }
    let (none, root) = (std::ptr::null(), c"/".as_ptr());
    // SAFETY: strings that end with zero; what is unmounted from now on is so for this process only.
    let private = unsafe { libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, none.cast::<c_void>()) };
    // SAFETY: a string that ends with zero.
    let hidden = private == 0 && unsafe { libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH) } == 0;
    hidden && !std::path::Path::new("/proc/self").exists()
}

/// Tells the kernel that no memory of a window is needed.
pub(crate) fn forget_everything(window: execmem::Extent) {
    let start = std::ptr::with_exposed_provenance_mut(usize::try_from(window.start()).expect("an address"));
    let len = usize::try_from(window.len()).expect("bytes");
    // SAFETY: memory of a test, to which no reference points; what is only there is lost, which is what it is about.
    assert_eq!(unsafe { libc::madvise(start, len, libc::MADV_DONTNEED) }, 0);
}

/// Locks the memory of this process; false if it may not.
pub(crate) fn lock_all(which: libc::c_int) -> bool {
    // SAFETY: takes no pointers.
    unsafe { libc::mlockall(which) == 0 }
}

/// Reserves every address within reach of a direct call of a program, until this is dropped.
pub(crate) fn occupy_around(program: execmem::Extent) -> Vec<Mappings> {
    const STEP: u64 = 2 << 20;
    let first = program.start().saturating_sub(5 << 30).next_multiple_of(STEP);
    let mut all = Vec::new();
    for address in (first..program.last() + (5 << 30)).step_by(usize::try_from(STEP).expect("2 MiB")) {
        let hint = std::ptr::with_exposed_provenance_mut(usize::try_from(address).expect("an address"));
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
        let bytes = usize::try_from(STEP).expect("2 MiB");
        // SAFETY: replaces nothing.
        let start = unsafe { libc::mmap(hint, bytes, libc::PROT_NONE, flags, -1, 0) };
        if start != libc::MAP_FAILED {
            all.push(Mappings { start, bytes });
        }
    }
    all
}

/// Whether memory of a test could be unmapped, which is not undone.
pub(crate) fn can_unmap(extent: execmem::Extent) -> bool {
    let page = rustix::param::page_size();
    let start = usize::try_from(extent.start()).expect("an address") & !(page - 1);
    // SAFETY: memory of a test, which ends if it can.
    unsafe { libc::munmap(std::ptr::with_exposed_provenance_mut(start), page) == 0 }
}
