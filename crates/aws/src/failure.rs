//! What AWS refuses, in words for who has to act. An error's message is not repeated: it may
//! quote what was sent.

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use domain::failure::Failure;

/// What a call was for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// "sending a message to".
    pub(crate) doing: &'static str,
    /// The queue, secret or key.
    pub(crate) what: &'a str,
    /// The IAM action that the caller's role has to allow.
    pub(crate) right: &'static str,
    pub(crate) region: &'a str,
}

const DENIED: [&str; 5] = [
    "AccessDenied",
    "AccessDeniedException",
    "AWS.SimpleQueueService.AccessDenied",
    "UnauthorizedOperation",
    "NotAuthorized",
];
const UNKNOWN_CALLER: [&str; 6] = [
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "ExpiredTokenException",
];
const MISSING: [&str; 4] = [
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
    "NotFoundException",
];

/// The code that the service gave, if it was the service that refused.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    // Services prefix it with a namespace in one of their protocols.
    error
        .code()
        .map(|code| code.rsplit_once('#').map_or(code, |(_, name)| name))
}

pub(crate) fn failure<E: ProvideErrorMetadata, R>(
    call: Call<'_>,
    error: &SdkError<E, R>,
) -> Failure {
    let Call {
        doing,
        what,
        right,
        region,
    } = call;
    let setup = |reason: String| Failure::Setup {
        message: format!("{doing} {what} failed: {reason}"),
    };
    match error {
        SdkError::ServiceError(_) => {
            let code = code(error).unwrap_or("an error without a code");
            if DENIED.contains(&code) {
                setup(format!(
                    "this role lacks the right {right} on it ({code}); allow it in the role's policy"
                ))
            } else if UNKNOWN_CALLER.contains(&code) {
                setup(format!(
                    "AWS does not accept this process's credentials ({code}); give valid ones in \
                     AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in a profile, or by the \
                     machine's role"
                ))
            } else if MISSING.contains(&code) {
                setup(format!(
                    "it does not exist in the region {region}; create it (deploy/aws/template.yaml \
                     does) or correct the name or AWS_REGION"
                ))
            } else {
                Failure::Transient {
                    message: format!("{doing} {what} failed: AWS answers {code}"),
                }
            }
        }
        SdkError::ConstructionFailure(_) => setup("the call could not be made".to_owned()),
        SdkError::DispatchFailure(failed)
            if failed
                .as_connector_error()
                .is_some_and(|error| lacks_credentials(error)) =>
        {
            setup(
                "no AWS credentials were found; give them in AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, in a profile (AWS_PROFILE), or by the machine's role"
                    .to_owned(),
            )
        }
        SdkError::TimeoutError(_) => Failure::Transient {
            message: format!("{doing} {what} failed: AWS did not answer in time"),
        },
        _ => Failure::Transient {
            message: format!(
                "{doing} {what} failed: AWS could not be reached, or the connection broke"
            ),
        },
    }
}

/// The SDK reports it as it reports a connection that broke; only the words differ.
fn lacks_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(|cause| cause.to_string())
        .any(|text| text.contains("credential"))
}
