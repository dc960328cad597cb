//! Systems that forbid something: each in a process of its own, which gets a clear error or the documented fall-back.

use execmem::{BackendError, Describe as _, Error, kinds::Data, kinds::Text};
use execmem_linux::{Backing, DataSource, Linux, Options, Publish, SetupError};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::code::{engine, engine_of, install, run, ways};
use super::confine::filter::{self, Verdict, When};
use super::process::in_a_process;

skip::tests! {
    a_limit_of_file_sizes_kills_nobody
    where_nothing_can_be_mapped_twice_proc_mem_packs_text
    a_filter_of_proc_mem_is_an_error
    a_limit_of_addresses_makes_the_window_smaller
    a_limit_of_addresses_that_comes_later_is_an_error_and_ends_nothing
    memory_that_runs_out_is_an_error_and_changes_nothing
    where_nothing_is_overcommitted_reserved_addresses_cost_nothing
    a_filter_of_memory_files_makes_it_one_mapping
    a_filter_of_executable_memory_is_an_error
    a_filter_of_rights_to_execute_leaves_memory_that_has_them
    a_process_that_may_make_nothing_executable_maps_it_so
    a_filter_of_secret_memory_is_an_error_unless_ordinary_will_do
    a_limit_of_locked_memory_is_told_of_secrets
    a_filter_of_node_hints_is_tolerated
    a_filter_of_barriers_refuses_patches_only
    a_kernel_that_forbids_executable_memory_files_does_not_mind
    a_process_with_all_mappings_it_may_have_is_told_so
}

pub(crate) fn limit(resource: Resource, bytes: u64) {
    setrlimit(resource, Rlimit { current: Some(bytes), maximum: Some(bytes) }).expect("a lower limit");
}

/// What [`Publish::Poke`] says here.
fn refusal() -> SetupError {
    Linux::reserve(&Options::default().publish(Publish::Poke)).expect_err("no second mapping")
}

/// The default falls back to one mapping, published `like` this, says why, and works.
fn check_fall_back(why: SetupError, like: Publish) {
    let engine = engine(Publish::Best);
    assert_eq!((engine.facts().publish(), engine.facts().refusal()), (like, Some(why)));
    let functions: Vec<_> = (0..50).map(|value| install(&engine, value, 64)).collect();
    for (value, function) in (0..).zip(functions) {
        assert_eq!(run(&function), value);
        engine.free(function).expect("ours");
    }
}

fn a_limit_of_file_sizes_kills_nobody() {
    in_a_process("limits::a_limit_of_file_sizes_kills_nobody", || {
        limit(Resource::Fsize, 1 << 20);
        let why = SetupError::FileSizeLimit { limit: 1 << 20, bytes: 2 << 20 };
        assert_eq!(refusal(), why);
        assert!(why.to_string().contains("RLIMIT_FSIZE"));
        check_fall_back(why, Publish::ProcMem);
    });
}

