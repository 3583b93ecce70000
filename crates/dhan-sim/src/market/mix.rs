/// Sixty-four bits that look random and depend on `a` and `b` alone.
pub(super) const fn mix(a: u64, b: u64) -> u64 {
    // The finaliser of SplitMix64, twice.
    let mut z = finish(a.wrapping_add(0x9e37_79b9_7f4a_7c15));
    z = z.wrapping_add(b.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    finish(z)
}

const fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The top of `bits` as a number from 0 up to, not including, 1.
pub(super) const fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}
