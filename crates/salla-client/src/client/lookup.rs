//! Single records, requested by a person.

use async_trait::async_trait;
use domain::failure::Failure;
use domain::order::Order;
use domain::resource::Resource;
use importer::admission::FetchPermit;
use importer::ports::inspection::{PlatformRecord, RecordLookup};
use importer::ports::platform::Decoded;

use super::{SallaClient, requests};
use crate::envelope::{split_list, split_one};
use crate::translate;

#[async_trait]
impl RecordLookup for SallaClient {
    async fn look_up(
        &self,
        resource: Resource,
        number: i64,
    ) -> Result<Option<PlatformRecord>, Failure> {
        match resource {
            Resource::Orders => self.look_up_order(number).await,
            Resource::Customers => self.look_up_customer(number).await,
            Resource::Products => self.look_up_product(number).await,
            Resource::Categories | Resource::OrderStatuses => Err(Failure::Bug {
                message: format!("a record of {resource} cannot be requested separately"),
            }),
        }
    }
}

impl SallaClient {
    async fn look_up_order(&self, number: i64) -> Result<Option<PlatformRecord>, Failure> {
        let mut permit = FetchPermit::default();
        let request = requests::order(number);
        let by_id = self.requester.get(&request, &mut permit, |body| {
            Ok(translate::decode(split_one(body)?, translate::order))
        });
        if let Some(fetched) = by_id.await? {
            let found = translate::with_plausible_dates(fetched.value, fetched.version);
            return Ok(Some(order(&found)));
        }
        let request = requests::order_by_reference(number);
        let listed = self.requester.get(&request, &mut permit, |body| {
            let (rows, _) = split_list(body)?;
            let orders = rows
                .into_iter()
                .map(|row| translate::decode(row, translate::order));
            Ok(orders.collect::<Vec<_>>())
        });
        // A filter that Salla does not know of would give some other orders.
        let listed = listed.await?.map(|fetched| fetched.value);
        let wanted = listed.unwrap_or_default().into_iter().find(|decoded| {
            let order = decoded.outcome.as_ref().ok();
            order.and_then(|order| order.reference_id) == Some(number)
        });
        Ok(wanted.map(|decoded| order(&decoded)))
    }

    async fn look_up_customer(&self, id: i64) -> Result<Option<PlatformRecord>, Failure> {
        let mut permit = FetchPermit::default();
        let request = requests::customer(id);
        let fetched = self.requester.get(&request, &mut permit, |body| {
            Ok(translate::decode(split_one(body)?, translate::customer))
        });
        Ok(fetched.await?.map(|fetched| match fetched.value.outcome {
            Ok(customer) => PlatformRecord {
                id: Some(customer.id),
                created_on: customer.created_at.map(|at| at.riyadh_date()),
                ..nothing()
            },
            Err(rejection) => PlatformRecord {
                rejection: Some(rejection),
                ..nothing()
            },
        }))
    }

    async fn look_up_product(&self, id: i64) -> Result<Option<PlatformRecord>, Failure> {
        let mut permit = FetchPermit::default();
        let request = requests::product(id);
        let fetched = self.requester.get(&request, &mut permit, |body| {
            Ok(translate::decode(split_one(body)?, translate::product))
        });
        Ok(fetched.await?.map(|fetched| match fetched.value.outcome {
            Ok(product) => PlatformRecord {
                id: Some(product.id),
                status: product.status,
                ..nothing()
            },
            Err(rejection) => PlatformRecord {
                rejection: Some(rejection),
                ..nothing()
            },
        }))
    }
}

fn order(decoded: &Decoded<Order>) -> PlatformRecord {
    match &decoded.outcome {
        Ok(order) => PlatformRecord {
            id: Some(order.id),
            reference_id: order.reference_id,
            created_on: Some(order.created_at.riyadh_date()),
            status: order.status.as_ref().and_then(|status| status.slug.clone()),
            completeness: Some(order.completeness()),
            rejection: None,
        },
        Err(rejection) => PlatformRecord {
            rejection: Some(rejection.clone()),
            ..nothing()
        },
    }
}

fn nothing() -> PlatformRecord {
    PlatformRecord {
        id: None,
        reference_id: None,
        created_on: None,
        status: None,
        completeness: None,
        rejection: None,
    }
}
