//! Our spans to a collector, by OTLP over HTTP.
//!
//! Their names, times and fields leave the process; log lines do not. A trace shows where
//! the time goes, and what happened is in the log under the same ids.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use reqwest::redirect::Policy;
use salla_client::http::base_builder;
use tracing::Subscriber;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use super::spans_of_ours;
use crate::config::{EnvLookup, SettingsReader};

const NAME: &str = "salla-sync";
/// For one batch of spans.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For what is left when the program ends. Then spans are lost rather than time.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Sends spans if a collector is set.
#[derive(Debug)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    pub(super) fn open(lookup: EnvLookup<'_>) -> anyhow::Result<Self> {
        let mut reader = SettingsReader::new(lookup);
        let endpoint = reader.traces_endpoint();
        let service_name = reader.service_name();
        let Some(endpoint) = reader.finish(Some(endpoint))? else {
            return Ok(Self(None));
        };
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter(&endpoint)?)
            .with_resource(resource(service_name))
            .build();
        Ok(Self(Some(provider)))
    }

    pub(super) fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let provider = self.0.as_ref()?;
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(NAME))
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            // That is for libraries which make spans of OpenTelemetry's own. None here does.
            .with_context_activation(false);
        // A filter for spans also keeps log lines out.
        Some(layer.with_filter(spans_of_ours()))
    }

    /// Sends what is left, as far as the collector takes it in time.
    pub fn flush(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!("the last traces were not delivered: {error}");
        }
    }
}

fn resource(service_name: Option<String>) -> Resource {
    let resource = Resource::builder_empty()
        .with_service_name(NAME)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match service_name {
        Some(name) => resource.with_service_name(name).build(),
        None => resource.build(),
    }
}

/// The client blocks, because batches are sent from a separate thread that has no runtime. So a
/// collector that is slow or gone never holds up an import: spans that find the buffer full are
/// dropped.
fn exporter(endpoint: &Url) -> anyhow::Result<ReportingExporter> {
    let client = reqwest::blocking::ClientBuilder::from(base_builder())
        .timeout(TIMEOUT)
        // Headers may carry a password, which is for one receiver.
        .redirect(Policy::none())
        .user_agent(concat!("salla-sync/", env!("CARGO_PKG_VERSION")))
        .build()?;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint.as_str())
        .with_timeout(TIMEOUT)
        .build()?;
    Ok(ReportingExporter {
        exporter,
        failing: AtomicBool::new(false),
    })
}

/// Logs when spans begin to be lost and when they arrive again. The crate's own words are
/// either none or a line for each batch.
#[derive(Debug)]
struct ReportingExporter {
    exporter: opentelemetry_otlp::SpanExporter,
    failing: AtomicBool,
}

impl SpanExporter for ReportingExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        let was_failing = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_failing => {
                tracing::warn!("traces are not delivered, everything else works: {error}");
            }
            Ok(()) if was_failing => tracing::info!("traces are delivered again"),
            _ => {}
        }
        result
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
