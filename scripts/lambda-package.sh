#!/bin/sh
# Builds the package for AWS Lambda and checks that it is no larger than promised: a larger one
# takes longer to load at each cold start. Build it on the functions' architecture;
# docs/deploy-aws.md#the-package.
#
#   scripts/lambda-package.sh [FILE]      FILE: the certificates of RDS, to be packed too
set -eu
cd "$(dirname "$0")/.."
scripts/need.sh cargo cc zip

most=12000000

cargo build --release --locked -p entrypoints --no-default-features --features aws --bin lambda
target=${CARGO_TARGET_DIR:-target}
package=$target/lambda-package
rm -rf "$package"
mkdir -p "$package"
cp "$target/release/lambda" "$package/bootstrap"
if [ $# -gt 0 ]; then
    cp "$1" "$package/rds.pem"
fi
(cd "$package" && zip -9 -q -X salla-sync-lambda.zip ./*)
size=$(wc -c <"$package/salla-sync-lambda.zip")
echo "$package/salla-sync-lambda.zip: $size bytes"
if [ "$size" -gt "$most" ]; then
    echo "lambda-package: that is more than $most bytes" >&2
    exit 1
fi
