//! What to add to an error of a look-up.

use strikewire_registry::{LookupError, Registry, SkipReason};

/// The error, and where contracts were left out because they are of the past, how to
/// have them: otherwise an old master seems to list nothing.
pub(crate) fn with_hint(registry: &Registry, error: LookupError) -> anyhow::Error {
    let as_of = registry.as_of();
    let is_of_the_past = match &error {
        LookupError::UnlistedExpiry { expiry, .. } => expiry.date() < as_of,
        LookupError::NoOptions { .. } | LookupError::NoFutures { .. } => true,
        _ => false,
    };
    let expired = registry.report().skipped.get(&SkipReason::Expired);
    match expired {
        Some(expired) if is_of_the_past => anyhow::anyhow!(
            "{error} (contracts that expired before {as_of}, {expired} of them, are left out; \
             --as-of sets the day)"
        ),
        _ => error.into(),
    }
}
