//! Sequences of calls on memory of a process against a model of every byte and right, several classes in one 2 MiB.

use std::collections::BTreeMap;

use execmem::{Backend as _, BackendError, Describe as _, Extent, PageSize, Protection};
use execmem_linux::{Linux, Options, Publish, proc};
use execmem_types::{Access, Mapping, Rights, Trap};
use quickcheck::{Arbitrary, Gen, QuickCheck, TestResult};

const UNITS: u64 = 3;
const LARGE: PageSize = PageSize::mib(2);
const TRAP: Trap = Trap::byte(0xcc);

/// A class of memory: rights at first and later, and what it holds at first.
const CLASSES: [(Protection, Option<Protection>, Trap); 5] = [
    (Protection::ReadExecute, None, TRAP),
    (Protection::ReadOnly, None, Trap::ZERO),
    (Protection::ReadWrite, None, Trap::ZERO),
    (Protection::ReadWrite, Some(Protection::ReadOnly), Trap::ZERO),
    (Protection::ReadWrite, Some(Protection::ReadExecute), TRAP),
];

const RIGHTS: [Protection; 4] =
    [Protection::NoAccess, Protection::ReadOnly, Protection::ReadWrite, Protection::ReadExecute];

#[derive(Debug, Clone)]
enum Op {
    MapLarge { unit: u64, class: usize },
    MapSmall { page: u64, count: u64, class: usize },
    Unmap { page: u64, count: u64 },
    UnmapLarge { unit: u64 },
    Protect { page: u64, count: u64, to: usize },
    Write { at: u64, len: usize, byte: u8, pokes: bool },
    Fill { at: u64, len: u64, pokes: bool },
    Read { at: u64, len: usize },
}

impl Arbitrary for Op {
    fn arbitrary(g: &mut Gen) -> Self {
        let below = |g: &mut Gen, limit: u64| u64::arbitrary(g) % limit;
        // Mostly near the beginning of a unit and the borders between them.
        let pages = [0, 1, 2, 3, 14, 15, 16, 17, 62, 63, 64, 200, 509, 510, 511];
        let unit = below(g, UNITS);
        let page = unit * 512 + *g.choose(&pages).expect("some");
        let (count, class) = (1 + below(g, 4), usize::arbitrary(g) % CLASSES.len());
        let at = page * 4096 + below(g, 2) * 4090 + below(g, 8);
        let longest = if bool::arbitrary(g) { 16 } else { 9000 };
        let len = 1 + below(g, longest);
        match below(g, 12) {
            0 | 1 => Op::MapLarge { unit, class },
            2 | 3 => Op::MapSmall { page, count, class },
            4 => Op::Unmap { page, count },
            5 => Op::UnmapLarge { unit },
            6 => Op::Protect { page, count, to: usize::arbitrary(g) % RIGHTS.len() },
            7 | 8 => Op::Write {
                at,
                len: usize::try_from(len).expect("short"),
                byte: u8::arbitrary(g),
                pokes: bool::arbitrary(g),
            },
            9 => Op::Fill { at, len, pokes: bool::arbitrary(g) },
            _ => Op::Read { at, len: usize::try_from(len).expect("short") },
        }
    }
}

struct Page {
    now: Protection,
    ever: Rights,
    bytes: Vec<u8>,
}

struct World {
    linux: Linux,
    is_prepared: bool,
    publish: Publish,
    page: u64,
    pages: BTreeMap<u64, Page>,
}

impl World {
    fn new(publish: Publish, options: &Options) -> Self {
        let linux = Linux::reserve(&options.publish(publish).window(UNITS * LARGE.bytes()).without_reserved_pages())
            .expect("memory");
        let page = linux.facts().machine().page().bytes();
        World { is_prepared: options.prepared_bytes > 0, publish, page, linux, pages: BTreeMap::new() }
    }

    /// The extent of some bytes of the window, and the numbers of its pages. `None` if it ends outside.
    fn extent(&self, offset: u64, len: u64) -> Option<(Extent, std::ops::RangeInclusive<u64>)> {
        let extent = self.linux.facts().window().part(offset, len)?;
        Some((extent, offset / self.page..=(offset + len - 1) / self.page))
    }

