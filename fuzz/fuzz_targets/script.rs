//! See `strikewire_fuzz::script`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strikewire_fuzz::script(data));
