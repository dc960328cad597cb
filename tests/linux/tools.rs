//! Files for profilers: at names that others can foresee, and of one process each.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use execmem_linux::tools::{Code, JitDump, Listener, PerfMap};

use super::process::{in_a_process, in_child};

skip::tests! {
    what_others_put_at_the_name_of_a_file_is_refused_and_stays_as_it_is
    a_pipe_with_a_reader_is_refused_as_well
    a_file_that_a_process_of_this_user_left_is_used
    a_child_writes_names_to_a_file_of_its_own
}

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("execmem-tools-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

type Create = fn(&Path) -> std::io::Result<Box<dyn Listener>>;

/// What makes a tool, and the name of the file it writes.
type Tool = (Create, fn(u32) -> String);

const TOOLS: [Tool; 2] = [
    (|folder| Ok(Box::new(PerfMap::create_in(folder)?)), |process| format!("perf-{process}.map")),
    (|folder| Ok(Box::new(JitDump::create_in(folder)?)), |process| format!("jit-{process}.dump")),
];

fn code(name: &str) -> Code<'_> {
    Code { name, address: 0x1000, bytes: &[0xc3] }
}

/// What another process may have put at the name, by something that makes it.
type Trap = (&'static str, fn(&Path, &Path) -> std::io::Result<()>);

const TRAPS: [Trap; 5] = [
    ("a pipe", |path, _| Ok(rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU)?)),
    ("a link", |path, victim| symlink(victim, path)),
    ("a second name", |path, victim| fs::hard_link(victim, path)),
    ("a folder", |path, _| fs::create_dir(path)),
    ("a file of another user", |path, _| {
        File::create(path)?;
        std::os::unix::fs::chown(path, Some(65534), None)
    }),
];

fn what_others_put_at_the_name_of_a_file_is_refused_and_stays_as_it_is() {
    in_a_process("tools::what_others_put_at_the_name_of_a_file_is_refused_and_stays_as_it_is", || {
        for (create, name) in TOOLS {
            for (what, make) in TRAPS {
                let folder = Folder::new("trap");
                let (path, victim) = (folder.0.join(name(std::process::id())), folder.0.join("victim"));
                fs::write(&victim, "kept").expect("a file");
                if make(&path, &victim).is_err() {
                    continue; // Not everybody may make files of other users.
                }
                let error = create(&folder.0).expect_err(what);
                assert!(!error.to_string().is_empty());
                assert_eq!(fs::read_to_string(&victim).expect("a file"), "kept", "{what}");
            }
            let folder = Folder::new("none");
            let dangling = folder.0.join(name(std::process::id()));
            symlink(folder.0.join("elsewhere"), &dangling).expect("a link");
            create(&folder.0).expect_err("a link to nothing");
            assert!(!folder.0.join("elsewhere").exists());
        }
    });
}

fn a_pipe_with_a_reader_is_refused_as_well() {
    in_a_process("tools::a_pipe_with_a_reader_is_refused_as_well", || {
        for (create, name) in TOOLS {
            let folder = Folder::new("pipe");
            let path = folder.0.join(name(std::process::id()));
            rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).expect("a pipe");
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
            let _reader = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).expect("a reader");
            assert!(create(&folder.0).is_err());
        }
    });
}

fn a_file_that_a_process_of_this_user_left_is_used() {
    for (create, name) in TOOLS {
        let folder = Folder::new("left");
        let path = folder.0.join(name(std::process::id()));
        fs::write(&path, "old\n").expect("a file");
        create(&folder.0).expect("its own").published(&code("new")).expect("room on disk");
        assert!(String::from_utf8_lossy(&fs::read(&path).expect("the file")).contains("new"));
    }
}

fn a_child_writes_names_to_a_file_of_its_own() {
    in_a_process("tools::a_child_writes_names_to_a_file_of_its_own", || {
        for (create, name) in TOOLS {
            let folder = Folder::new("child");
            let tool = create(&folder.0).expect("a file");
            tool.published(&code("parents")).expect("room on disk");
            let own = folder.0.join(name(std::process::id()));
            let before = fs::read(&own).expect("the file");
            let outcome = in_child(|| {
                tool.published(&code("childs")).expect("room on disk");
                tool.published(&code("childs_second")).expect("room on disk");
                let grandchild = in_child(|| i32::from(tool.published(&code("grandchilds")).is_err()));
                let bytes = fs::read(folder.0.join(name(std::process::id()))).expect("a file of its own");
                let text = String::from_utf8_lossy(&bytes);
                let has_own =
                    text.contains("childs") && text.contains("childs_second") && !text.contains("grandchilds");
                // What the parent published is code of the child as well, as far as the format can say.
                let has_all =
                    has_own && (text.contains("parents") || bytes.starts_with(&0x4a69_5444_u32.to_ne_bytes()));
                i32::from(!(has_all && grandchild == Some(0)))
            });
            assert_eq!(outcome, Some(0));
            assert_eq!(fs::read(&own).expect("the file"), before, "the parent's is as it was");
            assert_eq!(fs::read_dir(&folder.0).expect("the folder").count(), 3, "one a process");
        }
    });
}