    fn all(&self, mut pages: std::ops::RangeInclusive<u64>, fits: impl Fn(&Page) -> bool) -> bool {
        pages.all(|number| self.pages.get(&number).is_some_and(&fits))
    }

    fn can_change(&self, page: &Page, pokes: bool) -> bool {
        let is_kept = !page.ever.contain(Protection::ReadWrite);
        let can_poke = match self.publish {
            Publish::Poke => is_kept || page.now == Protection::ReadWrite,
            Publish::ProcMem => true,
            _ => false,
        };
        if pokes { can_poke && page.now != Protection::NoAccess } else { page.now == Protection::ReadWrite }
    }

    fn run(&mut self, op: &Op) -> Result<(), String> {
        match *op {
            Op::MapLarge { unit, class } => self.map(unit * 512, 512, class, LARGE),
            Op::MapSmall { page, count, class } => self.map(page, count, class, self.linux.facts().machine().page()),
            Op::UnmapLarge { unit } => self.unmap(unit * 512, 512),
            Op::Unmap { page, count } => self.unmap(page, count),
            Op::Protect { page, count, to } => self.protect(page, count, RIGHTS[to]),
            Op::Write { at, len, byte, pokes } => self.change(at, pokes, &vec![byte; len], None),
            Op::Fill { at, len, pokes } => {
                let mut bytes = vec![0; usize::try_from(len).expect("short")];
                TRAP.fill(at, &mut bytes);
                self.change(at, pokes, &bytes, Some(TRAP))
            }
            Op::Read { at, len } => self.read(at, len),
        }
    }

    fn map(&mut self, first: u64, count: u64, class: usize, page: PageSize) -> Result<(), String> {
        let Some((extent, numbers)) = self.extent(first * self.page, count * self.page) else { return Ok(()) };
        let (now, later, unused) = CLASSES[class];
        let mapping = Mapping::new(extent, page, now, unused).becoming(later.unwrap_or(now));
        let is_free = numbers.clone().all(|number| !self.pages.contains_key(&number));
        expect(is_free, self.linux.map(&mapping))?;
        if is_free {
            for number in numbers {
                let mut bytes = vec![0; usize::try_from(self.page).expect("a page")];
                unused.fill(0, &mut bytes);
                self.pages.insert(number, Page { now, ever: mapping.rights, bytes });
            }
        }
        Ok(())
    }

    fn unmap(&mut self, first: u64, count: u64) -> Result<(), String> {
        let Some((extent, numbers)) = self.extent(first * self.page, count * self.page) else { return Ok(()) };
        let is_mapped = self.all(numbers.clone(), |_| true);
        expect(is_mapped, self.linux.unmap(extent))?;
        numbers.filter(|_| is_mapped).for_each(|number| drop(self.pages.remove(&number)));
        Ok(())
    }

    fn protect(&mut self, first: u64, count: u64, to: Protection) -> Result<(), String> {
        let Some((extent, numbers)) = self.extent(first * self.page, count * self.page) else { return Ok(()) };
        let may = self.all(numbers.clone(), |page| page.ever.contain(to));
        expect(may, self.linux.protect(extent, to))?;
        for number in numbers.filter(|_| may) {
            self.pages.entry(number).and_modify(|page| page.now = to);
        }
        Ok(())
    }

    fn change(&mut self, at: u64, pokes: bool, bytes: &[u8], fill: Option<Trap>) -> Result<(), String> {
        let Some((extent, numbers)) = self.extent(at, bytes.len() as u64) else { return Ok(()) };
        let can = self.all(numbers, |page| self.can_change(page, pokes));
        let access = if pokes { Access::Poke } else { Access::Store };
        let outcome = match fill {
            Some(pattern) => self.linux.fill(access, extent, pattern),
            None => self.linux.write(access, extent.start(), bytes),
        };
        expect(can, outcome)?;
        for (offset, byte) in (at..).zip(bytes).filter(|_| can) {
            let within = usize::try_from(offset % self.page).expect("a page");
            self.pages.entry(offset / self.page).and_modify(|page| page.bytes[within] = *byte);
        }
        Ok(())
    }

