//! From a type with our traits to the functions that the host calls.
//!
//! On any other machine than wasm32 the macros only check that the traits are
//! there: a native linker takes the `@` in an exported name for a symbol version.

use crate::bindings::{target, user_resolver};
use crate::{Failure, Request, Resolver, Step, Target, panic_hook};

/// Exports a type's [`Resolver`].
///
/// ```
/// use sym_guest_sdk::prelude::*;
///
/// struct Mine;
/// impl Resolver for Mine {
///     fn resolve_user(request: &Request) -> Result<String, Failure> {
///         Ok(request.requester.username.clone())
///     }
/// }
/// export_resolver!(Mine);
/// ```
#[macro_export]
macro_rules! export_resolver {
    ($plugin:ident) => {
        const _: () = $crate::__private::is_resolver::<$plugin>();
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $crate::__private::user_resolver::export!(
                $plugin with_types_in $crate::__private::user_resolver
            );
        };
    };
}

/// Exports a type's [`Target`].
///
/// ```
/// use sym_guest_sdk::prelude::*;
///
/// struct Mine;
/// impl Target for Mine {
///     fn setup(_: &Request, _username: &str) -> Result<Vec<Step>, Failure> {
///         Ok(vec![Step::grant_role("readonly")])
///     }
/// }
/// export_target!(Mine);
/// ```
#[macro_export]
macro_rules! export_target {
    ($plugin:ident) => {
        const _: () = $crate::__private::is_target::<$plugin>();
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $crate::__private::target::export!(
                $plugin with_types_in $crate::__private::target
            );
        };
    };
}

/// Exports a type's [`Resolver`] and its [`Target`].
///
/// The example at the top of the crate is one.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ident) => {
        $crate::export_resolver!($plugin);
        $crate::export_target!($plugin);
    };
}

/// What the macros above name. No part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::{target, user_resolver};

    /// Compiles for a resolver alone, on every machine.
    pub const fn is_resolver<T: crate::Resolver>() {}

    /// Compiles for a target alone, on every machine.
    pub const fn is_target<T: crate::Target>() {}
}

impl<T: Resolver> user_resolver::exports::sym::postgres::resolver::Guest for T {
    fn resolve_user(request: Request) -> Result<String, Failure> {
        panic_hook::install();
        T::resolve_user(&request)
    }
}

impl<T: Target> target::exports::sym::postgres::target_setup::Guest for T {
    fn setup(request: Request, username: String) -> Result<Vec<Step>, Failure> {
        panic_hook::install();
        T::setup(&request, &username)
    }
}
