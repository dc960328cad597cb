//! Alternatives of x86-64 against an assembler that was told which code to choose, and those of real modules against a
//! disassembler.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use execmem_clients::Error;
use execmem_clients::module::{
    AlternativeFault, AlternativeFeatures, AlternativeFormat, Callee, ModuleImage, apply_alternatives,
};
use execmem_tests::rig::Rig;
use execmem_tests::world::granted;

use super::linker::{MACHINES, Machine, read, scratch};
use super::real::{KERNELS, fetched, is_since};

skip::tests! {
    alternatives_become_what_an_assembler_makes_of_the_chosen_code
    alternatives_that_make_no_sense_are_refused_and_leave_nothing
    alternatives_of_real_modules_disassemble_as_their_replacements
}

const X86: &Machine = &MACHINES[0];

/// The processors of a test.
struct Has {
    features: &'static [u16],
}

impl AlternativeFeatures for Has {
    fn has(&self, feature: u16) -> bool {
        self.features.contains(&feature)
    }

    fn callee(&self, pointer: u64) -> Option<Callee> {
        if pointer == X86.import_address("pointer") {
            return Some(Callee::Function(X86.import_address("callee")));
        }
        (pointer == X86.import_address("empty")).then_some(Callee::Nothing)
    }
}

/// Assembles the source with some symbols defined.
fn assemble(name: &str, defined: &[String]) -> Vec<u8> {
    X86.needs(&["as"]);
    let definitions: String = defined.iter().map(|symbol| format!(".set {symbol}\n")).collect();
    read(&X86.build(name, &(definitions + include_str!("modules/alternatives.s"))))
}

/// The bytes of every section that is loaded, after a finalize step.
fn loaded(
    data: &[u8],
    finalize: impl FnOnce(&mut ModuleImage<'_, execmem::Kind>) -> Result<(), Error>,
) -> Result<BTreeMap<String, (u64, Vec<u8>)>, Error> {
    let (engine, copies) = (X86.engine(), X86.per_cpus());
    let loader = X86.loader(&engine, &copies);
    let mut sections = BTreeMap::new();
    let outside = |name: &str| Some(X86.import_address(name));
    let coming = loader.load_finalized(data, &outside, |image| {
        finalize(image)?;
        for section in image.sections() {
            let bytes = image.bytes(section.address, section.len).expect("a section");
            sections.insert(section.name.to_owned(), (section.address, bytes.to_vec()));
        }
        Ok(())
    });
    let coming = coming.inspect_err(|_| assert_eq!(granted(&engine), 0));
    check_published(&engine, &sections, coming.is_ok());
    coming?.unload();
    Ok(sections)
}

/// What the finalize step saw is what is executed.
fn check_published(engine: &Rig, sections: &BTreeMap<String, (u64, Vec<u8>)>, is_loaded: bool) {
    for (address, bytes) in sections.values().filter(|(_, bytes)| is_loaded && !bytes.is_empty()) {
        let mut found = vec![0; bytes.len()];
        engine.sim.read(*address, &mut found).expect("mapped");
        assert_eq!(found, *bytes);
    }
}

fn alternatives_become_what_an_assembler_makes_of_the_chosen_code() {
    for (format, wide) in [(AlternativeFormat::LINUX_5_19, false), (AlternativeFormat::LINUX_6_3, true)] {
        for features in [&[3_u16][..], &[4], &[3, 4], &[]] {
            let symbols = |is_expected: bool| {
                let has =
                    [3, 4].map(|feature: u16| format!("HAS_{feature}, {}", u8::from(features.contains(&feature))));
                let is_wide = wide && features.contains(&3);
                let flags = [("WIDE, 1", is_wide), ("EXPECTED, 1", is_expected)];
                has.into_iter().chain(flags.into_iter().filter(|(_, is)| *is).map(|(flag, _)| flag.to_owned()))
            };
            let format = if wide && !features.contains(&3) { AlternativeFormat::LINUX_5_19 } else { format };
            let expected = assemble("-expected.s", &symbols(true).collect::<Vec<_>>());
            let plain = assemble("-alternatives.s", &symbols(false).collect::<Vec<_>>());
            let expected = loaded(&expected, |_| Ok(())).expect("a module");
            let mut applied = 0;
            let found = loaded(&plain, |image| {
                applied = apply_alternatives(image, format, &Has { features })?;
                Ok(())
            });
            let found = found.expect("a module");
            assert_eq!(found[".text"].0, expected[".text"].0, "the same place");
            assert_eq!(found[".text"].1, expected[".text"].1, "{features:?}\n{found:x?}\n{expected:x?}");
            assert_eq!(found[".altinstr_replacement"], expected[".altinstr_replacement"]);
            assert!(applied >= 2, "those with a condition that is turned round");
        }
    }
}

fn alternatives_that_make_no_sense_are_refused_and_leave_nothing() {
    let defined = ["HAS_3, 1", "HAS_4, 1", "WIDE, 1"].map(str::to_owned);
    let (data, other) = (assemble("-refused.s", &defined), assemble("-refused.s", &defined[..2]));
    let refused_of = |data: &[u8], format, features: &'static [u16], damage: fn(&mut [u8])| {
        let error = loaded(data, |image| {
            let section = image.named(".altinstructions").next().expect("a section");
            damage(image.bytes_mut(section.address, section.len).expect("bytes"));
            apply_alternatives(image, format, &Has { features }).map(drop)
        });
        match error {
            Err(Error::BadAlternative { entry, fault }) => (entry, fault),
            other => panic!("{other:?}"),
        }
    };
    let wide = AlternativeFormat::LINUX_6_3;
    assert_eq!(refused_of(&other, wide, &[], |_| ()).1, AlternativeFault::Format, "entries of another length");
    let refused = |format, features: &'static [u16], damage: fn(&mut [u8])| refused_of(&data, format, features, damage);
    assert_eq!(refused(wide, &[3], |bytes| bytes[3] = 0x7f), (0, AlternativeFault::NotCode), "a site far away");
    assert_eq!(refused(wide, &[3], |bytes| bytes[7] = 0x7f), (0, AlternativeFault::NotCode), "a replacement far away");
    assert_eq!(refused(wide, &[3], |bytes| bytes[12] = 4), (0, AlternativeFault::TooLong));
    assert_eq!(refused(wide, &[], |bytes| bytes[12] = 255), (0, AlternativeFault::TooLong));
    assert_eq!(refused(wide, &[3], |bytes| bytes[13] = 3), (0, AlternativeFault::Undecodable), "half a call");
    assert_eq!(refused(wide, &[3], |bytes| bytes[10] = 2), (0, AlternativeFault::NoCallee), "no call by a pointer");
}

