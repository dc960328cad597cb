//! Systems that forbid something: each in a process of its own, which gets a clear error or the documented fall-back.

use execmem::{BackendError, Error, Handle as _, kinds::Data, kinds::Text};
use execmem_linux::{Backing, DataSource, Linux, Options, Publish, SetupError};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::code::{engine, engine_of, install, run};
use crate::process::in_a_process;

fn limit(resource: Resource, bytes: u64) {
    setrlimit(resource, Rlimit { current: Some(bytes), maximum: Some(bytes) }).expect("a lower limit");
}

/// What [`Publish::Poke`] says here.
fn refusal() -> SetupError {
    Linux::reserve(&Options::default().publish(Publish::Poke)).expect_err("no second mapping")
}

/// The default falls back to one mapping, published `like` this, says why, and works.
fn check_fall_back(why: SetupError, like: Publish) {
    let engine = engine(Publish::Best);
    assert_eq!((engine.backend().publish(), engine.backend().refusal()), (like, Some(why)));
    let functions: Vec<_> = (0..50).map(|value| install(&engine, value, 64)).collect();
    for (value, function) in (0..).zip(functions) {
        assert_eq!(run(&function), value);
        engine.free(function).expect("ours");
    }
}

#[test]
fn a_limit_of_file_sizes_kills_nobody() {
    in_a_process("limits::a_limit_of_file_sizes_kills_nobody", || {
        limit(Resource::Fsize, 1 << 20);
        let why = SetupError::FileSizeLimit { limit: 1 << 20, bytes: 1 << 30 };
        assert_eq!(refusal(), why);
        assert!(why.to_string().contains("RLIMIT_FSIZE"));
        check_fall_back(why, Publish::ProcMem);
    });
}

#[test]
fn where_nothing_can_be_mapped_twice_proc_mem_packs_text() {
    in_a_process("limits::where_nothing_can_be_mapped_twice_proc_mem_packs_text", || {
        limit(Resource::Fsize, 1 << 20);
        filter::deny(libc::SYS_memfd_create, None, libc::EPERM);
        let engine = engine(Publish::ProcMem);
        let functions: Vec<_> = (0..1000).map(|value| install(&engine, value, 64)).collect();
        assert_eq!(engine.stats().bytes_mapped(), 2 << 20, "a large page holds all");
        for (value, function) in (0..).zip(functions) {
            assert_eq!(run(&function), value);
            engine.free(function).expect("ours");
        }
        engine.audit_unused().expect("freed text traps");
    });
}

#[test]
fn a_filter_of_proc_mem_is_an_error() {
    in_a_process("limits::a_filter_of_proc_mem_is_an_error", || {
        let wish = Options::default().publish(Publish::ProcMem);
        let engine = engine_of(&wish);
        let mut draft = engine.alloc::<Text>(64).expect("room");
        filter::deny(libc::SYS_pwrite64, None, libc::EPERM);
        assert_eq!(Linux::reserve(&wish).expect_err("no writes"), SetupError::NoProcMem { errno: libc::EPERM });
        let error = engine.write(&mut draft, 0, &[0x90]).expect_err("no writes");
        let source = BackendError::System { errno: libc::EPERM };
        assert!(matches!(error, Error::Backend { source: found, .. } if found == source), "{error}");
        engine.free(draft).expect("ours");
        let quarantined = engine.stats().pools[0].counters.quarantined_bytes;
        assert_eq!(quarantined, 64, "it cannot be filled with traps, so nobody gets it");
        engine.audit().expect("audit");
    });
}

#[test]
fn a_limit_of_addresses_is_an_error_and_a_smaller_window_works() {
    in_a_process("limits::a_limit_of_addresses_is_an_error_and_a_smaller_window_works", || {
        limit(Resource::As, 512 << 20);
        let error = Linux::reserve(&Options::default()).expect_err("no addresses");
        assert!(matches!(error, SetupError::NoAddresses { bytes: 0x4000_0000, .. }), "{error}");
        let engine = engine_of(&Options::default().window(64 << 20));
        assert_eq!(run(&install(&engine, 42, 64)), 42);
    });
}

#[test]
fn memory_that_runs_out_is_an_error_and_changes_nothing() {
    in_a_process("limits::memory_that_runs_out_is_an_error_and_changes_nothing", || {
        let engine = engine_of(&Options::default().window(64 << 20).publish(Publish::Flip));
        let kept = install(&engine, 42, 64);
        // Private writable memory counts as data (setrlimit(2)); what is reserved does not.
        limit(Resource::Data, 1 << 20);
        let error = engine.alloc::<Data>(8 << 20).expect_err("no memory");
        assert!(matches!(error, Error::Backend { source: BackendError::OutOfMemory { .. }, .. }), "{error}");
        assert_eq!(run(&kept), 42);
        engine.audit().expect("audit");
        engine.free(kept).expect("ours");
    });
}

