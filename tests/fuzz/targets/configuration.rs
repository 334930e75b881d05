//! Whatever a configuration file says, it is read or refused, and what is read
//! can be read again as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_conf::parse_config;
use midge_server::Config;

fuzz_target!(|text: &str| {
    let read = parse_config(text, Config::default());
    if let Ok(settings) = &read {
        assert!(settings.config.check().is_ok());
    }
    let again = parse_config(text, Config::default());
    assert_eq!(read.is_ok(), again.is_ok());
    assert_eq!(read.err(), again.err());
});