/// Instructions by address, as a disassembler prints them; what does nothing is left out.
fn disassemble(address: u64, bytes: &[u8]) -> BTreeMap<u64, String> {
    skip::unless(skip::tool("objdump"));
    let path = scratch().join(format!("{address:x}.bin"));
    std::fs::write(&path, bytes).expect("a file");
    let place = format!("--adjust-vma={address:#x}");
    let arguments = ["-D", "-w", "-b", "binary", "-m", "i386:x86-64", "--no-show-raw-insn", &place];
    let output = Command::new("objdump").args(arguments).arg(&path).output().expect("it runs");
    std::fs::remove_file(&path).expect("a file");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |line: &str| {
        let (address, instruction) = line.trim_start().split_once(":\t")?;
        let instruction = instruction.trim().to_owned();
        Some((u64::from_str_radix(address, 16).ok()?, instruction))
    };
    text.lines().filter_map(line).collect()
}

fn does_nothing(instruction: &str) -> bool {
    instruction.contains("nop") || instruction == "xchg   %ax,%ax"
}

/// Entries as they stand in the section: site, replacement, condition, lengths.
fn entries((address, bytes): &(u64, Vec<u8>)) -> Vec<(u64, u64, u16, [u64; 2])> {
    let decode = |(index, entry): (usize, &[u8])| {
        let place = address + index as u64 * 12;
        let word = |at: usize| i64::from(i32::from_le_bytes(entry[at..at + 4].try_into().expect("4 bytes")));
        let feature = u16::from_le_bytes([entry[8], entry[9]]);
        let target = |at: u8| (place + u64::from(at)).wrapping_add_signed(word(usize::from(at)));
        let [site, replacement] = [0, 4].map(target);
        (site, replacement, feature, [entry[10], entry[11]].map(u64::from))
    };
    bytes.chunks_exact(12).enumerate().map(decode).collect()
}

/// Compares the sites of one module. Returns how many.
fn compare(path: &Path, features: &'static [u16]) -> usize {
    let data = read(path);
    let plain = loaded(&data, |_| Ok(())).expect("a module");
    let Some(section) = plain.get(".altinstructions") else { return 0 };
    let format = AlternativeFormat::LINUX_5_19;
    let found = loaded(&data, |image| apply_alternatives(image, format, &Has { features }).map(drop));
    let found = found.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // The last of several for a site counts.
    let holds = |feature: u16| features.contains(&(feature & 0x7fff)) != (feature & 0x8000 != 0);
    let entries = entries(section);
    let chosen: BTreeMap<u64, (u64, [u64; 2])> =
        entries.iter().filter(|entry| holds(entry.2)).map(|entry| (entry.0, (entry.1, entry.3))).collect();
    let (place, replacements) = &plain[".altinstr_replacement"];
    let replacements = disassemble(*place, replacements);
    let mut compared = 0;
    for (address, bytes) in found.values() {
        let sites: Vec<_> =
            chosen.iter().filter(|(site, _)| **site >= *address && **site < address + bytes.len() as u64).collect();
        if sites.is_empty() {
            continue;
        }
        let code = disassemble(*address, bytes);
        for (site, (replacement, [len, replacement_len])) in sites {
            let text = |code: &BTreeMap<u64, String>, range: std::ops::Range<u64>| {
                code.range(range).map(|(_, text)| text.clone()).filter(|text| !does_nothing(text)).collect::<Vec<_>>()
            };
            let ours = text(&code, *site..site + len);
            let theirs = text(&replacements, *replacement..replacement + replacement_len);
            assert_eq!(ours, theirs, "{}: {site:#x} by {replacement:#x}", path.display());
            compared += 1;
        }
    }
    compared
}

fn alternatives_of_real_modules_disassemble_as_their_replacements() {
    let mut modules = fetched(&KERNELS[0]);
    // Later entries are longer.
    modules.retain(|path| !is_since(path, [6, 3]));
    skip::unless(skip::fetched(!modules.is_empty(), "cargo xtask fetch-modules"));
    skip::unless(skip::tool("objdump"));
    // Features that occur, and none: those that are to be missing.
    const OFTEN: &[u16] = &[117, 151, 0x110, 528, 308, 112, 297, 200, 114, 274, 275];
    let step = if cfg!(debug_assertions) { 7 } else { 1 };
    let is_rich = |path: &std::path::PathBuf| ["kvm.ko", "kvm-intel.ko"].iter().any(|name| path.ends_with(name));
    let sample = modules.iter().step_by(step).chain(modules.iter().filter(|path| is_rich(path)));
    let compared: usize = sample.map(|path| compare(path, OFTEN) + compare(path, &[])).sum();
    println!("{compared} sites");
    assert!(compared > 300, "{compared}");
}
