//! Tracers: each counts the calls of one function in its own word of data.

use anyhow::Result;
use execmem::kinds::{Data, Text};
use execmem::{Engine, Extent, Kind, Live, Memory};
use execmem_clients::Id;
use execmem_clients::ftrace::{Ftrace, Ops};
use execmem_clients::patch::NoBreakpoints;

use super::{Held, Place, code, count};
use crate::execute;
use crate::run::report::Checked;
use crate::workload::Callers;

/// Calls of each traced function.
const CALLS: u32 = 3;

/// The traced functions and their tracers.
pub(super) struct Tracers<'p, 'e, B: Memory<Kind>> {
    place: &'p Place<'e, B>,
    /// Sites change before anybody executes them, so no breakpoint is ever hit.
    client: Ftrace<&'e Engine<B>, NoBreakpoints>,
    tracer: Live<Text>,
    counters: Live<Data>,
    /// Each with its site.
    functions: Vec<(Live<Text>, u64, Id<Ops>)>,
}

pub(super) fn register<'p, 'e, B: Memory<Kind>>(place: &'p Place<'e, B>, load: &Callers) -> Result<Tracers<'p, 'e, B>> {
    let engine = place.engine;
    let install = |bytes: &[u8]| -> Result<Live<Text>> {
        let mut draft = engine.alloc::<Text>(bytes.len() as u64)?;
        engine.write(&mut draft, 0, bytes)?;
        Ok(engine.publish(draft)?)
    };
    let client = Ftrace::new(engine, NoBreakpoints, u64::MAX)?;
    let tracer = install(&place.samples.tracer())?;
    let counters = engine.publish(engine.alloc::<Data>(u64::from(load.tracers.max(1)) * 8)?)?;
    let mut functions = Vec::new();
    for number in 0..load.tracers {
        let (bytes, site) = place.samples.traced(client.nop().bytes(), number);
        let function = install(&bytes)?;
        let ops = client.register(tracer.address(), counters.address() + u64::from(number) * 8)?;
        client.enable(ops, &function, site)?;
        functions.push((function, site, ops));
    }
    Ok(Tracers { place, client, tracer, counters, functions })
}

impl<B: Memory<Kind>> Tracers<'_, '_, B> {
    pub(super) fn held(&self) -> Result<Held> {
        let mut results = Checked { made: self.functions.len() as u64, ..Checked::default() };
        let mut extents = Vec::new();
        for (number, (function, _, ops)) in (0..).zip(&self.functions) {
            extents.extend(Extent::new(self.client.address(*ops)?, 1));
            if self.place.executes {
                let calls = (0..CALLS).map(|argument| (execute::call(function.address(), argument), argument));
                calls.for_each(|(found, argument)| count(&mut results, found == code::result(number, argument)));
            }
            let mut counted = [0; 8];
            self.place.engine.read(&self.counters, u64::from(number) * 8, &mut counted)?;
            let wanted = if self.place.executes { u64::from(CALLS) } else { 0 };
            count(&mut results, u64::from_le_bytes(counted) == wanted);
        }
        let (usage, baseline_pages) = (self.client.usage(), self.functions.len() as u64);
        Ok(Held { caller: "ftrace", usage, extents, baseline_pages, results })
    }

    pub(super) fn unload(self) -> Result<()> {
        for (function, site, ops) in self.functions {
            self.client.disable(ops, &function, site)?;
            self.client.unregister(ops, || ())?;
            self.place.engine.free(function)?;
        }
        self.place.engine.free(self.tracer)?;
        Ok(self.place.engine.free(self.counters)?)
    }
}
