#!/bin/sh
# Checks the files in deploy/ that others carry out: the templates for AWS with cfn-lint,
# cfn-guard and checkov, the manifest for Kubernetes with its schemas and checkov.
set -eu
cd "$(dirname "$0")/.."

servers=${SALLA_SYNC_AWS_SERVERS:-$(scripts/get-aws-servers.sh | tail -n 1)}
linters=$(scripts/get-template-linters.sh | tail -n 1)

"$servers/venv/bin/cfn-lint" deploy/aws/*.yaml

# The rules that the templates break on purpose, or that do not see through a function of
# CloudFormation. tests/it/aws/template.rs checks what some of them are about.
is_left_out() {
    case $1 in
    # The topic of the alarms is a parameter that may be empty.
    ct-cloudwatch-pr-1.guard) ;;
    # The retention is a parameter.
    ct-cloudwatch-pr-2.guard) ;;
    # Logs contain no secret and no personal data; CloudWatch encrypts them with its own key.
    ct-cloudwatch-pr-3.guard) ;;
    # Browsers and Salla reach the server's URL without an identity of AWS; webhooks are signed,
    # and the API has tokens.
    ct-lambda-pr-2.guard | ct-lambda-pr-5.guard) ;;
    # The subnets are a parameter that may be empty.
    ct-lambda-pr-3.guard) ;;
    # Dead-letter queues have no further dead-letter queues.
    ct-sqs-pr-1.guard) ;;
    *) return 1 ;;
    esac
}

if [ -x "$linters/cfn-guard" ]; then
    set --
    for rule in "$linters"/rules/*/*.guard; do
        is_left_out "${rule##*/}" || set -- "$@" "$rule"
    done
    for template in deploy/aws/*.yaml; do
        "$linters/cfn-guard" validate --data "$template" --show-summary fail \
            --output-format single-line-summary --rules "$@" >/dev/null ||
            "$linters/cfn-guard" validate --data "$template" --show-summary none \
                --output-format single-line-summary --rules "$@"
    done
else
    echo "== NOT CHECKED with cfn-guard, which is not there for this machine"
fi

"$linters/venv/bin/checkov" --config-file deploy/.checkov.yaml
"$linters/venv/bin/kubernetes-validate" --strict --quiet deploy/kubernetes/*.yaml
