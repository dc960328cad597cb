//! Ways to break what the models guard: one for each, as text that is replaced.

use anyhow::{Result, ensure};

/// A way to break one file.
#[derive(Debug)]
pub(crate) struct Mutation {
    /// The model that must fail.
    pub(crate) model: &'static str,
    /// What is wrong then.
    pub(crate) what: &'static str,
    pub(crate) file: &'static str,
    /// Text that occurs once, and what takes its place.
    edits: &'static [(&'static str, &'static str)],
}

pub(crate) const MUTATIONS: &[Mutation] = &[
    Mutation {
        model: "engine::of_two_allocations_that_race_for_the_last_range_one_gets_it",
        what: "a range is handed out and stays in its hole",
        file: "crates/range/src/arena.rs",
        edits: &[("        self.holes.carve(part, page, id, start, n);\n        page.enter", "        page.enter")],
    },
    Mutation {
        model: "engine::who_makes_room_gets_it_while_others_allocate_and_free_and_nobody_makes_more",
        what: "nobody looks again before memory is mapped",
        file: "crates/engine/src/pool/place.rs",
        edits: &[(
            "        match self.pool.take(number, want)? {\n            Some(taken) => Ok(Some(taken)),",
            "        match None::<Taken> {\n            Some(taken) => Ok(Some(taken)),",
        )],
    },
    Mutation {
        model: "engine::a_block_whose_last_range_is_freed_while_memory_is_taken_back_goes_once",
        what: "a block goes whether or not it is empty",
        file: "crates/engine/src/region.rs",
        edits: &[("rposition(|block| block.is_empty)", "rposition(|block| !block.is_empty)")],
    },
    Mutation {
        model: "engine::published_code_survives_that_its_place_was_freed_just_before",
        what: "content is destroyed after its place is free",
        file: "crates/engine/src/pool/retire.rs",
        edits: RETIRE_LATE,
    },
    Mutation {
        model: "live_map::a_look_up_beside_free_and_reuse_tells_what_was_there_at_some_time",
        what: "the length of a range is not noted",
        file: "crates/range/src/live_map/word.rs",
        edits: &[(
            "if is_last { Word(word & ((1 << LEN_SHIFT) - 1) | (len as u64) << LEN_SHIFT) } else",
            "if is_last { Word(word) } else",
        )],
    },
    Mutation {
        model: "live_map::a_range_that_is_cut_is_found_all_the_time",
        what: "no entry stands for a range while it is cut",
        file: "crates/range/src/live_map/page.rs",
        edits: &[(
            "        self.put(at, len, tag);\n        self.store(at, self.own_word(at).without_live(in_word(at)));\n",
            "        self.store(at, self.own_word(at).without_live(in_word(at)));\n",
        )],
    },
    Mutation {
        model: "live_map::a_range_that_is_cut_in_a_later_word_is_found_all_the_time",
        what: "a word is not noted as used before something live starts in it",
        file: "crates/range/src/live_map/page.rs",
        edits: &[("            other.set_used(cut);\n", "")],
    },
    Mutation {
        model: "patching::a_site_that_begins_to_call_is_executed_as_it_was_or_as_it_is",
        what: "no breakpoint stands while the other bytes change",
        file: "crates/clients/src/patch.rs",
        edits: &[("    code.patch(site, &[breakpoint])?;\n", "")],
    },
    Mutation {
        model: "patching::a_trampoline_goes_when_nobody_calls_it_and_nobody_is_in_it",
        what: "nobody waits until processors have left it",
        file: "crates/clients/src/ftrace.rs",
        edits: &[("        grace();\n        self.client.free(taken.code);", "        self.client.free(taken.code);")],
    },
    Mutation {
        model: "patching::a_word_that_is_replaced_is_the_new_one_for_everybody_from_then_on",
        what: "processors are not told that published code changed",
        file: "crates/engine/src/memory/seam.rs",
        edits: &[("        self.sync(part, SyncScope::Live)\n", "        Ok(())\n")],
    },
    Mutation {
        model: "patching::a_dispatcher_is_in_one_half_from_entry_to_end_while_both_are_replaced",
        what: "nobody waits until processors have left the half before",
        file: "crates/clients/src/bpf/dispatcher.rs",
        edits: &[("        self.half_in_use = after;\n        grace();\n", "        self.half_in_use = after;\n")],
    },
    Mutation {
        model: "probes::a_slot_that_is_taken_while_the_last_one_is_freed_keeps_its_code",
        what: "content is destroyed after its place is free",
        file: "crates/engine/src/pool/retire.rs",
        edits: RETIRE_LATE,
    },
    Mutation {
        model: "walks::a_walk_never_reads_a_table_that_a_merge_freed_and_a_split_took_again",
        what: "a table is freed while walks may be in it",
        file: "crates/sim/src/grace.rs",
        edits: &[("if self.latest(&self.walks[over]) > 0 {", "if over > 1 {")],
    },
    Mutation {
        model: "walks::a_walk_beside_a_change_finds_what_was_there_before_or_after",
        what: "a table is linked before it has entries",
        file: "crates/sim/src/tables.rs",
        edits: &[(
            "        let slot = self.make(leaf.level, leaf.first, |_| Entry::Leaf(leaf.alias));\n        Entry::Table(slot)",
            "        let slot = self.make(leaf.level, leaf.first, |_| Entry::Nothing);\n        Entry::Table(slot)",
        )],
    },
];

const RETIRE_LATE: &[(&str, &str)] = &[
    (
        "            let is_retired = match defers {\n",
        "            let is_retired = true;\n            let _ = match defers {\n",
    ),
    ("                false => self.retire(stage, allocation),\n", "                false => true,\n"),
    ("        });\n        freed\n", "        });\n        self.retire(stage, &allocations[0]);\n        freed\n"),
];

impl Mutation {
    /// The text of the file, broken.
    pub(crate) fn apply(&self, text: &str) -> Result<String> {
        let mut broken = text.to_owned();
        for (old, new) in self.edits {
            let count = broken.matches(old).count();
            ensure!(count == 1, "{}: {count} places to break, not one: {old}", self.file);
            broken = broken.replace(old, new);
        }
        Ok(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_finds_its_line() {
        for mutation in MUTATIONS {
            let path = crate::workspace::root().join(mutation.file);
            let text = std::fs::read_to_string(path).expect("a file of the workspace");
            let broken = mutation.apply(&text).expect("one place");
            assert_ne!(broken, text);
        }
    }
}