#[test]
fn a_filter_of_memory_files_makes_it_one_mapping() {
    in_a_process("limits::a_filter_of_memory_files_makes_it_one_mapping", || {
        filter::deny(libc::SYS_memfd_create, None, libc::EPERM);
        let why = refusal();
        assert_eq!(why, SetupError::NoMemoryFile { errno: libc::EPERM });
        check_fall_back(why, Publish::ProcMem);
        filter::deny(libc::SYS_pwrite64, None, libc::EPERM);
        check_fall_back(why, Publish::Flip);
    });
}

#[test]
fn a_filter_of_executable_memory_is_an_error() {
    in_a_process("limits::a_filter_of_executable_memory_is_an_error", || {
        for call in [libc::SYS_mprotect, libc::SYS_mmap] {
            filter::deny(call, Some((2, libc::PROT_EXEC)), libc::EACCES);
        }
        let why = SetupError::NotExecutable { errno: libc::EACCES };
        assert_eq!(refusal(), why);
        assert_eq!(Linux::reserve(&Options::default()).expect_err("no text at all"), why);
    });
}

/// Text is executable from the start where it cannot become so.
fn check_mapped_executable() {
    let engine = engine(Publish::Poke);
    let functions: Vec<_> = (0..50).map(|value| install(&engine, value, 40_000)).collect();
    assert!(functions.iter().zip(0..).all(|(function, value)| run(function) == value));
    let (text, large) = crate::code::text_bytes(&engine);
    assert_eq!((text, large), (2 << 20, 2 << 20), "one large page, and nothing that is writable too");
    functions.into_iter().for_each(|function| engine.free(function).expect("ours"));
    engine.shrink();
    assert_eq!(run(&install(&engine, 7, 64)), 7);
    let error = Linux::reserve(&Options::default().publish(Publish::Flip)).expect_err("nothing may become text");
    assert!(matches!(error, SetupError::NotExecutable { errno: libc::EACCES }), "{error}");
}

#[test]
fn a_filter_of_rights_to_execute_leaves_memory_that_has_them() {
    in_a_process("limits::a_filter_of_rights_to_execute_leaves_memory_that_has_them", || {
        filter::deny(libc::SYS_mprotect, Some((2, libc::PROT_EXEC)), libc::EACCES);
        check_mapped_executable();
    });
}

#[test]
fn a_process_that_may_make_nothing_executable_maps_it_so() {
    in_a_process("limits::a_process_that_may_make_nothing_executable_maps_it_so", || {
        // A kernel before 6.3 has nothing to test.
        if crate::process::refuse_to_make_executable() {
            check_mapped_executable();
        }
    });
}

/// Data that cannot be secret is ordinary, or an error.
fn check_no_secrets(why: SetupError) {
    let wish = |source| Options::default().window(64 << 20).data(source);
    assert_eq!(Linux::reserve(&wish(DataSource::Secret)).expect_err("no such memory"), why);
    let engine = engine_of(&wish(DataSource::SecretOrOrdinary));
    assert_eq!(engine.backend().data(), DataSource::Ordinary);
    let data = engine.alloc::<Data>(64).expect("room");
    assert_ne!(engine.backend().backing(data.address()), Some(Backing::Secret));
    engine.free(data).expect("ours");
}

#[test]
fn a_filter_of_secret_memory_is_an_error_unless_ordinary_will_do() {
    in_a_process("limits::a_filter_of_secret_memory_is_an_error_unless_ordinary_will_do", || {
        const SYS_MEMFD_SECRET: libc::c_long = 447;
        filter::deny(SYS_MEMFD_SECRET, None, libc::ENOSYS);
        check_no_secrets(SetupError::NoSecretMemory { errno: libc::ENOSYS });
    });
}

#[test]
fn a_limit_of_locked_memory_is_told_of_secrets() {
    in_a_process("limits::a_limit_of_locked_memory_is_told_of_secrets", || {
        crate::process::become_nobody();
        limit(Resource::Memlock, 512 << 10);
        let wish = Options::default().window(64 << 20).data(DataSource::Secret);
        // A kernel without such memory has nothing to test.
        let Ok(linux) = Linux::reserve(&wish) else { return };
        let engine = execmem::Engine::new(linux.table().expect("a table"), linux).expect("memory");
        let kept = engine.alloc::<Data>(64).expect("within the limit");
        let error = engine.alloc::<Data>(1 << 20).expect_err("beyond it");
        assert!(matches!(error, Error::Backend { source: BackendError::OutOfMemory { .. }, .. }), "{error}");
        engine.audit().expect("audit");
        engine.free(kept).expect("ours");
        limit(Resource::Memlock, 0);
        let refused = Linux::reserve(&wish).expect_err("not a page");
        assert_eq!(refused, SetupError::NoSecretMemory { errno: libc::EAGAIN });
    });
}

