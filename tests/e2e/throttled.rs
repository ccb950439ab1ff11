//! A function of 128 MB, which has a fourteenth of a CPU: with the default
//! limits, a plugin that doesn't end is ended by its fuel, the same everywhere,
//! and not by the wall time, which hangs on the machine.

use std::time::Duration;

use anyhow::ensure;
use sym_test_support::throttle::Throttle;

use crate::fixture::{Behaviour, Event, World, target};

/// Loops without an end: one that does nothing, one that computes, one that
/// writes its memory, and one that calls.
const LOOPS: [(&str, &str); 4] = [
    ("nothing", "(loop $again (br $again))"),
    (
        "computing",
        "(loop $again (local.set 0 (i32.mul (i32.add (local.get 0) (i32.const 12345)) (i32.const 1103515245))) (br $again))",
    ),
    (
        "writing",
        "(loop $again
            (i32.store (i32.and (local.get 0) (i32.const 0xfffc)) (i32.add (i32.load (i32.and (local.get 0) (i32.const 0xfff8))) (local.get 0)))
            (local.set 0 (i32.add (local.get 0) (i32.const 68)))
            (br $again))",
    ),
    (
        "dividing",
        "(loop $again (local.set 0 (i32.div_u (i32.const 0x7fffffff) (i32.or (local.get 0) (i32.const 1)))) (br $again))",
    ),
];

#[tokio::test]
async fn an_endless_loop_ends_by_fuel_on_the_smallest_function() -> anyhow::Result<()> {
    let mut manifest =
        "[resolver]\ncomponent = \"default-resolver.wasm\"\n[targets.readonly]\n".to_owned();
    let mut builder = World::builder();
    for (name, code) in LOOPS {
        manifest.push_str(&format!("[targets.{name}]\ncomponent = \"{name}.wasm\"\n"));
        builder = builder.file(&format!("{name}.wasm"), target(&Behaviour::Code(code)));
    }
    let world = builder.file("plugins.toml", manifest).start().await?;
    // Of the function's own debug build, which is no measure of anything.
    world.lambda.set_timeout(Duration::from_secs(600));
    world.still_works().await?;

    let throttle = Throttle::as_lambda(world.lambda.process_id(), 128)?;
    for (name, _) in LOOPS {
        let event = Event::escalate().target(name);
        let answer = world.send(&event).await?.to_string();
        ensure!(answer.contains("[plugin-fuel]"), "{name}: {answer}");
        ensure!(
            answer.contains("its limit `fuel` is 50000000: "),
            "{name}: {answer}"
        );
    }
    drop(throttle);
    world.still_works().await
}
