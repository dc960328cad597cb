//! The JSON that the command writes and reads, against the schemas that it prints and that are kept here.

use serde_json::Value;

use super::support::{bpftool, compare, file, proc_modules, succeed};

skip::tests! {
    the_schemas_are_those_that_are_kept
    every_comparison_is_of_its_schema
    every_survey_is_of_its_schema_and_is_read_again
}

fn schema(of: &str) -> Value {
    serde_json::from_str(&succeed(&["schema", of])).expect("JSON")
}

fn check(schema: &Value, instance: &Value) {
    let validator = jsonschema::validator_for(schema).expect("a schema");
    let errors: Vec<_> =
        validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(errors, Vec::<String>::new());
}

/// A change of a schema is seen here. One by which an older reader would misread a newer file needs a new version in
/// `compare/outcome.rs` or `survey/facts.rs`. `EXECMEM_BLESS=1` writes the files anew.
fn the_schemas_are_those_that_are_kept() {
    for of in ["compare", "survey"] {
        let path = format!("{}/schema/{of}.schema.json", env!("CARGO_MANIFEST_DIR"));
        let printed = succeed(&["schema", of]);
        if std::env::var_os("EXECMEM_BLESS").is_some() {
            std::fs::write(&path, &printed).expect("the schema");
        }
        let kept = std::fs::read_to_string(&path).expect("the schema");
        assert!(kept == printed, "{path} is not what `execmem schema {of}` prints");
    }
}

fn every_comparison_is_of_its_schema() {
    let schema = schema("compare");
    let trace = file("schema.trace", "1 module_load a 8192\n2 bpf_load b 90\n");
    let map = file("schema.map", "1000 40 a\n");
    let own = file("schema.modules", &proc_modules(5));
    for arguments in [
        &["--churn", "10", "--set", "laptop"][..],
        &["--churn", "10", "--arch", "s390"],
        &["--churn", "10", "--window", "4"],
        &["--trace", &trace],
        &["--perf-map", &map],
        &["--proc-modules", &own],
    ] {
        check(&schema, &compare(arguments));
    }
    let mut other = compare(&["--perf-map", &map]);
    other["surprise"] = Value::Bool(true);
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    assert!(!validator.is_valid(&other), "what is not in the schema is not allowed");
}

fn every_survey_is_of_its_schema_and_is_read_again() {
    let schema = schema("survey");
    let (modules, programs) = (file("schema.own", &proc_modules(5)), file("schema.json", &bpftool(5)));
    let trace = file("schema.trace2", "1 module_load a 8192 text=8000\n");
    let (maps, map) = (file("schema.maps", "1000-2000 rwxp 0 00:00 0\n"), file("schema.map2", "1000 40 a\n"));
    for arguments in [
        &["--proc-modules", &modules, "--bpftool", &programs][..],
        &["--trace", &trace],
        &["--maps", &maps, "--perf-map", &map],
    ] {
        let text = succeed(&[&["survey"], arguments].concat());
        check(&schema, &serde_json::from_str(&text).expect("JSON"));
        let again = file("schema.again", &text);
        compare(&["--from", &again]);
    }
}