    fn read(&self, at: u64, len: usize) -> Result<(), String> {
        let Some((extent, numbers)) = self.extent(at, len as u64) else { return Ok(()) };
        let can = self.all(numbers, |page| page.now != Protection::NoAccess);
        let mut seen = vec![0; len];
        expect(can, self.linux.read(extent.start(), &mut seen))?;
        let byte =
            |offset: u64| self.pages[&(offset / self.page)].bytes[usize::try_from(offset % self.page).expect("a page")];
        let wrong = (at..).zip(&seen).find(|(offset, seen)| can && byte(*offset) != **seen);
        wrong.map_or(Ok(()), |(offset, seen)| Err(format!("{offset:#x} reads {seen:#x}, not {:#x}", byte(offset))))
    }

    /// All bytes are as the model says, and the kernel gives no right that the model does not.
    fn check(&self) -> Result<(), String> {
        for (number, page) in self.pages.iter().filter(|(_, page)| page.now != Protection::NoAccess) {
            self.read(number * self.page, page.bytes.len())?;
        }
        let window = self.linux.facts().window();
        let start = window.start();
        for area in proc::mappings().expect("proc") {
            // The kernel may have joined a mapping of ours with one beside the window.
            let Some(inside) = area.extent.intersection(window) else { continue };
            let step = usize::try_from(self.page).expect("a page");
            for address in (inside.start()..=inside.last()).step_by(step) {
                let model = self.pages.get(&((address - start) / self.page)).map(|page| page.now);
                let writes = model == Some(Protection::ReadWrite);
                // What is prepared is executable all the time, and full of traps while it is not mapped.
                let executes = model == Some(Protection::ReadExecute) || self.is_prepared && model.is_none();
                let reads = executes || model.is_some_and(|now| now != Protection::NoAccess);
                if area.is_writable && !writes || area.is_executable && !executes || area.is_readable && !reads {
                    return Err(format!("{:#x} is {model:?}, and the kernel says {area:?}", address - start));
                }
            }
        }
        Ok(())
    }
}

fn expect(should_work: bool, outcome: Result<(), BackendError>) -> Result<(), String> {
    if outcome.is_ok() == should_work { Ok(()) } else { Err(format!("{outcome:?}, which should work: {should_work}")) }
}

fn runs(publish: Publish, options: &Options, ops: &[Op]) -> TestResult {
    let mut world = World::new(publish, options);
    for (step, op) in ops.iter().enumerate() {
        if let Err(why) = world.run(op) {
            return TestResult::error(format!("step {step}, {op:?}: {why}"));
        }
    }
    if let Err(why) = world.check() {
        return TestResult::error(why);
    }
    let left: Vec<u64> = world.pages.keys().copied().collect();
    for page in left {
        world.unmap(page, 1).expect("mapped");
    }
    assert_eq!(world.linux.facts().waiting_bytes(), 0, "with nothing mapped, nothing waits");
    TestResult::passed()
}

/// Operations in number enough to fill the few pages there are.
#[derive(Debug, Clone)]
struct Script(Vec<Op>);

impl Arbitrary for Script {
    fn arbitrary(g: &mut Gen) -> Self {
        Script((0..60).map(|_| Op::arbitrary(g)).collect())
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.0.shrink().map(Script))
    }
}

macro_rules! stamp {
    ($($test:ident: $publish:ident, $options:expr;)*) => {
        skip::tests! { $($test)* }

        $(fn $test() {
            fn property(script: Script) -> TestResult {
                runs(Publish::$publish, &$options, &script.0)
            }
            QuickCheck::new().tests(60).quickcheck(property as fn(Script) -> TestResult);
        })*
    };
}

stamp! {
    sequences_on_memory_mapped_twice: Poke, Options::default();
    sequences_on_memory_mapped_twice_that_is_large_at_once: Poke, Options::default().large_at_once();
    sequences_on_memory_with_hidden_views: Poke, Options::default().hidden_views();
    sequences_on_memory_that_the_kernel_writes: ProcMem, Options::default();
    sequences_on_memory_whose_rights_flip: Flip, Options::default();
    sequences_on_prepared_memory: Poke, Options::default().prepare(4 << 20);
}
