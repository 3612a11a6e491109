//! Everything here runs on a real PostgreSQL.

mod landing_orders;
mod make;
mod shop;
