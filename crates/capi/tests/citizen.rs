//! A program in C and what happens around it: closed descriptors, forks, limits, locked memory, core files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

skip::tests! {
    the_first_function_takes_little_time_and_memory
    a_thousand_children_beside_threads_at_work_do_not_hang
    a_daemon_that_closes_all_descriptors_keeps_its_file
    a_child_calls_code_and_changes_nothing_of_its_parent
    a_limit_of_addresses_is_lived_with
    all_memory_can_be_locked
    a_core_file_is_as_long_as_what_is_live
}

fn main() -> std::process::ExitCode {
    skip::run("citizen", env!("CARGO_TARGET_TMPDIR"), [tests()])
}

/// The ways to publish, by their numbers in the header.
const WAYS: [&str; 3] = ["1", "2", "3"];

/// The folder with the libraries: cargo puts them beside the tests.
fn libraries() -> PathBuf {
    let test = std::env::current_exe().expect("a test program");
    let folder = test.parent().expect("a folder");
    let has_library = |folder: &Path| folder.join("libexecmem_c.so").exists();
    [folder, folder.parent().expect("a folder")].into_iter().find(|f| has_library(f)).expect("libraries").to_path_buf()
}

/// The program, in a folder that is gone after the test.
struct Citizen {
    folder: PathBuf,
}

impl Citizen {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("execmem-citizen-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut compiler = Command::new("cc");
        compiler
            .args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-I"])
            .arg(package.join("include"));
        compiler.arg(package.join("tests/citizen.c")).arg("-o").arg(folder.join("citizen"));
        let compiled = compiler.arg("-L").arg(libraries()).arg("-l:libexecmem_c.so").output().expect("a C compiler");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Citizen { folder }
    }

    fn play(&self, scene: &str, way: &str) -> Output {
        let mut program = Command::new(self.folder.join("citizen"));
        program.args([scene, way]).current_dir(&self.folder).env("LD_LIBRARY_PATH", libraries());
        program.output().expect("the program")
    }

    fn plays_well(&self, scene: &str) {
        for way in WAYS {
            let output = self.play(scene, way);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{scene} {way}: {:?} {errors}", output.status);
        }
    }
}

impl Drop for Citizen {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Medians of 15 starts: microseconds to the result of the first function, KiB, and microseconds of the yardstick.
fn first(citizen: &Citizen, way: &str) -> [i64; 3] {
    const RUNS: usize = 15;
    let mut columns = [const { Vec::new() }; 3];
    for _ in 0..RUNS {
        let text = String::from_utf8(citizen.play("first", way).stdout).expect("numbers");
        let numbers = text.split_whitespace().map(|number| number.parse().expect("a number"));
        columns.iter_mut().zip(numbers).for_each(|(column, number): (&mut Vec<_>, _)| column.push(number));
    }
    columns.map(|mut column| {
        column.sort_unstable();
        column[RUNS / 2]
    })
}

/// On a machine by itself; where other programs have the processors too, so does the yardstick.
fn the_first_function_takes_little_time_and_memory() {
    const MOST_MICROS: i64 = 300;
    const MOST_KIB: i64 = 128;
    const TRIES: usize = 20;
    let citizen = Citizen::new("first");
    for way in WAYS {
        let mut medians = Vec::new();
        let is_quick = (0..TRIES).any(|_| {
            let [micros, kib, yardstick] = first(&citizen, way);
            assert!(kib <= MOST_KIB, "{way}: {kib} KiB");
            medians.push((micros, yardstick));
            micros <= MOST_MICROS.max(yardstick)
        });
        assert!(is_quick, "{way}: medians of {medians:?} µs");
    }
}

fn a_thousand_children_beside_threads_at_work_do_not_hang() {
    Citizen::new("threads").plays_well("threads");
}

fn a_daemon_that_closes_all_descriptors_keeps_its_file() {
    Citizen::new("daemon").plays_well("daemon");
}

fn a_child_calls_code_and_changes_nothing_of_its_parent() {
    Citizen::new("fork").plays_well("fork");
}

fn a_limit_of_addresses_is_lived_with() {
    Citizen::new("addresses").plays_well("addresses");
}

fn all_memory_can_be_locked() {
    let citizen = Citizen::new("lock");
    citizen.plays_well("lock");
    citizen.plays_well("lock-all");
}

fn a_core_file_is_as_long_as_what_is_live() {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("proc");
    let is_here = !pattern.starts_with(['|', '/']);
    skip::unless(skip::condition(is_here, "core files go to a program or a folder: sysctl kernel.core_pattern=core"));
    let citizen = Citizen::new("core");
    for way in WAYS {
        assert_eq!(citizen.play("core", way).status.code(), None, "{way}: aborted");
        let files = std::fs::read_dir(&citizen.folder).expect("the folder").flatten();
        let core = files.map(|file| file.path()).find(|path| !path.ends_with("citizen")).expect("a core file");
        let bytes = core.metadata().expect("a file").len();
        assert!(bytes < 4 << 20, "{way}: {bytes} bytes");
        std::fs::remove_file(core).expect("the file");
    }
}
