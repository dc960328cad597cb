//! Kprobes: functions whose first instruction runs in a slot.

use anyhow::{Context as _, Result};
use execmem::kinds::Text;
use execmem::{Engine, Extent, Kind, Live, Memory};
use execmem_clients::Id;
use execmem_clients::kprobe::{Kprobes, Slot, SlotFormat};
use execmem_clients::patch::Sites;
use execmem_sim::Random;

use super::{Held, Place, code, count};
use crate::execute;
use crate::run::baseline;
use crate::run::report::Checked;
use crate::workload::{self, Callers};

/// The functions and their probes.
pub(super) struct Probes<'p, 'e, B: Memory<Kind>> {
    place: &'p Place<'e, B>,
    client: Kprobes<&'e Engine<B>>,
    functions: Vec<(Live<Text>, Id<Slot>)>,
}

pub(super) fn set<'p, 'e, B: Memory<Kind>>(place: &'p Place<'e, B>, load: &Callers) -> Result<Probes<'p, 'e, B>> {
    let isa = place.engine.table().machine().instructions.isa;
    let format = SlotFormat::of(isa).context("slots of this machine")?;
    let client = Kprobes::new(place.engine, format, u64::MAX);
    let mut probes = Probes { place, client, functions: Vec::new() };
    for number in 0..load.kprobes {
        let bytes = place.samples.probed(number);
        let mut draft = place.engine.alloc::<Text>(bytes.len() as u64)?;
        place.engine.write(&mut draft, 0, &bytes)?;
        let function = place.engine.publish(draft)?;
        let slot = probes.insert(&function, number)?;
        probes.functions.push((function, slot));
    }
    let mut random = Random::new(load.seed);
    for _ in 0..load.kprobe_churn.min(load.kprobes.saturating_mul(1000)) {
        let number = workload::below(&mut random, load.kprobes);
        probes.replace(number)?;
    }
    Ok(probes)
}

impl<B: Memory<Kind>> Probes<'_, '_, B> {
    /// A probe: the copy in a slot, and a jump to it where the instruction stood.
    fn insert(&self, function: &Live<Text>, number: u32) -> Result<Id<Slot>> {
        let (samples, source) = (self.place.samples, function.address());
        let bytes = samples.probed(number);
        let slot = self.client.insert(|slot| samples.slot(source, &bytes, slot))?;
        let sites = Sites::of(self.place.engine.table().machine()).context("patches")?;
        let probe = samples.probe(&sites, source, self.client.address(slot)?)?;
        // No processor executes the function yet.
        self.place.engine.patch_unexecuted(function, 0, &probe)?;
        Ok(slot)
    }

    /// Takes a probe away, and sets it again.
    fn replace(&mut self, number: u32) -> Result<()> {
        let index = number as usize;
        let (function, slot) = &self.functions[index];
        self.place.engine.patch_unexecuted(function, 0, &self.place.samples.probed(number))?;
        if self.client.release(*slot)? {
            // No processor executes anything here meanwhile: the grace period is over at once.
            self.client.collect(|| ());
        }
        let slot = self.insert(function, number)?;
        self.functions[index].1 = slot;
        Ok(())
    }

    pub(super) fn held(&self) -> Result<Held> {
        let mut results = Checked { made: self.functions.len() as u64, ..Checked::default() };
        let mut extents = Vec::new();
        for (number, (function, slot)) in (0..).zip(&self.functions) {
            let address = self.client.address(*slot)?;
            let samples = self.place.samples;
            let wanted = samples.slot(function.address(), &samples.probed(number), address)?;
            let run = || execute::call(function.address(), 5) == code::result(number, 5);
            count(&mut results, self.place.is_right(address, &wanted, run)?);
            extents.extend(Extent::new(address, 1));
        }
        let usage = self.client.usage();
        let baseline_pages = baseline::function_pages(usage.bytes);
        Ok(Held { caller: "kprobes", usage, extents, baseline_pages, results })
    }

    pub(super) fn unload(self) -> Result<()> {
        self.client.close(|| ());
        for (function, _) in self.functions {
            self.place.engine.free(function)?;
        }
        Ok(())
    }
}
