//! Configuration files.
//!
//! `syntax` takes a file apart, whatever it is about; `settings` knows the
//! keys and makes a [`Config`](crate::Config) of them.

mod read;
mod settings;
mod syntax;
mod tree;
mod users;

pub use settings::{LogDetail, Settings, read_config};
