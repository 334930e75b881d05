//! Tells the linker how to make the program smaller.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The first version of glibc that reads packed relocations.
const PACKED_SINCE: (u32, u32) = (2, 36);

/// Functions that have come out the same are kept once: 27 KB. Nothing here
/// compares the addresses of functions.
const FOLD_THE_SAME: &str = "-Wl,--icf=all";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Addresses that the loader has to adjust take a bit each instead of 24
    // bytes: 60 KB. As with all of glibc, the program needs the version that it
    // was built with or a later one.
    if takes_packed_relocations() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    // Debuggers want each function under its own name.
    if is("PROFILE", "release") && linker_takes(FOLD_THE_SAME) {
        println!("cargo::rustc-link-arg-bins={FOLD_THE_SAME}");
    }
}

fn is(name: &str, value: &str) -> bool {
    env::var(name).is_ok_and(|found| found == value)
}

/// Whether the program is for the machine that it is built on, and that has a
/// glibc which is new enough.
fn takes_packed_relocations() -> bool {
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

/// Whether the linker knows an argument: not all do, and which one it is
/// depends on the target, the toolchain and whoever builds. It is asked with a
/// program that does nothing.
fn linker_takes(argument: &str) -> bool {
    let folder = env::var("OUT_DIR").unwrap_or_default();
    let source = Path::new(&folder).join("nothing.rs");
    if fs::write(&source, "fn main() {}").is_err() {
        return false;
    }
    let mut rustc = Command::new(env::var("RUSTC").unwrap_or_default());
    rustc.arg(&source).args(["--out-dir", &folder]);
    rustc.args(["--target", &env::var("TARGET").unwrap_or_default()]);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    rustc.arg(format!("-Clink-arg={argument}"));
    rustc.output().is_ok_and(|done| done.status.success())
}
