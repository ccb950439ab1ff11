//! What `wit/` says, as Rust: generated, and the only `unsafe` code of the SDK.
//!
//! Two worlds instead of the one world `plugin`, so that a plugin which exports
//! a resolver alone does not have to export a target too. A plugin with both
//! carries the description of both worlds, and componentising unites them. The
//! types are generated once, and shared.
//!
//! Nothing outside this crate may name what is in here: its shape is that of the
//! generator's version.

/// World `user-resolver`, and the types and imports that both worlds share.
pub mod user_resolver {
    wit_bindgen::generate!({
        path: "../wit",
        world: "sym:postgres/user-resolver",
        additional_derives: [PartialEq, Eq],
        generate_all,
        generate_unused_types: true,
        pub_export_macro: true,
    });
}

/// World `target`.
pub mod target {
    wit_bindgen::generate!({
        path: "../wit",
        world: "sym:postgres/target",
        with: {
            "sym:postgres/types@0.1.0": super::user_resolver::sym::postgres::types,
            "sym:postgres/log@0.1.0": super::user_resolver::sym::postgres::log,
            "sym:postgres/config@0.1.0": super::user_resolver::sym::postgres::config,
        },
        pub_export_macro: true,
    });
}
