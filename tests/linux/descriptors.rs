//! A process that closes descriptors, has none left, or is watched by another: there is nothing of ours to close or open.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use execmem::{BackendError, Describe as _, Error, kinds::Data, kinds::RoData, kinds::Text};
use execmem_linux::{Linux, Options, Publish, SetupError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::code::{constant, engine, engine_of, install, run, ways};
use super::confine::{become_nobody, stay_visible};
use super::process::{in_a_process, in_child, memory_descriptors};

skip::tests! {
    nothing_is_open_but_for_a_moment
    a_file_that_is_opened_where_all_descriptors_were_closed_stays_as_it_is
    another_process_of_the_same_user_finds_nothing_to_open
    a_process_without_descriptors_is_told_so_and_goes_on_when_it_has_some
    set_up_without_descriptors_is_an_error_unless_none_is_needed
}

const FILE_BYTES: usize = 4 << 20;

/// A file of a test that is removed when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Scratch(std::env::temp_dir().join(format!("execmem-{name}-{}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn nothing_is_open_but_for_a_moment() {
    in_a_process("descriptors::nothing_is_open_but_for_a_moment", || {
        for publish in ways() {
            let engine =
                engine_of(&Options::default().publish(publish).data(execmem_linux::DataSource::SecretOrOrdinary));
            let function = install(&engine, 42, 64);
            let constants = engine.alloc::<RoData>(64).expect("room");
            let data = engine.alloc::<Data>(64).expect("room");
            engine.patch_unexecuted(&function, 0, &constant(7, 0)).expect("published");
            assert_eq!((memory_descriptors(), run(&function)), (0, 7), "{publish:?}");
            engine.free(constants).expect("ours");
            engine.free(data).expect("ours");
            engine.free(function).expect("ours");
        }
    });
}

/// What a daemon does: it closes everything and opens its own files, which get the numbers.
fn a_file_that_is_opened_where_all_descriptors_were_closed_stays_as_it_is() {
    in_a_process("descriptors::a_file_that_is_opened_where_all_descriptors_were_closed_stays_as_it_is", || {
        let scratch = Scratch::new("daemon");
        for publish in ways() {
            let engine = engine_of(&Options::default().publish(publish));
            let functions: Vec<_> = (0..100).map(|value| install(&engine, value, 60_000)).collect();
            let constants = engine.alloc::<RoData>(64).expect("room");
            // SAFETY: descriptors of this process, of which none is used any more, but by the test program at its end for
            // its output, which are the first three.
            assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) }, 0);
            let mut files: Vec<File> = Vec::new();
            for _ in 0..4 {
                let mut options = File::options();
                options.read(true).write(true).create(true).truncate(true);
                let mut file = options.open(&scratch.0).expect("a file");
                file.write_all(&[7; FILE_BYTES]).expect("room on disk");
                file.rewind().expect("a file");
                files.push(file);
            }
            assert!(files.iter().any(|file| file.as_raw_fd() == 3));
            let more: Vec<_> = (100..150).map(|value| install(&engine, value, 60_000)).collect();
            engine.patch_unexecuted(&functions[0], 0, &constant(1000, 0)).expect("published");
            assert_eq!(run(&functions[0]), 1000);
            for (value, function) in (1..100).zip(&functions[1..]).chain((100..).zip(&more)) {
                assert_eq!(run(function), value, "{publish:?}");
            }
            engine.free(constants).expect("ours");
            functions.into_iter().chain(more).for_each(|function| engine.free(function).expect("ours"));
            assert!(engine.shrink() > 0);
            drop(engine);
            let content = std::fs::read(&scratch.0).expect("the file");
            assert!(content.len() == FILE_BYTES && content.iter().all(|byte| *byte == 7), "{publish:?}");
        }
    });
}

fn another_process_of_the_same_user_finds_nothing_to_open() {
    in_a_process("descriptors::another_process_of_the_same_user_finds_nothing_to_open", || {
        become_nobody();
        stay_visible();
        for publish in ways() {
            let engine = engine(publish);
            let function = install(&engine, 42, 64);
            let victim = std::process::id();
            let window = engine.facts().window();
            let outcome = in_child(|| {
                let links = |folder: &Path| {
                    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>());
                    entries.unwrap_or_default().into_iter().map(|entry| entry.path()).collect::<Vec<_>>()
                };
                let folder = PathBuf::from(format!("/proc/{victim}"));
                let open = links(&folder.join("fd"));
                let is_memory = |link: &PathBuf| {
                    let target = std::fs::read_link(link).unwrap_or_default();
                    target.to_string_lossy().contains("memfd:") || target.ends_with("mem")
                };
                assert!(open.len() > 2, "the descriptors can be seen");
                assert!(!open.iter().any(is_memory));
                // What is mapped is listed there too, and the user that may open it is the superuser.
                let ours = links(&folder.join("map_files")).into_iter().filter(|link| {
                    let name = link.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    let start = name.split('-').next().and_then(|start| u64::from_str_radix(start, 16).ok());
                    start.is_some_and(|start| window.contains(start))
                });
                let opened = ours.filter(|link| File::open(link).is_ok()).count();
                i32::try_from(opened).unwrap_or(99)
            });
            assert_eq!(outcome, Some(0), "{publish:?}");
            engine.free(function).expect("ours");
        }
    });
}

/// Lets the process open no more files until the limit that it returns is set again.
fn no_descriptor_left() -> Rlimit {
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum: before.maximum }).expect("a lower limit");
    before
}

fn a_process_without_descriptors_is_told_so_and_goes_on_when_it_has_some() {
    in_a_process("descriptors::a_process_without_descriptors_is_told_so_and_goes_on_when_it_has_some", || {
        for publish in ways() {
            let engine = engine_of(&Options::default().publish(publish));
            let kept = install(&engine, 42, 64);
            let before = no_descriptor_left();
            let outcome = engine.alloc::<Text>(3 << 20).map_err(|error| error.to_string());
            let written = outcome.map(|mut draft| {
                let written = engine.write(&mut draft, 0, &[0x90]);
                engine.free(draft).expect("ours");
                written
            });
            setrlimit(Resource::Nofile, before).expect("as it was");
            match (publish, written) {
                (Publish::Poke, Err(why)) => assert!(why.contains("RLIMIT_NOFILE"), "{why}"),
                (Publish::ProcMem, Ok(Err(Error::Backend { source: BackendError::DescriptorLimit, .. })))
                | (Publish::Flip, Ok(Ok(()))) => {}
                other => panic!("{other:?}"),
            }
            assert_eq!(run(&kept), 42);
            engine.audit().expect("audit");
            let again = install(&engine, 7, 3 << 20);
            assert_eq!(run(&again), 7);
            engine.free(again).expect("ours");
            engine.free(kept).expect("ours");
        }
    });
}

fn set_up_without_descriptors_is_an_error_unless_none_is_needed() {
    in_a_process("descriptors::set_up_without_descriptors_is_an_error_unless_none_is_needed", || {
        let before = no_descriptor_left();
        for publish in [Publish::Best, Publish::Poke, Publish::ProcMem] {
            let error = Linux::reserve(&Options::default().publish(publish)).expect_err("no descriptor");
            assert_eq!(error, SetupError::NoDescriptor, "{publish:?}");
        }
        let linux = Linux::reserve(&Options::default().publish(Publish::Flip)).expect("no descriptor is needed");
        assert!(linux.facts().anchor().is_some(), "near the program all the same");
        setrlimit(Resource::Nofile, before).expect("as it was");
    });
}
