#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| returnpath::fuzzing::mime_tree(input));
