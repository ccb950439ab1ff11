//! What the configuration orders, in both functions.

use std::hint::black_box;

use sym_guest_sdk::prelude::*;

/// Two MiB: more than a plugin may answer.
pub const FLOOD: usize = 2 << 20;

pub fn obey(request: &Request) -> Result<(), Failure> {
    if let Some(line) = config::get("log") {
        log::info!("{line}");
    }
    if config::get("levels").is_some() {
        log::debug!("one");
        log::info!("two");
        log::warn!("three");
        log::error!("four");
    }
    if let Some(line) = config::get("print") {
        // println! goes nowhere on this target.
        log::info!("{line}");
    }
    match config::get("do").as_deref() {
        Some("deny") => Err(Failure::denied(format!(
            "Denied: {}",
            request.requester.username
        ))),
        Some("fail") => Err(Failure::new("out-of-order", "Call the operator.")),
        Some("panic") => panic!("out of cheese"),
        Some("loop") => loop {
            black_box(());
        },
        Some("memory") => loop {
            std::mem::forget(black_box(Vec::<u8>::with_capacity(1 << 20)));
        },
        Some("chatter") => {
            for number in 0..1000 {
                log::info!("line {number}");
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

pub fn floods() -> bool {
    config::get("do").as_deref() == Some("flood")
}
