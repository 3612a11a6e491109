//! Log lines on standard error, as text or one JSON object a line. Standard output
//! belongs to results.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::cli::LogFormat;
use crate::display::progress_bar;
use crate::exit::UsageError;

/// Installs the process's one subscriber.
pub fn install(filter: &str, format: LogFormat) -> Result<(), UsageError> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        UsageError(vec![format!(
            "--log (or SALLA_SYNC_LOG) is no filter: {error}; try `info`"
        )])
    })?;
    // Log lines must not tear the progress bar apart.
    let writer = BoxMakeWriter::new(progress_bar::LogWriter);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    match format {
        LogFormat::Text => builder.with_target(false).compact().init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
