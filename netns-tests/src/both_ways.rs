//! The macro that turns one scenario into two tests, with an owned and with an unowned table.

/// Makes two tests, `NAME::owned` and `NAME::unowned`, of each function that takes an `Owner`.
///
/// Without privileges a test fails in CI and says "skipped" elsewhere; `owned` says so on a kernel whose tables do not
/// outlive their owner.
#[macro_export]
macro_rules! both_ways {
    ($($(#[$meta:meta])* fn $name:ident($owner:ident) $body:block)+) => {$(
        $(#[$meta])*
        fn $name($owner: $crate::Owner) $body

        mod $name {
            #[test]
            fn owned() {
                if $crate::ns::privileged() && $crate::kernel::owns() {
                    super::$name($crate::Owner::Enabled);
                }
            }

            #[test]
            fn unowned() {
                if $crate::ns::privileged() {
                    super::$name($crate::Owner::Disabled);
                }
            }
        }
    )+};
}