fn where_nothing_can_be_mapped_twice_proc_mem_packs_text() {
    in_a_process("limits::where_nothing_can_be_mapped_twice_proc_mem_packs_text", || {
        limit(Resource::Fsize, 1 << 20);
        filter::deny(libc::SYS_memfd_create, When::Always, Verdict::Error(libc::EPERM));
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

fn a_filter_of_proc_mem_is_an_error() {
    in_a_process("limits::a_filter_of_proc_mem_is_an_error", || {
        let wish = Options::default().publish(Publish::ProcMem);
        let engine = engine_of(&wish);
        let mut draft = engine.alloc::<Text>(64).expect("room");
        filter::deny(libc::SYS_pwrite64, When::Always, Verdict::Error(libc::EPERM));
        assert_eq!(Linux::reserve(&wish).expect_err("no writes"), SetupError::NoProcMem { errno: libc::EPERM });
        let error = engine.write(&mut draft, 0, &[0x90]).expect_err("no writes");
        let source = BackendError::System { errno: libc::EPERM };
        assert!(matches!(error, Error::Backend { source: found, .. } if found == source), "{error}");
        engine.free(draft).expect("ours");
        let withheld = engine.pool_stats(execmem::Kind::Text).bytes_withheld;
        assert_eq!(withheld, 64, "it cannot be filled with traps, so nobody gets it");
        engine.audit().expect("audit");
    });
}

fn a_limit_of_addresses_makes_the_window_smaller() {
    in_a_process("limits::a_limit_of_addresses_makes_the_window_smaller", || {
        limit(Resource::As, 200 << 20);
        for publish in ways() {
            let linux = Linux::reserve(&Options::default().publish(publish)).expect("a smaller window");
            assert!((4 << 20..=128 << 20).contains(&linux.facts().window().len()), "{}", linux.facts().window());
            let why = linux.facts().narrowed();
            assert!(
                matches!(why, Some(SetupError::NoAddresses { bytes: 0x4000_0000, errno: libc::ENOMEM })),
                "{why:?}"
            );
            let engine = execmem::Engine::new(linux.table().expect("a table"), linux).expect("memory");
            let functions: Vec<_> = (0..500).map(|value| install(&engine, value, 10_000)).collect();
            assert!(functions.iter().zip(0..).all(|(function, value)| run(function) == value));
            let data = engine.alloc::<Data>(64).expect("room");
            engine.free(data).expect("ours");
            functions.into_iter().for_each(|function| engine.free(function).expect("ours"));
        }
        let error = Linux::reserve(&Options::default().window(1 << 30)).expect_err("that much was asked for");
        assert!(matches!(error, SetupError::NoAddresses { bytes: 0x4000_0000, .. }), "{error}");
    });
}

fn a_limit_of_addresses_that_comes_later_is_an_error_and_ends_nothing() {
    in_a_process("limits::a_limit_of_addresses_that_comes_later_is_an_error_and_ends_nothing", || {
        for publish in ways() {
            let engine = engine(publish);
            let kept = install(&engine, 42, 64);
            let data = engine.alloc::<Data>(64).expect("room");
            let mut some = Vec::with_capacity(1000);
            let before = setrlimit_of_addresses(1 << 20);
            // What needs no addresses goes on, and the rest is refused, also where the books need memory.
            let refused = (0..1000).find_map(|_| match engine.alloc::<Text>(100_000) {
                Ok(draft) => {
                    some.push(draft);
                    None
                }
                Err(error) => Some(error),
            });
            setrlimit(Resource::As, before).expect("as it was");
            match refused {
                Some(Error::OutOfMemory | Error::Backend { source: BackendError::OutOfMemory { .. }, .. }) => {}
                None => assert_ne!(publish, Publish::Poke, "100 MB of writable views in no addresses"),
                Some(error) => panic!("{publish:?}: {error}"),
            }
            engine.audit().expect("audit");
            assert_eq!(run(&kept), 42);
            some.into_iter().for_each(|draft| engine.free(draft).expect("ours"));
            engine.free(kept).expect("ours");
            engine.free(data).expect("ours");
            assert_eq!(run(&install(&engine, 7, 64)), 7);
        }
    });
}

/// Lets the process have so many bytes of addresses, which may be fewer than it has, until the limit that it returns is
/// set again.
fn setrlimit_of_addresses(bytes: u64) -> Rlimit {
    let before = rustix::process::getrlimit(Resource::As);
    setrlimit(Resource::As, Rlimit { current: Some(bytes), maximum: before.maximum }).expect("a lower limit");
    before
}

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

/// The setting is the machine's, so whoever runs the tests decides about it.
fn where_nothing_is_overcommitted_reserved_addresses_cost_nothing() {
    let read = |file: &str| std::fs::read_to_string(file).expect("proc");
    let is_strict = read("/proc/sys/vm/overcommit_memory").trim() == "2";
    skip::unless(skip::condition(is_strict, "the system overcommits memory: sysctl vm.overcommit_memory=2"));
    in_a_process("limits::where_nothing_is_overcommitted_reserved_addresses_cost_nothing", || {
        let committed_kib = || {
            let text = read("/proc/meminfo");
            let line = text.lines().find_map(|line| line.strip_prefix("Committed_AS:")).expect("a number");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
        };
        for publish in ways() {
            let before = committed_kib();
            let engine = engine_of(&Options::default().publish(publish).window(512 << 20));
            let (function, data) = (install(&engine, 42, 64), engine.alloc::<Data>(64).expect("room"));
            assert_eq!(run(&function), 42);
            // Other processes commit memory meanwhile, but hardly that much.
            let grown = committed_kib().saturating_sub(before);
            assert!(grown < 256 << 10, "{publish:?}: {grown} KiB");
            engine.free(function).expect("ours");
            engine.free(data).expect("ours");
        }
    });
}

fn a_filter_of_memory_files_makes_it_one_mapping() {
    in_a_process("limits::a_filter_of_memory_files_makes_it_one_mapping", || {
        filter::deny(libc::SYS_memfd_create, When::Always, Verdict::Error(libc::EPERM));
        let why = refusal();
        assert_eq!(why, SetupError::NoMemoryFile { errno: libc::EPERM });
        check_fall_back(why, Publish::ProcMem);
        filter::deny(libc::SYS_pwrite64, When::Always, Verdict::Error(libc::EPERM));
        check_fall_back(why, Publish::Flip);
    });
}

fn a_filter_of_executable_memory_is_an_error() {
    in_a_process("limits::a_filter_of_executable_memory_is_an_error", || {
        for call in [libc::SYS_mprotect, libc::SYS_mmap] {
            filter::deny(call, When::Bit(2, libc::PROT_EXEC), Verdict::Error(libc::EACCES));
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
    let (text, large) = crate::linux::code::text_bytes(&engine);
    assert_eq!((text, large), (2 << 20, 2 << 20), "one large page, and nothing that is writable too");
    functions.into_iter().for_each(|function| engine.free(function).expect("ours"));
    engine.shrink();
    assert_eq!(run(&install(&engine, 7, 64)), 7);
    let error = Linux::reserve(&Options::default().publish(Publish::Flip)).expect_err("nothing may become text");
    assert!(matches!(error, SetupError::NotExecutable { errno: libc::EACCES }), "{error}");
}

fn a_filter_of_rights_to_execute_leaves_memory_that_has_them() {
    in_a_process("limits::a_filter_of_rights_to_execute_leaves_memory_that_has_them", || {
        filter::deny(libc::SYS_mprotect, When::Bit(2, libc::PROT_EXEC), Verdict::Error(libc::EACCES));
        check_mapped_executable();
    });
}

fn a_process_that_may_make_nothing_executable_maps_it_so() {
    in_a_process("limits::a_process_that_may_make_nothing_executable_maps_it_so", || {
        let is_refused = crate::linux::confine::refuse_to_make_executable();
        skip::unless(skip::condition(is_refused, "the kernel has no PR_SET_MDWE: Linux 6.3"));
        check_mapped_executable();
    });
}

/// Data that cannot be secret is ordinary, or an error.
fn check_no_secrets(why: SetupError) {
    let wish = |source| Options::default().window(64 << 20).data(source);
    assert_eq!(Linux::reserve(&wish(DataSource::Secret)).expect_err("no such memory"), why);
    let engine = engine_of(&wish(DataSource::SecretOrOrdinary));
    assert_eq!(engine.facts().data(), DataSource::Ordinary);
    let data = engine.alloc::<Data>(64).expect("room");
    assert_ne!(engine.facts().backing(data.address()), Some(Backing::Secret));
    engine.free(data).expect("ours");
}

fn a_filter_of_secret_memory_is_an_error_unless_ordinary_will_do() {
    in_a_process("limits::a_filter_of_secret_memory_is_an_error_unless_ordinary_will_do", || {
        const SYS_MEMFD_SECRET: libc::c_long = 447;
        filter::deny(SYS_MEMFD_SECRET, When::Always, Verdict::Error(libc::ENOSYS));
        check_no_secrets(SetupError::NoSecretMemory { errno: libc::ENOSYS });
    });
}

fn a_limit_of_locked_memory_is_told_of_secrets() {
    in_a_process("limits::a_limit_of_locked_memory_is_told_of_secrets", || {
        crate::linux::process::needs_secret_memory();
        crate::linux::confine::become_nobody();
        limit(Resource::Memlock, 512 << 10);
        let wish = Options::default().window(64 << 20).data(DataSource::Secret);
        let linux = Linux::reserve(&wish).expect("within the limit");
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

fn a_filter_of_node_hints_is_tolerated() {
    in_a_process("limits::a_filter_of_node_hints_is_tolerated", || {
        filter::deny(libc::SYS_mbind, When::Always, Verdict::Error(libc::EPERM));
        let engine = engine_of(&Options::default().node(0));
        assert_eq!(engine.facts().node(), None);
        assert_eq!(run(&install(&engine, 42, 64)), 42);
    });
}

fn a_filter_of_barriers_refuses_patches_only() {
    in_a_process("limits::a_filter_of_barriers_refuses_patches_only", || {
        filter::deny(libc::SYS_membarrier, When::Always, Verdict::Error(libc::ENOSYS));
        let engine = engine(Publish::Poke);
        let function = install(&engine, 42, 64);
        assert_eq!(run(&function), 42);
        let error = engine.patch_unexecuted(&function, 0, &[0x90]).expect_err("no barrier");
        let source = BackendError::System { errno: libc::ENOSYS };
        assert!(matches!(error, Error::Backend { source: found, .. } if found == source), "{error}");
        assert_eq!(run(&function), 42, "the old bytes are back");
        engine.free(function).expect("ours");
    });
}

fn a_kernel_that_forbids_executable_memory_files_does_not_mind() {
    in_a_process("limits::a_kernel_that_forbids_executable_memory_files_does_not_mind", || {
        const CANNOT_BE_SET: i32 = 77;
        let strictest = "2";
        // The setting belongs to a namespace of processes, and the next child is the first in it.
        crate::linux::process::needs_a_new_namespace();
        let made = crate::linux::process::in_child(|| {
            if std::fs::write("/proc/sys/vm/memfd_noexec", strictest).is_err() {
                return CANNOT_BE_SET;
            }
            let engine = engine(Publish::Poke);
            i32::from(run(&install(&engine, 42, 64)) != 42)
        });
        let is_set = made != Some(CANNOT_BE_SET);
        skip::unless(skip::condition(is_set, "vm.memfd_noexec cannot be set: Linux 6.3, and the right to"));
        assert_eq!(made, Some(0));
    });
}

fn a_process_with_all_mappings_it_may_have_is_told_so() {
    in_a_process("limits::a_process_with_all_mappings_it_may_have_is_told_so", || {
        let engine = engine(Publish::Poke);
        let kept = install(&engine, 42, 64);
        let mappings = crate::linux::confine::use_up_mappings();
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
