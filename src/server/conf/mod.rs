//! Configuration files.
//!
//! `syntax` takes a file apart, whatever it is about.

pub(crate) mod syntax;
pub(crate) mod tree;
