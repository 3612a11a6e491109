//! Rows as arrays: one statement writes a whole batch, each column bound as one
//! array, because a statement per row costs thirty times as much. New rows go by COPY: for rows
//! that are not there it takes two thirds of the server's time for an `INSERT` from arrays.

use std::borrow::Cow;

use domain::instant::SallaInstant;
use jiff_sqlx::ToSqlx;
use sqlx::encode::IsNull;
use sqlx::postgres::{PgArgumentBuffer, PgArguments};
use sqlx::{Arguments, Encode, PgConnection, Postgres};

use crate::error::{FailedWrite, TxError};
use crate::refusal::is_misfit;
use crate::transaction::LockedRun;

/// A column's name and the type of one of its values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

impl Column {
    /// An array of arrays would lose the bounds of its parts, so arrays travel as
    /// literals.
    fn bound_as(&self) -> &'static str {
        if self.is_array() { "text" } else { self.sql }
    }

    fn value(&self) -> String {
        match self.is_array() {
            true => format!("r.{}::{}", self.name, self.sql),
            false => format!("r.{}", self.name),
        }
    }

    fn is_array(&self) -> bool {
        self.sql.ends_with("[]")
    }
}

/// The rows of a batch by column, as [`columns!`] declares them.
pub(crate) trait Columns {
    fn columns() -> Vec<Column>;

    /// How many rows there are.
    fn count(&self) -> usize;

    /// Adds one array for each column, in their order.
    fn bind(&self, arguments: &mut PgArguments) -> Result<(), TxError>;

    /// Adds the fields of one row; columns that are arrays themselves have no such
    /// form.
    fn copy(&self, row: usize, rows: &mut CopyRows) -> Result<(), TxError>;
}

/// Rows that are read in two parts.
impl<A: Columns, B: Columns> Columns for (A, B) {
    fn columns() -> Vec<Column> {
        [A::columns(), B::columns()].concat()
    }

    fn count(&self) -> usize {
        self.0.count()
    }

    fn bind(&self, arguments: &mut PgArguments) -> Result<(), TxError> {
        self.0.bind(arguments)?;
        self.1.bind(arguments)
    }

    fn copy(&self, row: usize, rows: &mut CopyRows) -> Result<(), TxError> {
        self.0.copy(row, rows)?;
        self.1.copy(row, rows)
    }
}

/// Numbers as PostgreSQL's text form of an array.
pub(crate) fn array_literal(numbers: impl IntoIterator<Item = Option<i64>>) -> String {
    let number = |number: Option<i64>| number.map_or("NULL".to_owned(), |n| n.to_string());
    let numbers: Vec<String> = numbers.into_iter().map(number).collect();
    format!("{{{}}}", numbers.join(","))
}

/// Declares the columns of a table and how each is filled from a record, so that
/// names, types and values cannot fall out of step.
macro_rules! columns {
    (
        $(#[$meta:meta])*
        struct $name:ident<$lt:lifetime> from $source:ty {
            $( $field:ident: $ty:ty, $sql:literal = $value:expr; )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Default)]
        pub(crate) struct $name<$lt> {
            $( $field: Vec<$ty>, )+
            rows: usize,
            _source: std::marker::PhantomData<fn($source)>,
        }

        impl<$lt> $name<$lt> {
            pub(crate) fn of(records: impl IntoIterator<Item = $source>) -> Self {
                let mut columns = Self::default();
                for record in records {
                    $(
                        let value: fn($source) -> $ty = $value;
                        columns.$field.push(value(record));
                    )+
                    columns.rows += 1;
                }
                columns
            }
        }

        impl $crate::columns::Columns for $name<'_> {
            fn columns() -> Vec<$crate::columns::Column> {
                vec![
                    $( $crate::columns::Column { name: stringify!($field), sql: $sql }, )+
                ]
            }

            fn count(&self) -> usize {
                self.rows
            }

            fn bind(
                &self,
                arguments: &mut sqlx::postgres::PgArguments,
            ) -> Result<(), $crate::error::TxError> {
                $( $crate::columns::add(arguments, &self.$field)?; )+
                Ok(())
            }

            fn copy(
                &self,
                row: usize,
                rows: &mut $crate::columns::CopyRows,
            ) -> Result<(), $crate::error::TxError> {
                $( rows.field(&self.$field[row])?; )+
                Ok(())
            }
        }
    };
}
pub(crate) use columns;

