//! What the merchant has allowed the app to do, and what an import needs.

/// What an import reads with.
pub const NEEDED: [&str; 4] = [
    "orders.read",
    "customers.read",
    "products.read",
    "categories.read",
];

/// Why tokens with these scopes are not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeProblem {
    pub missing: Vec<&'static str>,
    /// Scopes that allow to change the shop, which an import never does: tokens that cannot do
    /// harm need not be guarded as if they could.
    pub writing: Vec<String>,
}

impl std::fmt::Display for ScopeProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            ("lacks", self.missing.join(", ")),
            ("allows changes with", self.writing.join(", ")),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(_, scopes)| !scopes.is_empty())
            .map(|(verb, scopes)| format!("{verb} {scopes}"))
            .collect();
        write!(f, "the app {}", parts.join(" and "))
    }
}

/// Compares what was granted with what an import needs. `None`, where the platform did not say,
/// is no problem: a request that lacks its scope is refused by name.
///
/// Scopes are separated by spaces or commas; one that writes includes reading.
pub fn check(granted: Option<&str>, may_write: bool) -> Result<(), ScopeProblem> {
    let Some(granted) = granted else {
        return Ok(());
    };
    let scopes: Vec<&str> = granted
        .split([' ', ',', '+', '\n', '\t'])
        .filter(|scope| !scope.is_empty())
        .collect();
    let has = |needed: &str| {
        scopes.iter().any(|scope| {
            let rest = scope.strip_prefix(needed);
            rest.is_some_and(|rest| rest.is_empty() || rest == "_write")
        })
    };
    let missing = NEEDED.into_iter().filter(|needed| !has(needed)).collect();
    let writing = scopes
        .iter()
        .filter(|scope| !may_write && writes(scope))
        .map(|scope| (*scope).to_owned())
        .collect();
    let problem = ScopeProblem { missing, writing };
    match problem == ScopeProblem::default() {
        true => Ok(()),
        false => Err(problem),
    }
}

/// Subscriptions to webhooks are the app's own affair and change nothing of the shop.
fn writes(scope: &str) -> bool {
    let is_writing = scope.ends_with("write");
    is_writing && !scope.starts_with("webhooks.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "orders.read customers.read products.read categories.read offline_access";

    #[test]
    fn what_is_needed_must_be_there_and_nothing_that_writes() {
        /// What was granted, whether it may write, what is missing and what may write.
        type Row<'a> = (Option<&'a str>, bool, &'a [&'a str], &'a [&'a str]);
        let table: [Row<'_>; 8] = [
            (None, false, &[], &[]),
            (Some(ALL), false, &[], &[]),
            (Some(&ALL.replace(' ', ",")), false, &[], &[]),
            (Some(&format!("{ALL} webhooks.read_write")), false, &[], &[]),
            (
                Some("orders.read customers.read offline_access"),
                false,
                &["products.read", "categories.read"],
                &[],
            ),
            (
                Some(&ALL.replace("orders.read", "orders.read_write")),
                false,
                &[],
                &["orders.read_write"],
            ),
            (
                Some(&ALL.replace("orders.read", "orders.read_write")),
                true,
                &[],
                &[],
            ),
            (Some(""), false, &NEEDED, &[]),
        ];
        for (granted, may_write, missing, writing) in table {
            let problem = check(granted, may_write).err().unwrap_or_default();
            assert_eq!(problem.missing, missing, "{granted:?}");
            assert_eq!(problem.writing, writing, "{granted:?}");
        }
    }

    #[test]
    fn the_problem_is_a_sentence() {
        let problem = check(
            Some("orders.read_write customers.read products.read"),
            false,
        );
        assert_eq!(
            problem.unwrap_err().to_string(),
            "the app lacks categories.read and allows changes with orders.read_write"
        );
    }
}
