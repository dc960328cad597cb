//! Walks of page tables beside splits and merges.

use std::sync::Arc;

use execmem_sim::{Alias, TableWriter};

use crate::{search, spawn};

/// Leaves of one and two frames, and four frames in two large leaves.
fn writer() -> TableWriter {
    TableWriter::new(vec![1, 2], 4)
}

#[test]
fn a_walk_never_reads_a_table_that_a_merge_freed_and_a_split_took_again() {
    search(|| {
        let mut writer = writer();
        writer.split(0);
        let tables = Arc::clone(writer.tables());
        let walker = spawn(move || tables.walk(1));
        writer.merge(0, 0);
        writer.split(2);
        writer.merge(0, 2);
        let leaf = walker.join().expect("no freed table was read").expect("mapped");
        assert!(matches!((leaf.first, leaf.frames), (1, 1) | (0, 2)), "{leaf:?}");
    });
}

#[test]
fn a_walk_beside_a_change_finds_what_was_there_before_or_after() {
    search(|| {
        let mut writer = writer();
        let tables = Arc::clone(writer.tables());
        let walker = spawn(move || tables.walk(3));
        writer.split(2);
        writer.set(3, Alias::ReadOnly);
        let leaf = walker.join().expect("no freed table was read").expect("mapped");
        let found = (leaf.first, leaf.frames, leaf.alias);
        let possible = [(2, 2, Alias::ReadWrite), (3, 1, Alias::ReadWrite), (3, 1, Alias::ReadOnly)];
        assert!(possible.contains(&found), "{found:?}");
    });
}
