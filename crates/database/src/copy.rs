//! New rows by COPY: for rows that are not there it takes two thirds of the server's
//! time for an `INSERT` from arrays.

use sqlx::encode::IsNull;
use sqlx::postgres::PgArgumentBuffer;
use sqlx::{Encode, PgConnection, Postgres};

use crate::columns::{Columns, insert, list, write};
use crate::failure::Trouble;
use crate::lease::HeldRun;

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

    pub(crate) fn field<'t, T>(&mut self, value: &T) -> Result<(), Trouble>
    where
        T: Encode<'t, Postgres>,
    {
        let at = self.buffer.len();
        self.buffer.extend_from_slice(&NULL);
        let is_null = value
            .encode_by_ref(&mut self.buffer)
            .map_err(|error| Trouble::Sql(sqlx::Error::Encode(error)))?;
        if let IsNull::No = is_null {
            let begin = at + NULL.len();
            let length = i32::try_from(self.buffer.len() - begin)
                .map_err(|error| Trouble::Sql(sqlx::Error::Encode(error.into())))?;
            self.buffer[at..begin].copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }
}

/// Writes rows that are not there; fails like an `INSERT` when one is. PostgreSQL copies nothing
/// into a table whose row-level security holds for the session, so there it is an `INSERT`.
pub(crate) async fn copy<C: Columns>(
    tx: &mut PgConnection,
    run: &HeldRun,
    into: &'static CopyInto,
    rows: &C,
) -> Result<(), Trouble> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_carry_their_length_and_nulls_none() {
        let mut rows = CopyRows::with_fields(2);
        rows.begin_row();
        rows.field(&"ab").unwrap();
        rows.field(&None::<i64>).unwrap();
        let expected = [0, 2, 0, 0, 0, 2, b'a', b'b', 255, 255, 255, 255];
        assert_eq!(rows.buffer[HEADER.len()..], expected);
    }
}
