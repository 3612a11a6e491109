//! The fields in which two readings of an order differ, by name and never by value.

use domain::money::Money;
use domain::order::{Order, OrderAmounts, OrderCustomer, OrderItem};

/// What `told` says and `stored` does not say alike. Silence is no difference: one form
/// of an order leaves out what another one tells.
pub(super) fn that_differ(stored: &Order, told: &Order) -> Vec<&'static str> {
    let instant = |at: &Option<domain::instant::SallaInstant>| at.as_ref().map(|at| at.instant);
    let amount = |money: &Option<Money>| money.as_ref().map(|money| money.amount);
    let rate = |order: &Order| order.exchange_rate.as_ref().and_then(|rate| rate.rate);
    let customer = |order: &Order| order.customer.as_ref().and_then(OrderCustomer::id);
    let status = |order: &Order| order.status.clone().unwrap_or_default();
    let (ours, theirs) = (status(stored), status(told));
    let mut differ = vec![];
    let mut note = |name, is_different: bool| {
        if is_different {
            differ.push(name);
        }
    };
    note(
        "reference_id",
        contradicts(&stored.reference_id, &told.reference_id),
    );
    note(
        "created_at",
        stored.created_at.instant != told.created_at.instant,
    );
    note(
        "updated_at",
        contradicts(&instant(&stored.updated_at), &instant(&told.updated_at)),
    );
    note(
        "status",
        contradicts(&ours.id, &theirs.id)
            || contradicts(&ours.slug, &theirs.slug)
            || contradicts(&ours.name, &theirs.name),
    );
    note(
        "custom_status",
        contradicts(&ours.custom_id, &theirs.custom_id)
            || contradicts(&ours.custom_name, &theirs.custom_name),
    );
    note(
        "payment_method",
        contradicts(&stored.payment_method, &told.payment_method),
    );
    note("source", contradicts(&stored.source, &told.source));
    note(
        "customer_id",
        contradicts(&customer(stored), &customer(told)),
    );
    note("currency", contradicts(&stored.currency, &told.currency));
    note(
        "total",
        contradicts(&amount(&stored.total), &amount(&told.total)),
    );
    note("exchange_rate", contradicts(&rate(stored), &rate(told)));
    differ.extend(amounts_that_differ(&stored.amounts, &told.amounts));
    if let Some(theirs) = &told.items
        && !stored
            .items
            .as_deref()
            .is_some_and(|ours| are_the_same(ours, theirs))
    {
        differ.push("items");
    }
    differ
}

fn contradicts<T: PartialEq>(stored: &Option<T>, told: &Option<T>) -> bool {
    told.is_some() && stored != told
}

fn amounts_that_differ(
    stored: &Option<OrderAmounts>,
    told: &Option<OrderAmounts>,
) -> Vec<&'static str> {
    let (ours, theirs) = match (stored, told) {
        (_, None) => return vec![],
        (None, Some(_)) => return vec!["amounts"],
        (Some(ours), Some(theirs)) => (ours, theirs),
    };
    let parts = [
        ("subtotal", ours.subtotal, theirs.subtotal),
        ("shipping", ours.shipping, theirs.shipping),
        (
            "cash_on_delivery",
            ours.cash_on_delivery,
            theirs.cash_on_delivery,
        ),
        ("tax_percent", ours.tax_percent, theirs.tax_percent),
        ("tax_amount", ours.tax, theirs.tax),
    ];
    let mut differ: Vec<&'static str> = parts
        .iter()
        .filter_map(|(name, ours, theirs)| contradicts(ours, theirs).then_some(*name))
        .collect();
    if ours.discounts != theirs.discounts {
        differ.push("discounts");
    }
    differ
}

/// The same lines, in whatever order. Two that are equal are two.
fn are_the_same(ours: &[OrderItem], theirs: &[OrderItem]) -> bool {
    let mut left: Vec<&OrderItem> = ours.iter().collect();
    let found = theirs.iter().all(|item| {
        let place = left.iter().position(|ours| *ours == item);
        place.map(|place| left.swap_remove(place)).is_some()
    });
    found && left.is_empty()
}
