//! Where windows, writable views and first allocations lie, start after start.

use std::collections::HashSet;
use std::io::Write as _;

use execmem::{Engine, kinds::Data};
use execmem_linux::{Linux, Options, Place, proc, symbol};

use super::code::{engine_of, install};
use super::process::{in_a_process, in_child, output_in_a_process};

skip::tests! {
    places_near_the_program_have_the_bits_that_are_promised
    places_anywhere_have_the_bits_that_are_promised
    a_seed_decides_about_places
    random_places_cost_no_large_pages
}

/// Starts of a program that are compared.
const STARTS: u32 = 200;

/// Places of one process, in units of 2 MiB.
#[derive(Debug, Clone, Copy)]
struct Places {
    program: i64,
    library: i64,
    window: i64,
    view: i64,
    next_view: i64,
    code: i64,
    data: i64,
}

/// The writable views of this process.
fn views() -> Vec<u64> {
    let areas = proc::mappings().expect("proc");
    let views = areas.iter().filter(|area| area.is_writable && area.name.starts_with("/memfd:"));
    views.map(|area| area.extent.start()).collect()
}

/// What a process says of its places.
fn say(options: &Options) {
    let engine = engine_of(options);
    let code = install(&engine, 1, 64);
    let first = views();
    let data = engine.alloc::<Data>(64).expect("room");
    let more = install(&engine, 2, 3 << 20);
    let next = views().into_iter().find(|view| !first.contains(view)).expect("another unit");
    let program = say as *const () as usize as u64;
    let library = symbol("malloc").expect("a C library");
    let window = engine.facts().window().start();
    let places = [program, library, window, first[0], next, code.address(), data.address()];
    writeln!(std::io::stdout(), "places {places:?}").expect("a pipe");
    engine.free(more).expect("ours");
}

fn places(test: &str, options: &Options) -> Option<Places> {
    let text = output_in_a_process(test, || say(options))?;
    let line = text.lines().find_map(|line| line.split_once("places ")).expect("a line").1;
    let mut numbers =
        line.trim_matches(['[', ']']).split(", ").map(|number| number.parse::<i64>().expect("a number") >> 21);
    let mut next = || numbers.next().expect("seven numbers");
    let [program, library, window, view, next_view, code, data] = [(); 7].map(|()| next());
    Some(Places { program, library, window, view, next_view, code, data })
}

/// How many values a difference has in many starts.
fn distinct(all: &[Places], of: impl Fn(&Places) -> i64) -> u32 {
    u32::try_from(all.iter().map(of).collect::<HashSet<_>>().len()).expect("few")
}

/// How many of all draws from so many values are expected to differ, less a margin that chance hardly ever exceeds.
fn expected(bits: u8) -> f64 {
    let (draws, values) = (f64::from(STARTS), f64::from(bits).exp2());
    let mean = values * (1.0 - (-draws / values).exp());
    mean - 4.0 * mean.sqrt().min(draws.sqrt() / 2.0)
}

/// Fails unless as many of all draws differ.
fn check(what: &str, bits: u8, distinct: u32) {
    assert!(f64::from(distinct) >= expected(bits), "{what}: {distinct} of {STARTS} differ, not {}", expected(bits));
}

fn places_near_the_program_have_the_bits_that_are_promised() {
    let test = "entropy::places_near_the_program_have_the_bits_that_are_promised";
    let all: Vec<_> = (0..STARTS).map_while(|_| places(test, &Options::default())).collect();
    if all.is_empty() {
        return;
    }
    check("window and program", 8, distinct(&all, |places| places.window - places.program));
    check("view and library", 26, distinct(&all, |places| places.view - places.library));
    check("view and window", 26, distinct(&all, |places| places.view - places.window));
    check("two views", 26, distinct(&all, |places| places.next_view - places.view));
    check("code in the window", 8, distinct(&all, |places| places.code - places.window));
    check("data in the window", 8, distinct(&all, |places| places.data - places.window));
    check("data and code", 9, distinct(&all, |places| places.data - places.code));
    check("code and program", 9, distinct(&all, |places| places.code - places.program));
}

fn places_anywhere_have_the_bits_that_are_promised() {
    let test = "entropy::places_anywhere_have_the_bits_that_are_promised";
    let options = Options::default().place(Place::Anywhere);
    let all: Vec<_> = (0..STARTS).map_while(|_| places(test, &options)).collect();
    if all.is_empty() {
        return;
    }
    for (what, count) in [
        ("window and program", distinct(&all, |places| places.window - places.program)),
        ("window and library", distinct(&all, |places| places.window - places.library)),
        ("window and view", distinct(&all, |places| places.window - places.view)),
    ] {
        check(what, 26, count);
    }
}

fn a_seed_decides_about_places() {
    in_a_process("entropy::a_seed_decides_about_places", || {
        let window = |options: Options| {
            let place = || {
                let linux = Linux::reserve(&options).expect("room");
                let engine = Engine::new(linux.table().expect("a table"), linux).expect("memory");
                let code = install(&engine, 1, 64);
                let start = engine.facts().window().start();
                // Half of each, which is enough to tell them apart.
                i32::try_from((start >> 21 ^ (code.address() - start) >> 21 ^ views()[0] >> 21) & 0xff).unwrap_or(0)
            };
            in_child(place)
        };
        let options = Options::default().place(Place::Anywhere);
        let same: HashSet<_> = (0..4).map(|_| window(options.seed(1))).collect();
        assert_eq!(same.len(), 1);
        let others: HashSet<_> = (0..16).map(|seed| window(options.seed(seed))).collect();
        assert!(others.len() > 8, "{others:?}");
    });
}

fn random_places_cost_no_large_pages() {
    for _ in 0..8 {
        let engine = engine_of(&Options::default().large_at_once().without_reserved_pages());
        let functions: Vec<_> = (0..2000).map(|value| install(&engine, value, 2000)).collect();
        let (text, large) = super::code::text_bytes(&engine);
        assert_eq!((text, large), (4 << 20, 4 << 20));
        functions.into_iter().for_each(|function| engine.free(function).expect("ours"));
    }
}