#[test]
fn a_filter_of_node_hints_is_tolerated() {
    in_a_process("limits::a_filter_of_node_hints_is_tolerated", || {
        filter::deny(libc::SYS_mbind, None, libc::EPERM);
        let engine = engine_of(&Options::default().node(0));
        assert_eq!(engine.backend().node(), None);
        assert_eq!(run(&install(&engine, 42, 64)), 42);
    });
}

#[test]
fn a_filter_of_barriers_refuses_patches_only() {
    in_a_process("limits::a_filter_of_barriers_refuses_patches_only", || {
        filter::deny(libc::SYS_membarrier, None, libc::ENOSYS);
        let engine = engine(Publish::Poke);
        let function = install(&engine, 42, 64);
        assert_eq!(run(&function), 42);
        let error = engine.patch(&function, 0, &[0x90]).expect_err("no barrier");
        let source = BackendError::System { errno: libc::ENOSYS };
        assert!(matches!(error, Error::Backend { source: found, .. } if found == source), "{error}");
        assert_eq!(run(&function), 42, "the old bytes are back");
        engine.free(function).expect("ours");
    });
}

#[test]
fn a_kernel_that_forbids_executable_memory_files_does_not_mind() {
    in_a_process("limits::a_kernel_that_forbids_executable_memory_files_does_not_mind", || {
        let strictest = "2";
        // The setting belongs to a namespace of processes, and the next child is the first in it.
        let made = crate::process::in_new_namespace(|| {
            if std::fs::write("/proc/sys/vm/memfd_noexec", strictest).is_err() {
                return 77;
            }
            let engine = engine(Publish::Poke);
            i32::from(run(&install(&engine, 42, 64)) != 42)
        });
        // A kernel before 6.3, or a container without the right to make namespaces, has nothing to test.
        assert!(matches!(made, Some(0 | 77) | None), "{made:?}");
    });
}

#[test]
fn a_process_with_all_mappings_it_may_have_is_told_so() {
    in_a_process("limits::a_process_with_all_mappings_it_may_have_is_told_so", || {
        let engine = engine(Publish::Poke);
        let kept = install(&engine, 42, 64);
        let mappings = crate::process::use_up_mappings();
        // The next block of text joins the first; a block of another kind needs mappings of its own.
        let error = engine.alloc::<Data>(64).expect_err("no mapping");
        let source = BackendError::MappingLimit;
        assert!(matches!(error, Error::Backend { source: found, .. } if found == source), "{error}");
        assert!(error.to_string().contains("vm.max_map_count"));
        assert_eq!(run(&kept), 42);
        engine.audit().expect("audit");
        drop(mappings);
        let data = engine.alloc::<Data>(64).expect("mappings again");
        assert!(data.extent().len() >= 64);
        engine.free(data).expect("ours");
        engine.free(kept).expect("ours");
    });
}

/// Filters of system calls.
mod filter {
    /// Makes a system call fail, or only those whose argument of that number has a bit.
    pub(super) fn deny(call: libc::c_long, with: Option<(u32, i32)>, errno: i32) {
        let call = u32::try_from(call).expect("a small number");
        let errno = libc::SECCOMP_RET_ERRNO | u32::try_from(errno).expect("positive");
        // Offsets in `struct seccomp_data`: 0 is the number of the call, 16 the first argument.
        let statement = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
        let load = |offset| statement(0x20, offset);
        let unless_equal = |k, jf| libc::sock_filter { code: 0x15, jt: 0, jf, k };
        let unless_bit = |k, jf| libc::sock_filter { code: 0x45, jt: 0, jf, k };
        let verdict = |k| statement(0x06, k);
        let program = match with {
            None => vec![load(0), unless_equal(call, 1), verdict(errno), verdict(libc::SECCOMP_RET_ALLOW)],
            Some((argument, bit)) => {
                let bit = u32::try_from(bit).expect("one bit");
                let argument = load(16 + 8 * argument);
                let allow = verdict(libc::SECCOMP_RET_ALLOW);
                vec![load(0), unless_equal(call, 3), argument, unless_bit(bit, 1), verdict(errno), allow]
            }
        };
        crate::process::install_filter(program);
    }
}
