//! `salla-sync roles`: a role for each use of the database, and what each may see.

use database::{RolesStatus, roles_script};
use importer::ports::audit::{Action, Actor, Audit as _, AuditEvent};
use serde_json::json;

use crate::cli::{CreateRolesArgs, DatabaseArgs, RolesCommand};
use crate::display::{self, line, lines};
use crate::exit::Exit;
use crate::wiring::OpenDatabase;

pub async fn run(command: RolesCommand, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    match command {
        RolesCommand::Create(arguments) if arguments.print => {
            lines(roles_script());
            Ok(Exit::Done)
        }
        RolesCommand::Create(arguments) => {
            create(&super::open_for_reading(database).await?, &arguments).await
        }
        RolesCommand::Status(arguments) => {
            let status = super::open_for_reading(database).await?;
            let status = status.database.roles_status().await?;
            match arguments.json {
                true => display::json(&as_json(&status)),
                false => say(&status),
            }
            Ok(match status.is_complete() {
                true => Exit::Done,
                false => Exit::Failed,
            })
        }
    }
}

async fn create(open: &OpenDatabase, arguments: &CreateRolesArgs) -> anyhow::Result<Exit> {
    open.database.create_roles().await?;
    changed(open, "the roles and their policies".to_owned()).await?;
    let status = open.database.roles_status().await?;
    line(format!(
        "The web server sees only one merchant's rows at a time in {} tables.",
        status.secured_tables
    ));
    for login in &arguments.logins {
        let granted = open.database.grant_roles(login).await?;
        changed(open, format!("granted to {login}")).await?;
        line(format!(
            "{login} has the rights of a worker and of the web server."
        ));
        if !granted.bypasses {
            line(format!(
                "  It lands first imports more slowly, because it may not bypass row-level \
                 security: have an administrator run ALTER ROLE {login} BYPASSRLS."
            ));
        }
    }
    Ok(Exit::Done)
}

async fn changed(open: &OpenDatabase, what: String) -> anyhow::Result<()> {
    let event = AuditEvent::new(Action::RolesChanged, Actor::Operator);
    open.database.audit().record(&event.detail(what)).await?;
    Ok(())
}

fn say(status: &RolesStatus) {
    for role in &status.missing_roles {
        line(format!("{role}: missing"));
    }
    for table in &status.open_tables {
        line(format!("{table}: the web server would see all rows"));
    }
    match status.is_complete() {
        true => line(format!(
            "All roles exist, and {} tables are secured.",
            status.secured_tables
        )),
        false => line("Run `salla-sync roles create` to create what is missing."),
    }
    if !status.may_be_confined {
        line(format!(
            "{} lacks the web server's rights: `salla-sync roles create --login {0}`.",
            status.login
        ));
    }
    if status.sees_nothing {
        line(format!(
            "{} inherits salla_sync_web and therefore sees no rows.",
            status.login
        ));
    } else if !status.is_exempt {
        line(format!(
            "{} writes first imports more slowly: it may not bypass row-level security.",
            status.login
        ));
    }
}

fn as_json(status: &RolesStatus) -> serde_json::Value {
    json!({
        "complete": status.is_complete(),
        "missing_roles": status.missing_roles,
        "open_tables": status.open_tables,
        "secured_tables": status.secured_tables,
        "login": status.login,
        "may_be_confined": status.may_be_confined,
        "is_exempt": status.is_exempt,
        "sees_nothing": status.sees_nothing,
    })
}
