//! What the scripts of the report draw from, as JSON that is safe inside a script element.

use anyhow::Result;
use execmem::Kind;
use serde_json::{Value, json};

use crate::compare::layout::Layout;
use crate::compare::outcome::{Comparison, Outcome};
use crate::survey::facts::Place;

/// The rights that leaves have.
const RIGHTS: [&str; 4] = ["---", "r--", "rw-", "r-x"];

/// The data of a comparison.
pub(crate) fn json(comparison: &Comparison) -> Result<String> {
    let states = comparison.policies.first().map_or(&[][..], |policy| &policy.layout.states);
    let states: Vec<_> = states.iter().map(|state| json!([state.event, state.mark, state.seconds])).collect();
    let mut names = comparison.names.clone();
    let read = read(&comparison.places, &mut names, states.len());
    let policies: Vec<_> = read.into_iter().chain(comparison.policies.iter().map(policy)).collect();
    let data = json!({
        "kinds": Kind::ALL.map(Kind::name),
        "rights": RIGHTS,
        "names": names,
        "window": comparison.window,
        "states": states,
        "start": start(comparison),
        "today": comparison.today,
        "policies": policies,
    });
    Ok(escaped(&serde_json::to_string(&data)?))
}

/// `<` inside a script element can end it or hide what follows; as an escape it is the same JSON.
fn escaped(json: &str) -> String {
    json.replace('<', "\\u003c")
}

/// The state that is shown first: with everything loaded.
fn start(comparison: &Comparison) -> usize {
    let state = |outcome: &Outcome| outcome.layout.state_of(outcome.fullest()?.mark);
    comparison.policies.first().and_then(state).unwrap_or(0)
}

/// What was read of the machine itself, as if it were a policy: places that touch or nearly do are one stretch, whose leaves
/// are of an unknown size.
fn read(places: &[Place], names: &mut Vec<String>, states: usize) -> Option<Value> {
    /// Between symbols of one module there may be as much.
    const NEAR: u64 = 64 << 10;
    let mut places: Vec<_> = places.iter().collect();
    places.sort_by_key(|place| place.start);
    let base = places.first()?.start.0;
    let mut stretches: Vec<(u64, u64)> = Vec::new();
    let mut parts = Vec::new();
    for place in places {
        let (start, end) = (place.start.0 - base, (place.start.0 - base).saturating_add(place.bytes));
        match stretches.last_mut().filter(|(_, last)| start <= last.saturating_add(NEAR)) {
            Some((_, last)) => *last = end.max(*last),
            None => stretches.push((start, end)),
        }
        let kind = Kind::ALL.iter().position(|kind| kind.name() == place.kind).unwrap_or(0);
        parts.push(json!([start, place.bytes, kind, names.len(), 0, states]));
        names.push(place.name.clone());
    }
    let leaves: Vec<_> = stretches.iter().map(|(start, end)| json!([start, end - start, 0, 0, 0, states])).collect();
    Some(json!({
        "name": "this machine",
        "isRead": true,
        "comparable": true,
        "base": format!("{base:#x}"),
        "leaves": leaves,
        "parts": parts,
        "history": [],
    }))
}

fn policy(outcome: &Outcome) -> Value {
    let Layout { leaves, parts, .. } = &outcome.layout;
    let base = leaves.iter().map(|life| life.what.start).min().unwrap_or(0);
    let offset = |start: u64| start.saturating_sub(base);
    let rights = |rights: &str| RIGHTS.iter().position(|known| *known == rights).unwrap_or(0);
    let leaves: Vec<_> = leaves
        .iter()
        .map(|life| {
            let leaf = life.what;
            json!([offset(leaf.start), leaf.len, leaf.page, rights(leaf.rights), life.from, life.to])
        })
        .collect();
    let parts: Vec<_> = parts
        .iter()
        .map(|life| {
            let part = life.what;
            json!([offset(part.start), part.len, part.kind.index(), part.load, life.from, life.to])
        })
        .collect();
    let history: Vec<_> = outcome.history.iter().map(|sample| json!([sample.event, sample.lost])).collect();
    json!({
        "name": outcome.name,
        "comparable": outcome.is_comparable,
        "base": format!("{base:#x}"),
        "leaves": leaves,
        "parts": parts,
        "history": history,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_the_script_or_hides_what_follows() {
        let json = serde_json::to_string(&["</script><script>alert(1)<!--<script>"]).expect("JSON");
        let escaped = escaped(&json);
        assert!(!escaped.contains('<'), "{escaped}");
        assert_eq!(
            serde_json::from_str::<Value>(&escaped).expect("JSON"),
            serde_json::from_str::<Value>(&json).expect("JSON")
        );
    }
}
