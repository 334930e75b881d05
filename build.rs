//! Tells the linker how to make the program smaller.

use std::env;
use std::process::Command;

/// The first version of glibc that reads packed relocations.
const PACKED_SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Addresses that the loader has to adjust take a bit each instead of 24
    // bytes: 60 KB. As with all of glibc, the program needs the version that it
    // was built with or a later one.
    if takes_packed_relocations() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Whether the program is for the machine that it is built on, and that has a
/// glibc which is new enough.
fn takes_packed_relocations() -> bool {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let is_glibc = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    let is_native = env::var("HOST") == env::var("TARGET");
    is_glibc && is_native && glibc().is_some_and(|version| version >= PACKED_SINCE)
}

/// This machine's glibc.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let said = String::from_utf8(said.ok()?.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
