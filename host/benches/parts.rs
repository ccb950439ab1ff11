//! The parts of one event, by criterion.
//!
//! `cargo xtask bench` runs this and shows it beside whole functions. A store
//! with a signed release of `plugins/` comes from there, by the variables
//! `SYM_BENCH_STORE` and `SYM_BENCH_TRUST`; the directory with the components,
//! by `SYM_BENCH_PLUGINS`; and one such directory for each language, comma
//! separated as `name=path`, by `SYM_BENCH_LANGUAGES`.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use sym_host::aws::Aws;
use sym_host::event::Event;
use sym_host::plan::{Plan, Statement, Step, Strategy};
use sym_host::plugin::release_store::ReleaseStore;
use sym_host::plugin::trust::Trust;
use sym_host::plugin::{Engine, Release, Source, Spent};
use sym_host::policy::{Policy, SqlPolicy};
use sym_host::request::{DurationUnit, Request};
use sym_host::secret::Password;
use sym_host::sql::Template;
use tokio::runtime::Runtime;
use tokio::time::Instant;

const USER: &str = "symuser75c471289bca6deb6cd22ed7";
const SQL: &str = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {username}";
const EVENT: &str = include_str!("../../events/v6/escalate-role.json");

/// Between two events, for what is done ahead.
const WAIT: Duration = Duration::from_millis(5);

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run this by `cargo xtask bench --only parts`")
    })
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
}

fn request() -> Request {
    let event = Event::parse(EVENT).expect("the sample parses");
    Request::from_event(&event, EVENT, DurationUnit::Minutes).expect("the sample is valid")
}

fn trust() -> Trust {
    Trust::parse(&variable("SYM_BENCH_TRUST")).expect("the key is one")
}

fn load(runtime: &Runtime, engine: &Engine, source: &Source) -> Release {
    let loaded = runtime.block_on(source.load(engine, &Aws::default()));
    loaded.expect("the release loads").release
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// What is pure: reading, rendering, checking, hashing.
fn pure(criterion: &mut Criterion) {
    criterion.bench_function("event", |bencher| bencher.iter(request));
    criterion.bench_function("render", |bencher| {
        let template = Template::parse(SQL).expect("parses");
        bencher.iter(|| template.render(black_box(USER), &[]).expect("renders"));
    });
    criterion.bench_function("policy", |bencher| {
        let policy = Policy {
            sql: SqlPolicy::Grants,
            grantable_roles: None,
            bot: "sym_bot".to_owned(),
        };
        let plan = Plan {
            strategy: Strategy::TemporaryUser,
            username: USER.to_owned(),
            steps: vec![Step::Sql(Statement {
                sql: SQL.to_owned(),
                args: Vec::new(),
            })],
        };
        bencher.iter(|| black_box(&plan).authorize(&policy).expect("is allowed"));
    });
    criterion.bench_function("scram", |bencher| {
        let password = Password::generate().expect("there is randomness");
        bencher.iter(|| password.to_verifier().expect("hashes"));
    });
}

/// Plugins: from bytes to an answer.
fn plugins(criterion: &mut Criterion) {
    let runtime = runtime();
    let engine = Engine::new().expect("the engine starts");
    let (trust, url) = (trust(), variable("SYM_BENCH_STORE"));
    let store = ReleaseStore::parse(&url).expect("the store is one");
    let pointer = runtime
        .block_on(store.get(&Aws::default(), "current.json", 1 << 20))
        .expect("there is a release");
    criterion.bench_function("verify", |bencher| {
        bencher.iter(|| {
            trust
                .verify(black_box(&pointer.bytes), "sym-postgres")
                .expect("is signed")
        });
    });
    let native = Source::parse(&url, Some(&trust), "sym-postgres").expect("the store is one");
    criterion.bench_function("load-native", |bencher| {
        bencher.iter(|| {
            let release = load(&runtime, &engine, &native);
            runtime.block_on(release.check_all()).expect("loads");
        });
    });
    let directory = format!("dir://{}", variable("SYM_BENCH_PLUGINS"));
    let directory = Source::parse(&directory, None, "sym-postgres").expect("the directory is one");
    criterion.bench_function("compile-in-place", |bencher| {
        bencher.iter(|| {
            let release = load(&runtime, &engine, &directory);
            runtime.block_on(release.check_all()).expect("compiles");
        });
    });

    let release = load(&runtime, &engine, &native);
    let request = request();
    // Each call is a fresh instance: there is no other kind.
    criterion.bench_function("resolve-user", |bencher| {
        bencher.iter(|| {
            let call = release.resolve_user(&request, Strategy::Role, deadline());
            runtime.block_on(call).expect("resolves")
        });
    });
    criterion.bench_function("plugins", |bencher| {
        bencher.iter(|| runtime.block_on(both(&release, &request)));
    });
    for language in variable("SYM_BENCH_LANGUAGES").split(',') {
        let (name, path) = language.split_once('=').expect("is `name=path`");
        let source = Source::parse(&format!("dir://{path}"), None, "sym-postgres");
        let release = load(&runtime, &engine, &source.expect("the directory is one"));
        runtime.block_on(release.check_all()).expect("compiles");
        criterion.bench_function(&format!("plugins-{name}"), |bencher| {
            bencher.iter_custom(|count| {
                let mut time = Duration::ZERO;
                let mut spent = Vec::new();
                for _ in 0..count {
                    // As in an event, which then waits for the database.
                    let wait = async {
                        release.start_ahead(&request.target.name, std::mem::take(&mut spent));
                        tokio::time::sleep(WAIT).await;
                    };
                    runtime.block_on(wait);
                    let start = Instant::now();
                    spent = black_box(runtime.block_on(both(&release, &request)));
                    time += start.elapsed();
                }
                time
            });
        });
    }
}

/// The plugins' part of an event, and what is left of it.
async fn both(release: &Release, request: &Request) -> Vec<Spent> {
    let user = release.resolve_user(request, Strategy::Role, deadline());
    let user = user.await.expect("resolves");
    let steps = release.setup(request, Strategy::Role, &user.value, deadline());
    let steps = steps.await.expect("sets up");
    black_box(steps.value);
    vec![user.spent, steps.spent]
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    pure(&mut criterion);
    plugins(&mut criterion);
    criterion.final_summary();
}
