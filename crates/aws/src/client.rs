//! How this process connects to AWS: region, credentials and endpoints as every program with an AWS
//! SDK takes them, from the environment, a profile or the machine's role.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use domain::failure::Failure;

/// Tries of one call, those that were throttled or reset included.
const ATTEMPTS: u32 = 5;

/// The way to AWS; cheap to clone.
#[derive(Clone, Debug)]
pub struct Aws {
    pub(crate) config: SdkConfig,
}

impl Aws {
    /// Reads the settings. Credentials are looked for when the first call needs them.
    ///
    /// Fails where no region is set, since the name of a queue or a secret says nothing
    /// without one.
    pub async fn from_environment() -> Result<Self, Failure> {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client())
            .retry_config(retries())
            .timeout_config(timeouts())
            .load()
            .await;
        if config.region().is_none() {
            return Err(Failure::Setup {
                message: "AWS is to be used but no region is set; set AWS_REGION, such as \
                       eu-central-1, or a region in the profile that AWS_PROFILE names"
                    .to_owned(),
            });
        }
        Ok(Self { config })
    }

    /// A server that replaces AWS in tests: every service under one address, without
    /// authentication.
    #[cfg(feature = "testing")]
    pub fn at(endpoint: &str) -> Self {
        use aws_sdk_sqs::config::{Credentials, Region, SharedCredentialsProvider};
        let keys = Credentials::new("test", "test", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .http_client(http_client())
            // As many tries as always, and no long waits between them.
            .retry_config(retries().with_initial_backoff(Duration::from_millis(2)))
            .timeout_config(timeouts())
            .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(
                aws_smithy_async::rt::sleep::TokioSleep::new(),
            ))
            .build();
        Self { config }
    }

    pub(crate) fn region(&self) -> &str {
        self.config.region().map_or("?", |region| region.as_ref())
    }
}

fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        // Longer than a receive waits for a message.
        .operation_attempt_timeout(Duration::from_secs(40))
        .build()
}
