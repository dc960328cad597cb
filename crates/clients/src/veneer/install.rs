//! Code whose branches get veneers where they do not reach.

use alloc::vec::Vec;

use execmem::sync::Locking;
use execmem::{CodeTag, Draft, Engine, Handle, KindName, KindTag, KnownKind, Live, Memory, Stage};
use execmem_types::InstructionSet;

use crate::Error;

/// A direct branch in code that is to be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    /// Where it is, in bytes from the start of the code. What stands there is replaced.
    pub offset: u64,
    /// Where it leads.
    pub target: u64,
    /// It is a call, and not a jump.
    pub is_call: bool,
}

/// Code that is installed.
#[derive(Debug)]
#[must_use = "memory whose handle is dropped is never freed"]
pub struct Installed<K: KnownKind> {
    /// The code, and its veneers behind it.
    pub code: Live<K>,
    /// How many veneers there are: one a target that is out of reach.
    pub veneers: usize,
}

/// Bytes ready for an address.
struct Linked {
    bytes: Vec<u8>,
    veneers: usize,
}

/// Installs `body` with its branches, all of it or nothing.
///
/// If the code lands where every branch reaches its target, it takes no room for veneers. Otherwise veneers lie behind
/// it, within reach of its own branches, one a target.
///
/// # Errors
///
/// [`Error::NoVeneer`] if a branch does not reach and the machine has no veneer that does, or the code is too long for
/// its own branches; [`Error::OutsideCode`], [`Error::OutOfMemory`], [`Error::Engine`].
pub fn install<K, M, L>(engine: &Engine<M, K::Set, L>, body: &[u8], branches: &[Branch]) -> Result<Installed<K>, Error>
where
    K: KnownKind + CodeTag,
    M: Memory<K::Set>,
    L: Locking,
{
    let instructions = engine.table().machine().instructions;
    let len = body.len() as u64;
    let bare = engine.alloc::<K>(len)?;
    match link(instructions, body, branches, bare.address(), false, K::KIND.into()) {
        Ok(linked) => return publish(engine, bare, &linked),
        Err(error) => {
            free(engine, bare);
            let Error::NoVeneer { .. } = error else { return Err(error) };
        }
    }
    let each = instructions.veneer_bytes().unwrap_or(0);
    let room = each.saturating_mul(branches.len() as u64).saturating_add(instructions.veneer_alignment.bytes());
    let draft = engine.alloc::<K>(len.saturating_add(room))?;
    match link(instructions, body, branches, draft.address(), true, K::KIND.into()) {
        Ok(linked) => publish(engine, draft, &linked),
        Err(error) => {
            free(engine, draft);
            Err(error)
        }
    }
}

/// Writes, frees what is not needed, and publishes.
fn publish<K, M, L>(engine: &Engine<M, K::Set, L>, mut draft: Draft<K>, linked: &Linked) -> Result<Installed<K>, Error>
where
    K: KnownKind + CodeTag,
    M: Memory<K::Set>,
    L: Locking,
{
    if let Err(error) = engine.write(&mut draft, 0, &linked.bytes) {
        free(engine, draft);
        return Err(error.into());
    }
    // An error means that there is nothing to cut off, or no memory to do so: the rest stays, and traps.
    let _ = engine.truncate(&mut draft, linked.bytes.len() as u64);
    match engine.publish(draft) {
        Ok(code) => Ok(Installed { code, veneers: linked.veneers }),
        Err(failed) => {
            free(engine, failed.handle);
            Err(failed.error.into())
        }
    }
}

/// The bytes of `body` at an address, with its branches encoded, and veneers behind it if there may be any.
fn link(
    instructions: &InstructionSet,
    body: &[u8],
    branches: &[Branch],
    address: u64,
    may_have_veneers: bool,
    kind: KindName,
) -> Result<Linked, Error> {
    let mut linked = Linked { bytes: copy(body, kind)?, veneers: 0 };
    let mut targets: Vec<(u64, u64)> = Vec::new();
    let bytes = size_of_val(branches) as u64;
    targets.try_reserve_exact(branches.len()).map_err(|_| Error::OutOfMemory { kind, len: bytes })?;
    for branch in branches {
        let site = address.wrapping_add(branch.offset);
        let no_veneer = Error::NoVeneer { site, target: branch.target };
        let form = if branch.is_call { instructions.call } else { instructions.jump };
        let form = form.ok_or(no_veneer)?;
        let encoded = match form.encode(site, branch.target) {
            Some(encoded) => encoded,
            None if may_have_veneers => {
                let known = targets.iter().find(|(target, _)| *target == branch.target).map(|(_, veneer)| *veneer);
                let veneer = match known {
                    Some(veneer) => veneer,
                    None => append(instructions, &mut linked, address, branch.target, kind)?.ok_or(no_veneer)?,
                };
                if known.is_none() {
                    targets.push((branch.target, veneer));
                }
                form.encode(site, veneer).ok_or(no_veneer)?
            }
            None => return Err(no_veneer),
        };
        let outside = Error::OutsideCode { offset: branch.offset };
        let start = usize::try_from(branch.offset).map_err(|_| outside)?;
        let end = start.checked_add(encoded.bytes().len()).filter(|end| *end <= body.len()).ok_or(outside)?;
        linked.bytes[start..end].copy_from_slice(encoded.bytes());
    }
    Ok(linked)
}

/// Appends a veneer and returns its address; `None` if the machine has none that reaches.
fn append(
    instructions: &InstructionSet,
    linked: &mut Linked,
    address: u64,
    target: u64,
    kind: KindName,
) -> Result<Option<u64>, Error> {
    let end = address.wrapping_add(linked.bytes.len() as u64);
    let Some(site) = instructions.veneer_alignment.round_up(end) else { return Ok(None) };
    let Some(encoded) = instructions.veneer(site, target) else { return Ok(None) };
    let padding = usize::try_from(site - end).unwrap_or(0);
    let len = padding + encoded.bytes().len();
    linked.bytes.try_reserve(len).map_err(|_| Error::OutOfMemory { kind, len: len as u64 })?;
    let start = linked.bytes.len();
    linked.bytes.resize(start + padding, 0);
    // Breakpoints where they fit: no thread gets here.
    for gap in linked.bytes[start..].chunks_exact_mut(instructions.breakpoint.len().max(1)) {
        gap.copy_from_slice(instructions.breakpoint);
    }
    linked.bytes.extend_from_slice(encoded.bytes());
    linked.veneers += 1;
    Ok(Some(site))
}

fn copy(body: &[u8], kind: KindName) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let out_of_memory = Error::OutOfMemory { kind, len: body.len() as u64 };
    bytes.try_reserve_exact(body.len()).map_err(|_| out_of_memory)?;
    bytes.extend_from_slice(body);
    Ok(bytes)
}

/// Frees a handle of this very engine, which always accepts it.
fn free<M: Memory<K::Set>, L: Locking, T: Stage, K: KindTag>(engine: &Engine<M, K::Set, L>, handle: Handle<T, K>) {
    let _ = engine.free(handle);
}
