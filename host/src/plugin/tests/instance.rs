//! Instances that are started ahead: as fresh as the others, and with the same limits.

use std::sync::Arc;

use super::guest::{Guest, answer};
use super::*;
use crate::plugin::component::Plugin;
use crate::plugin::world::Resolver;

/// Answers with the number of its calls so far, as a letter: `b` for the first.
fn counts() -> Vec<u8> {
    let body = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store8 (i32.const 256) (i32.add (i32.const 97) (global.get $calls)))
        i32.const 16";
    Guest::resolver(body)
        .field("(global $calls (mut i32) (i32.const 0))")
        .data(16, &answer(0, &[(256, 1)]))
        .build()
}

fn resolver_of(release: &Release) -> &Arc<Plugin<Resolver>> {
    release.resolver.as_ref().expect("has a resolver")
}

async fn ask(release: &Release) -> Answer<String> {
    release
        .resolve_user(&request(), Strategy::Role, soon())
        .await
        .expect("answers")
}

#[tokio::test]
async fn one_that_was_started_ahead_is_as_fresh_and_takes_as_much() {
    let manifest = "[resolver]\ncomponent = \"x.wasm\"\n";
    let release = load(manifest, &[("x.wasm", &counts())])
        .await
        .expect("loads");
    let first = ask(&release).await;
    for _ in 0..3 {
        let starting = resolver_of(&release).start_ahead();
        // Once more changes nothing: there is one.
        assert!(resolver_of(&release).start_ahead().is_none());
        starting.expect("is not done").start.await;
        let next = ask(&release).await;
        assert_eq!(next.value, "b");
        assert_eq!(next.cost.fuel, first.cost.fuel);
        assert_eq!(next.cost.memory_bytes, first.cost.memory_bytes);
    }
}

#[tokio::test]
async fn what_cannot_start_is_not_started_ahead_and_says_so_in_each_call() {
    let manifest = "[resolver]\ncomponent = \"x.wasm\"\n[resolver.limits]\nmemory_bytes = 65536\n";
    let component = Guest::user("ada").pages(2).build();
    let release = load(manifest, &[("x.wasm", &component)])
        .await
        .expect("loads");
    for _ in 0..2 {
        let result = release
            .resolve_user(&request(), Strategy::Role, soon())
            .await;
        assert_refused(result, Code::PluginMemory, &["memory_bytes"]);
        assert!(resolver_of(&release).start_ahead().is_none());
    }
}

#[tokio::test]
async fn an_event_that_waits_has_the_next_one_started_by_the_way() {
    let manifest = "[resolver]\ncomponent = \"x.wasm\"\n";
    let release = load(manifest, &[("x.wasm", &counts())])
        .await
        .expect("loads");
    let ahead = resolver_of(&release).ahead();
    // How it starts is known after the first call alone.
    release.start_ahead("readonly", Vec::new());
    assert!(ahead.take("run").await.is_none());
    let answer = ask(&release).await;
    release.start_ahead("readonly", vec![answer.spent]);
    assert!(ahead.take("run").await.is_some());
}

#[tokio::test]
async fn one_target_at_a_time_has_an_instance_ahead() {
    let manifest = "[resolver]\ncomponent = \"x.wasm\"\n[targets.a]\ncomponent = \"y.wasm\"\n[targets.b]\ncomponent = \"y.wasm\"\n";
    let target = Guest::roles(&["readonly"]).build();
    let release = load(manifest, &[("x.wasm", &counts()), ("y.wasm", &target)])
        .await
        .expect("loads");
    let plugin = |name: &str| match &release.target(name).expect("is there").setup {
        crate::plugin::release::TargetKind::Component(plugin) => plugin.clone(),
        _ => panic!("is a component"),
    };
    for name in ["a", "b"] {
        let request = request_of("1", name);
        let called = release.setup(&request, Strategy::Role, "ada", soon()).await;
        called.expect("answers");
        let starting = plugin(name).start_ahead().expect("is not done");
        starting.start.await;
    }
    release.start_ahead("b", Vec::new());
    assert!(plugin("a").ahead().take("run").await.is_none());
    assert!(plugin("b").ahead().take("run").await.is_some());
}

#[tokio::test]
async fn one_that_takes_much_memory_to_start_is_not_started_ahead() {
    let manifest = "[resolver]\ncomponent = \"x.wasm\"\n";
    // Pages of 64 KiB: 32 MiB, and one more.
    for (pages, is_ahead) in [(512, true), (513, false)] {
        let component = Guest::user("ada").pages(pages).build();
        let release = load(manifest, &[("x.wasm", &component)])
            .await
            .expect("loads");
        let answer = ask(&release).await;
        release.start_ahead("readonly", vec![answer.spent]);
        let ahead = resolver_of(&release).ahead().take("run").await;
        assert_eq!(ahead.is_some(), is_ahead, "{pages}");
    }
}
