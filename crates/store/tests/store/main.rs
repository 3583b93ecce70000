//! The store on SQLite and on PostgreSQL.

mod audit;
mod behind;
mod common;
mod failure;
mod items;
mod keys;
mod versions;
