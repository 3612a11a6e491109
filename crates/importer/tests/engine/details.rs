//! What becomes of orders whose details are not as they should be.

use std::sync::Arc;

use domain::order::Completeness;
use domain::resource::Resource;

use crate::memory_store::MemoryStore;
use crate::scenarios::{completed, run, today};
use crate::scripted_platform::{OrderShape, ScriptedPlatform};

/// As an old order, and as the one that was updated last, on which the plan is tried.
#[tokio::test(start_paused = true)]
async fn an_order_that_salla_never_serves_costs_only_itself() {
    for place in [39, 0] {
        let mut scripted = ScriptedPlatform::with_orders(today(), 20, 2, OrderShape::Header);
        let id = {
            let mut orders = scripted.orders.lock().unwrap();
            orders[0].updated_at = 1;
            orders[place].id
        };
        scripted.unserved = vec![id];
        let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
        let certificate = completed(run(&shop, &store).await);
        assert!(certificate.summary(Resource::Orders).rejected >= 1);
        let state = store.0.lock().unwrap();
        assert!(state.rejected.iter().eq(&[id]) && state.pending.is_empty());
        assert!(
            state.orders.contains_key(&id),
            "the row of its summary stays"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_404_does_not_delete_an_order_that_is_listed() {
    for light in [false, true] {
        let mut scripted = ScriptedPlatform::with_orders(today(), 20, 2, OrderShape::Header);
        let id = scripted.orders.lock().unwrap()[11].id;
        scripted.slips = vec![id].into();
        scripted.light_details = light;
        let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
        let certificate = completed(run(&shop, &store).await);
        assert_eq!(certificate.summary(Resource::Orders).gone, 0);
        let state = store.0.lock().unwrap();
        assert_eq!(state.orders[&id].1, Completeness::Full);
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_must_have_items_is_rejected_where_a_response_has_none() {
    let mut scripted = ScriptedPlatform::with_orders(today(), 20, 2, OrderShape::Header);
    let id = scripted.orders.lock().unwrap()[11].id;
    scripted.light_details = true;
    scripted.emptied = vec![id];
    let (shop, store) = (Arc::new(scripted), Arc::<MemoryStore>::default());
    let certificate = completed(run(&shop, &store).await);
    assert!(certificate.summary(Resource::Orders).rejected >= 1);
    assert!(store.0.lock().unwrap().rejected.iter().eq(&[id]));
}
