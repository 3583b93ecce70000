//! See `strikewire_fuzz::rest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strikewire_fuzz::rest(data));