/// Adds one argument of a statement.
pub(crate) fn add<'t, T>(arguments: &mut PgArguments, value: T) -> Result<(), TxError>
where
    T: sqlx::Encode<'t, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    arguments
        .add(value)
        .map_err(|error| TxError::Sql(sqlx::Error::Encode(error)))
}

/// Writes rows of one merchant with a statement that takes the merchant, then one
/// array for each column.
pub(crate) async fn write<C: Columns>(
    tx: &mut PgConnection,
    run: &LockedRun,
    sql: &'static str,
    rows: &C,
) -> Result<(), TxError> {
    if rows.count() == 0 {
        return Ok(());
    }
    let mut arguments = PgArguments::default();
    add(&mut arguments, run.merchant.0)?;
    rows.bind(&mut arguments)?;
    let written = sqlx::query_with(sql, arguments).execute(tx).await;
    match written {
        Ok(_) => Ok(()),
        Err(error) if is_misfit(&error) => Err(failed_write(error, sql, rows)?),
        Err(error) => Err(error.into()),
    }
}

/// The rows once more, to find out which of their values the table does not take.
fn failed_write<C: Columns>(
    error: sqlx::Error,
    insert: &'static str,
    rows: &C,
) -> Result<TxError, TxError> {
    let table = insert.split_whitespace().nth(2).unwrap_or_default();
    let mut arguments = PgArguments::default();
    rows.bind(&mut arguments)?;
    Ok(TxError::Write(Box::new(FailedWrite {
        error,
        misfits: format!(
            "SELECT DISTINCT split_part('{table}', '.', 2) || '.' || a.attname
             FROM (SELECT to_jsonb(r) AS fields FROM {rows}) AS r
             JOIN pg_attribute a ON a.attrelid = '{table}'::regclass AND a.attnum > 0
             WHERE NOT pg_input_is_valid(r.fields ->> a.attname,
                                         format_type(a.atttypid, a.atttypmod))
             ORDER BY 1",
            rows = rows_from_arrays(1, &C::columns()),
        ),
        arguments,
    })))
}

/// `INSERT INTO table (merchant_id, …) SELECT $1, … FROM unnest($2, …)`: the part
/// that all upserts share. `$1` is the merchant.
pub(crate) fn insert<C: Columns>(table: &str) -> String {
    let columns = C::columns();
    insert_from_arrays(table, &columns)
}

fn insert_from_arrays(table: &str, columns: &[Column]) -> String {
    let names = list(columns, |c| c.name.to_owned());
    let values = list(columns, Column::value);
    let rows = rows_from_arrays(2, columns);
    format!("INSERT INTO {table} AS t (merchant_id, {names}) SELECT $1, {values} FROM {rows}")
}

/// The arrays, bound from placeholder `first` on, as rows named `r`.
pub(crate) fn rows_from_arrays(first: usize, columns: &[Column]) -> String {
    let names = list(columns, |c| c.name.to_owned());
    let arrays: Vec<String> = (first..)
        .zip(columns)
        .map(|(number, column)| format!("${number}::{}[]", column.bound_as()))
        .collect();
    format!("unnest({}) AS r({names})", arrays.join(", "))
}

/// An upsert that skips rows which are equal already, so that readers of the table's changes see
/// none.
pub(crate) fn upsert<C: Columns>(table: &str, key: &[&str]) -> String {
    upsert_columns(table, key, &C::columns())
}

fn upsert_columns(table: &str, key: &[&str], columns: &[Column]) -> String {
    let rest: Vec<Column> = columns
        .iter()
        .filter(|c| !key.contains(&c.name))
        .copied()
        .collect();
    let rest = rest.as_slice();
    format!(
        "{} ON CONFLICT (merchant_id, {}) DO UPDATE SET {} WHERE ({}) IS DISTINCT FROM ({})",
        insert_from_arrays(table, columns),
        key.join(", "),
        list(rest, |c| format!("{0} = excluded.{0}", c.name)),
        list(rest, |c| format!("t.{}", c.name)),
        list(rest, |c| format!("excluded.{}", c.name)),
    )
}

