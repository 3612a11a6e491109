//! Enumerations whose values have names.

/// Declares an enumeration from one table of its values and their names, which are stable: they are
/// stored, sent and shown.
#[macro_export]
macro_rules! names {
    (
        $(#[$meta:meta])*
        pub enum $type:ident {
            $( $(#[$of_value:meta])* $value:ident = $name:literal, )+
        }
    ) => {
        $(#[$meta])*
        pub enum $type {
            $( $(#[$of_value])* $value, )+
        }

        impl $type {
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$value),+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $( Self::$value => $name, )+
                }
            }

            /// The value of this name.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.as_str() == name)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
