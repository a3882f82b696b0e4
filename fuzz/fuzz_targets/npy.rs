//! No header of a `.npy` file may panic its reader or make it allocate what the file does not hold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tamis_core::exchange::npy::{read_f32, read_header};

fuzz_target!(|data: &[u8]| {
    let _ = read_header(&mut &data[..]);
    let _ = read_f32(&mut &data[..], 1 << 16);
});