pub(crate) fn list(columns: &[Column], text: impl Fn(&Column) -> String) -> String {
    columns.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// The instant for a `timestamptz` column.
pub(crate) fn instant(at: &SallaInstant) -> jiff_sqlx::Timestamp {
    at.instant.to_sqlx()
}

/// The signature of the binary format, no flags, no header extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// The server takes a message into memory as a whole, and one of a megabyte costs it more
/// in fresh pages than the rows in it.
const MESSAGE: usize = 64 << 10;

/// Rows in PostgreSQL's binary format, field by field.
pub(crate) struct CopyRows {
    buffer: PgArgumentBuffer,
    fields: i16,
}

impl CopyRows {
    fn with_fields(fields: usize) -> Self {
        let mut buffer = PgArgumentBuffer::default();
        buffer.extend_from_slice(HEADER);
        Self {
            buffer,
            fields: i16::try_from(fields).unwrap_or(i16::MAX),
        }
    }

    fn begin_row(&mut self) {
        self.buffer.extend_from_slice(&self.fields.to_be_bytes());
    }

    pub(crate) fn field<'t, T>(&mut self, value: &T) -> Result<(), TxError>
    where
        T: Encode<'t, Postgres>,
    {
        let at = self.buffer.len();
        self.buffer.extend_from_slice(&NULL);
        let is_null = value
            .encode_by_ref(&mut self.buffer)
            .map_err(|error| TxError::Sql(sqlx::Error::Encode(error)))?;
        if let IsNull::No = is_null {
            let begin = at + NULL.len();
            let length = i32::try_from(self.buffer.len() - begin)
                .map_err(|error| TxError::Sql(sqlx::Error::Encode(error.into())))?;
            self.buffer[at..begin].copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }
}

/// Writes rows that are not there; fails like an `INSERT` when one is. PostgreSQL copies nothing
/// into a table whose row-level security holds for the session, so there it is an `INSERT`.
pub(crate) async fn copy<C: Columns>(
    tx: &mut PgConnection,
    run: &LockedRun,
    into: &'static CopyInto,
    rows: &C,
) -> Result<(), TxError> {
    if rows.count() == 0 {
        return Ok(());
    }
    if run.is_secured {
        return write(tx, run, &into.insert, rows).await;
    }
    let mut binary = CopyRows::with_fields(1 + C::columns().len());
    for row in 0..rows.count() {
        binary.begin_row();
        binary.field(&run.merchant.0)?;
        rows.copy(row, &mut binary)?;
    }
    binary.buffer.extend_from_slice(&TRAILER);
    let mut copy = tx.copy_in_raw(&into.copy).await?;
    for message in binary.buffer.chunks(MESSAGE) {
        copy.send(message).await?;
    }
    copy.finish().await?;
    Ok(())
}

/// The statements for [`copy`].
pub(crate) struct CopyInto {
    copy: String,
    insert: String,
}

pub(crate) fn copy_into<C: Columns>(table: &str) -> CopyInto {
    let names = list(&C::columns(), |c| c.name.to_owned());
    CopyInto {
        copy: format!("COPY {table} (merchant_id, {names}) FROM STDIN (FORMAT binary)"),
        insert: insert::<C>(table),
    }
}

/// What a nullable text column takes.
pub(crate) type OptionalText<'a> = Option<Cow<'a, str>>;

/// PostgreSQL's text cannot hold the character U+0000, which JSON can. It is left
/// out here; the raw record keeps it.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', ""))
    } else {
        Cow::Borrowed(text)
    }
}

pub(crate) fn optional(text: &Option<String>) -> OptionalText<'_> {
    text.as_deref().map(storable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_types_and_values_are_in_step() {
        let columns = [
            Column {
                name: "id",
                sql: "bigint",
            },
            Column {
                name: "name",
                sql: "text",
            },
        ];
        assert_eq!(
            upsert_columns("salla.shops", &["id"], &columns),
            "INSERT INTO salla.shops AS t (merchant_id, id, name) \
             SELECT $1, r.id, r.name FROM unnest($2::bigint[], $3::text[]) AS r(id, name) \
             ON CONFLICT (merchant_id, id) DO UPDATE SET name = excluded.name \
             WHERE (t.name) IS DISTINCT FROM (excluded.name)"
        );
    }

    #[test]
    fn fields_carry_their_length_and_nulls_none() {
        let mut rows = CopyRows::with_fields(2);
        rows.begin_row();
        rows.field(&"ab").unwrap();
        rows.field(&None::<i64>).unwrap();
        let expected = [0, 2, 0, 0, 0, 2, b'a', b'b', 255, 255, 255, 255];
        assert_eq!(rows.buffer[HEADER.len()..], expected);
    }

    #[test]
    fn only_null_characters_are_left_out() {
        assert_eq!(storable("a\0ب\0"), "aب");
        assert!(matches!(storable("متجر"), Cow::Borrowed("متجر")));
    }
}
