//! Secrets Manager that is away: refusing connections, or silent. Access ends
//! all the same, and what remains to be done is said and done later.

use std::time::Duration;

use anyhow::ensure;
use sym_test_support::lambda::Lambda;
use sym_test_support::proxy::Proxy;

use crate::fixture::{Event, ORDERS, SWEEP, World, count_orders, refusal, success};

const NO_SECRETS: &str = "the store of secrets is unavailable, or refuses the function: try again, and if it stays so, see \
    the function's log [secret-unavailable]";

/// A way to be away.
#[derive(Clone, Copy, Debug)]
enum Outage {
    Refusing,
    Silent,
}

/// A function whose AWS can be taken away.
struct Cloud {
    world: World,
    wire: Proxy,
    lambda: Lambda,
}

impl Cloud {
    async fn start() -> anyhow::Result<Cloud> {
        let world = World::builder().aws().start().await?;
        let wire = Proxy::start(world.aws().port())?;
        let endpoint = format!("http://127.0.0.1:{}", wire.port());
        let lambda = world.another(&[("AWS_ENDPOINT_URL", &endpoint)]).await?;
        Ok(Cloud {
            world,
            wire,
            lambda,
        })
    }

    fn set(&self, outage: Outage, is_on: bool) {
        // What is open already is as useless.
        self.wire.cut_all();
        match outage {
            Outage::Refusing => self.wire.set_refusing(is_on),
            Outage::Silent => self.wire.set_silent(is_on),
        }
    }
}

#[tokio::test]
async fn access_ends_without_aws_and_the_rest_is_done_later() -> anyhow::Result<()> {
    let cloud = Cloud::start().await?;
    let world = &cloud.world;
    let before = world.state().await?;
    for (outage, is_swept) in [(Outage::Refusing, false), (Outage::Silent, true)] {
        let event = Event::escalate_temporary_user();
        let body = world.body_of(&cloud.lambda, &event.to_string()).await?;
        let name = body["secret_name"].as_str().unwrap_or_default().to_owned();
        let secret = world.secret(&name).await?;
        let text = |field: &str| secret[field].as_str().unwrap_or_default();
        let (user, password) = (text("username"), text("password"));
        let session = world.login(user, password).await;
        let session = session.map_err(anyhow::Error::msg)?;
        assert_eq!(count_orders(&session).await, Ok(ORDERS));

        cloud.set(outage, true);
        let end = event.end().to_string();
        let sentence = refusal(&format!(
            "temporary user `{user}` can't log in any more, but its secret could not be deleted: \
             send the event again, or leave it to the sweep; the function's log has the reason [secret-unavailable]"
        ));
        assert_eq!(
            world.send_to(&cloud.lambda, &end).await?,
            sentence,
            "{outage:?}"
        );
        // All that gives access is gone, the session too.
        ensure!(
            count_orders(&session).await.is_err(),
            "{outage:?}: the session is there"
        );
        let login = world.count_orders(user, password).await;
        assert_eq!(login, Err("28P01".to_owned()), "{outage:?}");
        let has_role = format!("SELECT pg_has_role('{user}', 'readonly', 'MEMBER')");
        assert_eq!(world.query(&has_role).await?.as_deref(), Some("false"));
        assert_eq!(world.run_state(&event).await?.as_deref(), Some("ending"));
        assert_eq!(world.secrets().await?, [name]);
        assert_eq!(
            world.send_to(&cloud.lambda, SWEEP).await?,
            sentence,
            "{outage:?}"
        );
        world.ledger_agrees().await?;

        cloud.set(outage, false);
        if is_swept {
            let body = world.body_of(&cloud.lambda, SWEEP).await?;
            assert_eq!(body["swept"], 1);
        } else {
            let answer = world.send_to(&cloud.lambda, &end).await?;
            assert_eq!(answer, success(serde_json::json!({})));
        }
        assert_eq!(world.run_state(&event).await?.as_deref(), Some("ended"));
        world.is_as(&before).await?;
    }
    Ok(())
}

#[tokio::test]
async fn without_aws_no_user_is_made_and_the_same_event_makes_it_later() -> anyhow::Result<()> {
    let cloud = Cloud::start().await?;
    let world = &cloud.world;
    let before = world.state().await?;
    for outage in [Outage::Refusing, Outage::Silent] {
        let event = Event::escalate_temporary_user();
        cloud.set(outage, true);
        let answer = world.send_to(&cloud.lambda, &event.to_string()).await?;
        assert_eq!(answer, refusal(NO_SECRETS), "{outage:?}");
        world.is_as(&before).await?;
        world.ledger_agrees().await?;
        assert_eq!(world.run_state(&event).await?.as_deref(), Some("pending"));

        cloud.set(outage, false);
        let body = world.body_of(&cloud.lambda, &event.to_string()).await?;
        let secret = world
            .secret(body["secret_name"].as_str().unwrap_or_default())
            .await?;
        let text = |field: &str| secret[field].as_str().unwrap_or_default();
        let counted = world.count_orders(text("username"), text("password")).await;
        assert_eq!(counted, Ok(ORDERS));
        world
            .body_of(&cloud.lambda, &event.end().to_string())
            .await?;
        world.is_as(&before).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_run_that_lends_a_role_needs_no_aws() -> anyhow::Result<()> {
    let cloud = Cloud::start().await?;
    cloud.set(Outage::Refusing, true);
    let event = Event::escalate();
    for event in [event.to_string(), event.end().to_string()] {
        cloud.world.body_of(&cloud.lambda, &event).await?;
    }
    cloud.world.ledger_agrees().await
}

#[tokio::test]
async fn a_silent_store_keeps_no_session_that_the_sweep_has_to_end() -> anyhow::Result<()> {
    let cloud = Cloud::start().await?;
    let world = &cloud.world;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let event = Event::escalate_temporary_user();
        let body = world.body_of(&cloud.lambda, &event.to_string()).await?;
        let name = body["secret_name"].as_str().unwrap_or_default().to_owned();
        let secret = world.secret(&name).await?;
        let text = |field: &str| secret[field].as_str().unwrap_or_default();
        let session = world.login(text("username"), text("password")).await;
        sessions.push(session.map_err(anyhow::Error::msg)?);
    }
    world.let_time_pass().await?;
    cloud.set(Outage::Silent, true);
    // Not long enough for one secret.
    cloud.lambda.set_timeout(Duration::from_secs(5));
    let answer = world.send_to(&cloud.lambda, SWEEP).await?;
    assert_eq!(
        answer,
        refusal(
            "the function's time was over before 3 overdue run(s) had ended: the next sweep goes on, and if it stays so, \
             `symctl sweep` has no such limit [out-of-time]"
        )
    );
    for session in &sessions {
        assert!(count_orders(session).await.is_err());
    }
    // It counts all the same, so that the alarms ring.
    let logs = cloud.lambda.logs();
    for metric in [
        "\"SweepFound\":3",
        "\"SweepFailed\":3",
        "\"GrantsOverdue\":3",
    ] {
        ensure!(logs.contains(metric), "{metric}: {logs}");
    }
    cloud.set(Outage::Silent, false);
    cloud.lambda.set_timeout(Duration::from_secs(30));
    let body = world.body_of(&cloud.lambda, SWEEP).await?;
    assert_eq!(body["swept"], 3);
    Ok(())
}
