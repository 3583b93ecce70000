//! See `strikewire_fuzz::frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strikewire_fuzz::frames(data));
