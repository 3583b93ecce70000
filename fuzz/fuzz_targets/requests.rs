//! See `strikewire_fuzz::requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strikewire_fuzz::requests(data));
