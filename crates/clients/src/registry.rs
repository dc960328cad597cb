//! Things of a client, and names for them that go stale when the thing is gone.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::Error;
use crate::growth::try_reserve;

/// Tells clients apart. Takes no part in any protocol.
static NEXT_CLIENT: AtomicU32 = AtomicU32::new(1);

/// Names something that a client holds. Using it after the thing is gone, or with another client, is an error.
pub struct Id<T> {
    client: u32,
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// Place in the client's table.
    pub(crate) const fn index(self) -> u32 {
        self.index
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.client, self.index, self.generation) == (other.client, other.index, other.generation)
    }
}

impl<T> Eq for Id<T> {}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.client, self.index, self.generation)
    }
}

/// The things of one client.
///
/// Taking one out never needs memory.
#[derive(Debug)]
pub(crate) struct Registry<T> {
    client: u32,
    entries: Vec<Entry<T>>,
    /// The last entry that was taken from, if any.
    vacant: Option<u32>,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Debug)]
enum Content<T> {
    Held(T),
    /// And the vacant entry after this one.
    Vacant(Option<u32>),
}

impl<T> Registry<T> {
    pub(crate) fn new() -> Self {
        Registry { client: NEXT_CLIENT.fetch_add(1, Ordering::Relaxed), entries: Vec::new(), vacant: None }
    }

    /// Makes sure that the next [`insert`](Self::insert) has room.
    pub(crate) fn reserve(&mut self) -> Result<(), Error> {
        if self.vacant.is_some() { Ok(()) } else { try_reserve(&mut self.entries, 1) }
    }

    /// Puts something in, or gives it back where there is no room.
    pub(crate) fn insert(&mut self, value: T) -> Result<Id<T>, (T, Error)> {
        if let Err(error) = self.reserve() {
            return Err((value, error));
        }
        let Some(index) = self.vacant else {
            let index = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
            self.entries.push(Entry { generation: 0, content: Content::Held(value) });
            return Ok(self.id(index, 0));
        };
        let entry = &mut self.entries[index as usize];
        if let Content::Vacant(next) = entry.content {
            self.vacant = next;
        }
        entry.content = Content::Held(value);
        let generation = entry.generation;
        Ok(self.id(index, generation))
    }

    pub(crate) fn get_mut(&mut self, id: Id<T>) -> Result<&mut T, Error> {
        let client = self.client;
        if id.client != client {
            return Err(Error::ForeignId { client: id.client, wanted: client });
        }
        match self.entries.get_mut(id.index as usize) {
            Some(Entry { generation, content: Content::Held(value) }) if *generation == id.generation => Ok(value),
            _ => Err(Error::StaleId { index: id.index }),
        }
    }

    pub(crate) fn remove(&mut self, id: Id<T>) -> Result<T, Error> {
        self.get_mut(id)?;
        self.remove_at(id.index).ok_or(Error::StaleId { index: id.index })
    }

    /// How many places there are, vacant ones included.
    pub(crate) fn places(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    /// Takes out what is in a place, if anything is.
    pub(crate) fn remove_at(&mut self, index: u32) -> Option<T> {
        let entry = self.entries.get_mut(index as usize)?;
        if let Content::Vacant(_) = entry.content {
            return None;
        }
        // A number that has come round would name something else: such an entry is not used again.
        let is_last = entry.generation == u32::MAX;
        let next = if is_last { None } else { self.vacant };
        let content = core::mem::replace(&mut entry.content, Content::Vacant(next));
        if !is_last {
            entry.generation += 1;
            self.vacant = Some(index);
        }
        match content {
            Content::Held(value) => Some(value),
            Content::Vacant(_) => None,
        }
    }

    /// Everything held, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().filter_map(|entry| match &entry.content {
            Content::Held(value) => Some(value),
            Content::Vacant(_) => None,
        })
    }

    const fn id(&self, index: u32, generation: u32) -> Id<T> {
        Id { client: self.client, index, generation, of: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_stale_and_entries_are_used_again() {
        let mut registry = Registry::new();
        let first = registry.insert('a').expect("memory");
        let second = registry.insert('b').expect("memory");
        assert_eq!(registry.remove(first), Ok('a'));
        assert_eq!(registry.remove(first), Err(Error::StaleId { index: 0 }));
        let third = registry.insert('c').expect("memory");
        assert_ne!(first, third);
        assert_eq!(registry.get_mut(first), Err(Error::StaleId { index: 0 }));
        assert_eq!(registry.get_mut(second), Ok(&mut 'b'));
        assert_eq!(registry.iter().count(), 2);
        assert_eq!([0, 1, 0, 2].map(|place| registry.remove_at(place)), [Some('c'), Some('b'), None, None]);
        assert_eq!((registry.iter().count(), registry.places()), (0, 2));
        let mut other = Registry::<char>::new();
        assert!(matches!(other.remove(third), Err(Error::ForeignId { .. })));
    }
}
