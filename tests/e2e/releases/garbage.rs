//! What `symctl gc` deletes while others publish.

use sym_test_support::aws::Aws;
use sym_test_support::proxy::Proxy;

use super::publisher::Publisher;

// It has read already that nothing needs what only the old release has. Who publishes
// finds that there, and doesn't bring it again.
#[tokio::test]
async fn what_is_published_while_it_deletes_stays_whole() -> anyhow::Result<()> {
    let aws = Aws::start()?;
    aws.create_bucket("releases").await?;
    let publisher = Publisher::in_bucket(&aws, "releases")?;
    let publish = |plugins| publisher.publish(plugins, "team.key", &["--without-native"]);
    publish(publisher.first())?;
    publish(publisher.second())?;
    publish(publisher.second())?;

    let wire = Proxy::start(aws.port())?;
    let (url, trust) = (publisher.url(), publisher.trust());
    let collect = |more: &[&str]| {
        let mut command = publisher.command();
        command
            .env(
                "AWS_ENDPOINT_URL",
                format!("http://127.0.0.1:{}", wire.port()),
            )
            .args(["gc", &url, "--trust", &trust, "--keep", "0"])
            .args(more);
        command
    };
    assert!(collect(&["--dry-run"]).status()?.success());
    // The first request that a dry run doesn't make.
    let deletion = wire.traffic().requests + 1;
    wire.reset();
    wire.set_gate(deletion);
    let mut collecting = collect(&[]).spawn()?;
    wire.gate_reached().await;
    publish(publisher.first())?;
    wire.open_gate();
    assert!(collecting.wait()?.success());

    publisher.run(&["verify", &url, "--trust", &trust])?;
    let listed = publisher.json(&["releases", &url, "--json"])?;
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    Ok(())
}
