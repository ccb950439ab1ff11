//! What `wit/` says, as Rust: generated, and nothing else.
//!
//! The world `plugin` exports both interfaces, so its own `PluginPre` would ask
//! every component for both. The types and the indices of each interface are
//! used one by one instead; see [`component`](super::component).

wasmtime::component::bindgen!({
    path: "../wit",
    world: "sym:postgres/plugin",
    imports: { default: trappable },
    exports: { default: async },
});
