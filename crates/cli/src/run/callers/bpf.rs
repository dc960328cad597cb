//! BPF programs, called by way of dispatchers; or the same programs in packs.

use anyhow::Result;
use execmem::{Engine, Extent, Kind, Memory};
use execmem_clients::bpf::{Bpf, Dispatcher, MAX_TARGETS, Options, Program, ProgramRequest, Trust};
use execmem_clients::patch::NoBreakpoints;
use execmem_clients::prog_pack::{Packed, ProgPacks};
use execmem_clients::{Credit, Id, Usage};
use execmem_sim::Random;

use super::{Held, Place, count};
use crate::run::report::Checked;
use crate::run::{baseline, progress};
use crate::workload::{self, Callers};
use crate::{execute, generate};

type FlushNothing = fn();
type Client<'e, B> = Bpf<&'e Engine<B>, FlushNothing>;

/// What places the programs, and their names.
enum Placer<'e, B: Memory<Kind>> {
    Engine { client: Client<'e, B>, ids: Vec<Id<Program>>, dispatchers: Vec<Dispatcher<NoBreakpoints>> },
    Packs { client: ProgPacks<&'e Engine<B>>, ids: Vec<Id<Packed>> },
}

/// The programs that are installed.
pub(super) struct Programs<'e, B: Memory<Kind>> {
    placer: Placer<'e, B>,
    extents: Vec<Extent>,
    results: Checked,
    usage: Usage,
}

/// Installs each program as an allocation of the engine, and calls all of them through dispatchers.
pub(super) fn install<'e, B: Memory<Kind>>(place: &Place<'e, B>, load: &Callers) -> Result<Programs<'e, B>> {
    let options = Options { limit: u64::MAX, seed: load.seed, flush_predictors: (|| ()) as FlushNothing };
    let client = Bpf::new(place.engine, options);
    let insert = |tag: u32, len: u32| {
        let code = generate::function(tag, len as usize);
        let request =
            ProgramRequest { len: code.len() as u64, align: 4, trust: Trust::Trusted, credit: Credit::Limited };
        let mut binary = client.alloc(&request)?;
        binary.image_mut().copy_from_slice(&code);
        anyhow::Ok(binary.finalize()?)
    };
    let programs = churn(load, insert, |id| Ok(client.free(id)?))?;
    let images: Vec<Extent> = programs.iter().map(|(id, ..)| client.image(*id)).collect::<Result<_, _>>()?;
    let mut results = Checked { made: programs.len() as u64, ..Checked::default() };
    let mut dispatchers = Vec::new();
    for (group, targets) in programs.chunks(MAX_TARGETS).zip(images.chunks(MAX_TARGETS)) {
        let mut dispatcher = client.dispatcher(NoBreakpoints)?;
        let addresses: Vec<u64> = targets.iter().map(|image| image.start()).collect();
        // No processor executes it yet.
        client.update(&mut dispatcher, &addresses, || ())?;
        for ((_, tag, len), address) in group.iter().zip(addresses) {
            let run = || execute::call_with(dispatcher.entry(), [0, 0, address, 0]) == generate::result_of(*tag);
            count(&mut results, place.is_right(address, &generate::function(*tag, *len as usize), run)?);
        }
        dispatchers.push(dispatcher);
    }
    let (usage, ids) = (client.usage(), programs.into_iter().map(|(id, ..)| id).collect());
    Ok(Programs { placer: Placer::Engine { client, ids, dispatchers }, extents: images, results, usage })
}

/// Puts the programs into packs, and calls all of them directly.
pub(super) fn install_packed<'e, B: Memory<Kind>>(place: &Place<'e, B>, load: &Callers) -> Result<Programs<'e, B>> {
    let client = ProgPacks::new(place.engine, u64::MAX);
    let insert = |tag: u32, len: u32| {
        let code = generate::function(tag, len as usize);
        let id = client.alloc(code.len() as u64)?;
        client.write(id, 0, &code)?;
        anyhow::Ok(id)
    };
    let programs = churn(load, insert, |id| Ok(client.free(id)?))?;
    let mut results = Checked { made: programs.len() as u64, ..Checked::default() };
    let mut extents = Vec::new();
    for (id, tag, len) in &programs {
        let (address, code) = (client.address(*id)?, generate::function(*tag, *len as usize));
        let run = || execute::call(address, 0) == generate::result_of(*tag);
        count(&mut results, place.is_right(address, &code, run)?);
        extents.extend(Extent::new(address, code.len() as u64));
    }
    let (usage, ids) = (client.usage(), programs.into_iter().map(|(id, ..)| id).collect());
    Ok(Programs { placer: Placer::Packs { client, ids }, extents, results, usage })
}

/// Installs programs and replaces some. Returns each with its tag and length.
fn churn<I: Copy>(
    load: &Callers,
    insert: impl Fn(u32, u32) -> Result<I>,
    free: impl Fn(I) -> Result<()>,
) -> Result<Vec<(I, u32, u32)>> {
    let load_bpf = &load.bpf;
    let mut random = Random::new(load.seed);
    let mut programs = Vec::new();
    let bar = progress(u64::from(load_bpf.count) + u64::from(load_bpf.churn), "programs");
    for tag in 0..load_bpf.count {
        let len = workload::size(&mut random, &load_bpf.sizes);
        programs.push((insert(tag, len)?, tag, len));
        bar.inc(1);
    }
    for tag in load_bpf.count..load_bpf.count.saturating_add(load_bpf.churn) {
        let victim = workload::below(&mut random, load_bpf.count) as usize;
        let len = workload::size(&mut random, &load_bpf.sizes);
        free(programs[victim].0)?;
        programs[victim] = (insert(tag, len)?, tag, len);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(programs)
}

impl<B: Memory<Kind>> Programs<'_, B> {
    pub(super) fn held(&self) -> Held {
        let baseline_pages = self.extents.iter().map(|extent| baseline::function_pages(extent.len())).sum();
        Held { caller: "bpf", usage: self.usage, extents: self.extents.clone(), baseline_pages, results: self.results }
    }

    pub(super) fn unload(self) -> Result<()> {
        match self.placer {
            Placer::Engine { client, ids, dispatchers } => {
                dispatchers.iter().try_for_each(|dispatcher| client.close(dispatcher))?;
                Ok(ids.into_iter().try_for_each(|id| client.free(id))?)
            }
            Placer::Packs { client, ids } => Ok(ids.into_iter().try_for_each(|id| client.free(id))?),
        }
    }
}
