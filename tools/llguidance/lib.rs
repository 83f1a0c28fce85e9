// Keeps llguidance's C functions in the static library.
pub use llguidance_crate::ffi::*;
