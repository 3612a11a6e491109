//! Where the program's memory comes from.
//!
//! A worker holds the records of many shops for moments; with the allocator of the C
//! library their gaps stay with the process.

use std::ffi::{c_int, c_long};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` in mimalloc.h, which the crate names no constant for.
const PURGE_DELAY: c_int = 15;

const AT_ONCE: c_long = 0;

/// Gives memory that is free back to the system at once and not after a second, in which an
/// import frees some fifty megabytes. To be called first of all.
pub fn give_back_at_once() {
    // SAFETY: setting an option is not thread safe, and no other thread runs yet that could
    // read or set one; option and value are documented in mimalloc.h.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, AT_ONCE) }
}
