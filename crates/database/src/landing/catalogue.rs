//! Categories and the statuses of orders.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use domain::catalogue::Category;
use domain::order::OrderStatus;
use domain::resource::Resource;
use importer::ports::platform::{Decoded, Records};
use jiff_sqlx::Timestamp;

use crate::columns::{OptionalText, columns, instant, optional, storable, upsert, write};
use crate::error::TxError;
use crate::landing::context::LandingContext;
use crate::landing::list_batch::{BatchRecord, ListRecord, land_list_records};

columns! {
    struct CategoryColumns<'a> from &'a Category {
        id: i64, "bigint" = |c| c.id;
        name: OptionalText<'a>, "text" = |c| optional(&c.name);
        parent_id: Option<i64>, "bigint" = |c| c.parent_id;
        status: OptionalText<'a>, "text" = |c| optional(&c.status);
        sort_order: Option<i64>, "bigint" = |c| c.sort_order;
        updated_at: Option<Timestamp>, "timestamptz" = |c| c.updated_at.as_ref().map(instant);
        updated_at_raw: OptionalText<'a>, "text" = |c| c.updated_at.as_ref().map(|at| storable(&at.raw));
        updated_at_reading: Option<&'static str>, "text" = |c| c.updated_at.as_ref().map(|at| at.reading.as_str());
    }
}

columns! {
    struct StatusColumns<'a> from &'a OrderStatus {
        id: i64, "bigint" = |s| s.id;
        name: OptionalText<'a>, "text" = |s| optional(&s.name);
        slug: OptionalText<'a>, "text" = |s| optional(&s.slug);
        kind: OptionalText<'a>, "text" = |s| optional(&s.kind);
        original_id: Option<i64>, "bigint" = |s| s.original_id;
        parent_id: Option<i64>, "bigint" = |s| s.parent_id;
    }
}

static UPSERT_CATEGORIES: LazyLock<String> =
    LazyLock::new(|| upsert::<CategoryColumns<'_>>("salla.categories", &["id"]));

static UPSERT_STATUSES: LazyLock<String> =
    LazyLock::new(|| upsert::<StatusColumns<'_>>("salla.order_statuses", &["id"]));

impl ListRecord for Category {
    const RESOURCE: Resource = Resource::Categories;

    fn id(&self) -> i64 {
        self.id
    }

    fn among(records: &Records) -> Option<&Vec<Decoded<Self>>> {
        match records {
            Records::Categories(records) => Some(records),
            _ => None,
        }
    }

    async fn land(
        ctx: &mut LandingContext<'_>,
        found: &[BatchRecord<'_, Self>],
    ) -> Result<(), TxError> {
        let due = land_list_records(ctx, found).await?;
        // Two lists may hold the same category at different places; one row each.
        let rows: BTreeMap<i64, &Category> = due
            .iter()
            .flat_map(|due| due.record.with_descendants())
            .map(|category| (category.id, category))
            .collect();
        let rows = CategoryColumns::of(rows.into_values());
        write(ctx.tx, &ctx.run, &UPSERT_CATEGORIES, &rows).await
    }
}

impl ListRecord for OrderStatus {
    const RESOURCE: Resource = Resource::OrderStatuses;

    fn id(&self) -> i64 {
        self.id
    }

    fn among(records: &Records) -> Option<&Vec<Decoded<Self>>> {
        match records {
            Records::OrderStatuses(records) => Some(records),
            _ => None,
        }
    }

    async fn land(
        ctx: &mut LandingContext<'_>,
        found: &[BatchRecord<'_, Self>],
    ) -> Result<(), TxError> {
        let due = land_list_records(ctx, found).await?;
        let rows = StatusColumns::of(due.iter().map(|due| due.record));
        write(ctx.tx, &ctx.run, &UPSERT_STATUSES, &rows).await
    }
}
