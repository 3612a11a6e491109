//! Roles of the database: what can be typed about them.

use clap::{Args, Subcommand};

#[derive(Clone, Debug, Subcommand)]
pub enum RolesCommand {
    /// Make the roles and let the database itself keep merchants apart; may be repeated.
    #[command(after_help = "Examples:\n  \
        salla-sync roles create --login salla_sync\n  \
        salla-sync roles create --print | psql postgres://admin@db.example/salla")]
    Create(CreateRolesArgs),
    /// Say which roles are there, and which tables they secure.
    Status(RolesStatusArgs),
}

#[derive(Args, Clone, Debug)]
pub struct CreateRolesArgs {
    /// The login of a worker or server: it may work as before, and act as the doors do.
    #[arg(long = "login", value_name = "NAME")]
    pub logins: Vec<String>,
    /// Only print the SQL, for somebody who may make roles.
    #[arg(long, conflicts_with = "logins")]
    pub print: bool,
}

#[derive(Args, Clone, Debug)]
pub struct RolesStatusArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
