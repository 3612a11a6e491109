//! Customers, from their list and from the orders that name them.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use domain::customer::Customer;
use domain::order::{Order, OrderCustomer};
use domain::resource::Resource;
use importer::ports::platform::{Decoded, Records};
use jiff_sqlx::{Date, Timestamp, ToSqlx};

use crate::columns::{
    CopyInto, OptionalText, columns, copy, copy_into, insert, instant, optional, storable, upsert,
    write,
};
use crate::error::TxError;
use crate::landing::alterations::remove_altered_customers;
use crate::landing::context::LandingContext;
use crate::landing::counters::RefusedCustomer;
use crate::landing::isolation::{Lands, land_each};
use crate::landing::list_batch::{BatchRecord, ListRecord, land_list_records, missing};
use crate::landing::rejections::resolve_by_row;
use crate::landing::versions::NewRows;

columns! {
    /// The flag says whether the customer comes from the list.
    struct CustomerColumns<'a> from (&'a Customer, bool) {
        id: i64, "bigint" = |(c, _)| c.id;
        first_name: OptionalText<'a>, "text" = |(c, _)| optional(&c.first_name);
        last_name: OptionalText<'a>, "text" = |(c, _)| optional(&c.last_name);
        email: OptionalText<'a>, "text" = |(c, _)| optional(&c.email);
        mobile: OptionalText<'a>, "text" = |(c, _)| optional(&c.mobile);
        mobile_code: OptionalText<'a>, "text" = |(c, _)| optional(&c.mobile_code);
        gender: OptionalText<'a>, "text" = |(c, _)| optional(&c.gender);
        birthday: Option<Date>, "date" = |(c, _)| c.birthday.map(ToSqlx::to_sqlx);
        city: OptionalText<'a>, "text" = |(c, _)| optional(&c.city);
        country: OptionalText<'a>, "text" = |(c, _)| optional(&c.country);
        country_code: OptionalText<'a>, "text" = |(c, _)| optional(&c.country_code);
        currency: OptionalText<'a>, "text" = |(c, _)| optional(&c.currency);
        created_at: Option<Timestamp>, "timestamptz" = |(c, _)| c.created_at.as_ref().map(instant);
        created_at_raw: OptionalText<'a>, "text" = |(c, _)| c.created_at.as_ref().map(|at| storable(&at.raw));
        created_at_reading: Option<&'static str>, "text" = |(c, _)| c.created_at.as_ref().map(|at| at.reading.as_str());
        updated_at: Option<Timestamp>, "timestamptz" = |(c, _)| c.updated_at.as_ref().map(instant);
        updated_at_raw: OptionalText<'a>, "text" = |(c, _)| c.updated_at.as_ref().map(|at| storable(&at.raw));
        updated_at_reading: Option<&'static str>, "text" = |(c, _)| c.updated_at.as_ref().map(|at| at.reading.as_str());
        from_list: bool, "boolean" = |(_, from_list)| from_list;
    }
}

static COPY: LazyLock<CopyInto> =
    LazyLock::new(|| copy_into::<CustomerColumns<'_>>("salla.customers"));

static UPSERT: LazyLock<String> =
    LazyLock::new(|| upsert::<CustomerColumns<'_>>("salla.customers", &["id"]));

/// An order's customer only fills a gap: the order shows less of the customer than the list, and
/// neither of two orders is known to be more accurate.
static INSERT_ABSENT: LazyLock<String> = LazyLock::new(|| {
    let insert = insert::<CustomerColumns<'_>>("salla.customers");
    format!("{insert} ON CONFLICT (merchant_id, id) DO NOTHING")
});

impl ListRecord for Customer {
    const RESOURCE: Resource = Resource::Customers;

    fn id(&self) -> i64 {
        self.id
    }

    fn among(records: &Records) -> Option<&Vec<Decoded<Self>>> {
        match records {
            Records::Customers(records) => Some(records),
            _ => None,
        }
    }

    async fn land(
        ctx: &mut LandingContext<'_>,
        found: &[BatchRecord<'_, Self>],
    ) -> Result<(), TxError> {
        let due = land_list_records(ctx, found).await?;
        let due: Vec<&Customer> = due.into_iter().map(|due| due.record).collect();
        let absent = match ctx.new_rows {
            NewRows::Absent | NewRows::AbsentForAll => {
                let ids: Vec<i64> = due.iter().map(|customer| customer.id).collect();
                missing(ctx.tx, &ctx.run, Resource::Customers, &ids).await?
            }
            NewRows::MayExist => HashSet::new(),
        };
        let (absent, known): (Vec<_>, Vec<_>) = due
            .into_iter()
            .partition(|customer| absent.contains(&customer.id));
        let from_list =
            |customers: Vec<_>| CustomerColumns::of(customers.into_iter().map(|c| (c, true)));
        write(ctx.tx, &ctx.run, &UPSERT, &from_list(known)).await?;
        copy(ctx.tx, &ctx.run, &COPY, &from_list(absent)).await
    }
}

/// A customer as an order names it.
struct Named<'a> {
    order_id: i64,
    customer: &'a Customer,
}

/// Inserts the customers of orders that are missing. Most exist already, and looking them up costs
/// a tenth of an `INSERT` of all. A customer that the database refuses is a separate rejection, and
/// the order lands.
pub(crate) async fn insert_missing(
    ctx: &mut LandingContext<'_>,
    orders: &[&Order],
) -> Result<(), TxError> {
    let known = orders.iter().filter_map(|order| match &order.customer {
        Some(OrderCustomer::Known(customer)) => Some((
            customer.id,
            Named {
                order_id: order.id,
                customer,
            },
        )),
        Some(OrderCustomer::Guest) | None => None,
    });
    let mut by_id: BTreeMap<i64, Named<'_>> = known.collect();
    let ids: Vec<i64> = by_id.keys().copied().collect();
    remove_altered_customers(ctx.tx, &ctx.run, &ids).await?;
    let absent = missing(ctx.tx, &ctx.run, Resource::Customers, &ids).await?;
    by_id.retain(|id, _| absent.contains(id));
    let customers: Vec<Named<'_>> = by_id.into_values().collect();
    let refused = land_each(ctx, &customers).await?;
    let refused = refused
        .into_iter()
        .map(|(named, rejection)| RefusedCustomer {
            order_id: named.order_id,
            customer_id: named.customer.id,
            rejection,
        });
    ctx.tally.refused_customers.extend(refused);
    Ok(())
}

impl Lands for Named<'_> {
    // A deferred constraint may concern the order as well.
    const IS_WHOLE: bool = false;

    async fn land(ctx: &mut LandingContext<'_>, named: &[Self]) -> Result<(), TxError> {
        let customers = CustomerColumns::of(named.iter().map(|named| (named.customer, false)));
        write(ctx.tx, &ctx.run, &INSERT_ABSENT, &customers).await?;
        let ids: Vec<i64> = named.iter().map(|named| named.customer.id).collect();
        let resolved = resolve_by_row(ctx, Resource::Customers, &ids).await?;
        ctx.tally.rejections_resolved(resolved);
        Ok(())
    }
}
