//! The slim build of the function, which has no compiler: it runs the native
//! code that `symctl` made, and refuses everything else with what mends it.

use anyhow::ensure;
use sym_test_support::tools;

use crate::fixture::{Event, World};
use crate::releases::publisher::Publisher;
use crate::releases::{is_denied, world_of};

fn slim() -> anyhow::Result<std::path::PathBuf> {
    let path = tools::target_directory().join("slim/bootstrap");
    ensure!(
        path.is_file(),
        "there is no slim build yet: `cargo xtask slim` makes it"
    );
    Ok(path)
}

#[tokio::test]
async fn native_code_that_symctl_made_runs_in_the_slim_build() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish_first()?;
    let builder = World::builder().bootstrap(slim()?);
    let world = world_of(builder, &publisher).await?;
    world.still_works().await?;
    publisher.publish_second()?;
    is_denied(&world).await
}

#[tokio::test]
async fn the_slim_build_refuses_what_it_would_have_to_compile() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish(publisher.first(), "team.key", &["--without-native"])?;
    let builder = World::builder().bootstrap(slim()?);
    let world = world_of(builder, &publisher).await?;
    let sentence = "plugin `resolver` (sha256 …), `default-resolver.wasm`, has no native code for this function, which \
        was built without a compiler: run `symctl publish` of version 0.1.0, which makes it, or use the standard build \
        [invalid-plugin]";
    world.refuses(&Event::escalate(), sentence).await?;
    // The release was not accepted, and a good one mends it.
    let accepted = "SELECT count(*) FROM sym.releases";
    assert_eq!(world.query(accepted).await?.as_deref(), Some("0"));
    publisher.publish_first()?;
    world.still_works().await
}
