//! Configuration files.
//!
//! `syntax` takes a file apart, whatever it is about; `settings` knows the
//! keys and makes a [`Config`](midge_server::Config) of them. The server knows
//! nothing of files: whoever starts one reads them, the first time and again.

#![forbid(unsafe_code)]

mod accounts;
mod exchange;
mod listeners;
#[cfg(not(feature = "tls"))]
mod no_tls;
mod read;
mod settings;
mod syntax;
#[cfg(feature = "tls")]
mod tls;
mod tree;
mod users;

pub use settings::{LogDetail, LogFormat, LogSettings, Settings, parse_config, read_config};
