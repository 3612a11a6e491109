//! The deployment: rules that no linter checks, and the very template created on a server that
//! stands for AWS, with the real function in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use domain::run::RunState;
use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::queue::{QueueName, QueueSettings};
use serde_json::{Value, json};

use super::PREFIX;
use super::servers::{Kind, Server, installed};
use crate::process::{present_day, program, run};
use crate::support::KEY;
use crate::truth::small;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/aws")
}

fn template() -> Value {
    template_in("template.yaml")
}

/// A template as JSON: cfn-lint reads the short forms of its functions.
fn template_in(file: &str) -> Value {
    let read = "import json, sys, cfnlint.decode\n\
                template, _ = cfnlint.decode.decode(sys.argv[1])\n\
                print(json.dumps(template))";
    let output = Command::new(installed().join("venv/bin/python"))
        .args(["-c", read])
        .arg(folder().join(file))
        .output()
        .expect("Python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

fn of_type<'a>(template: &'a Value, kind: &str) -> BTreeMap<&'a str, &'a Value> {
    let resources = template["Resources"].as_object().expect("resources");
    resources
        .iter()
        .filter(|(_, resource)| resource["Type"] == kind)
        .map(|(name, resource)| (name.as_str(), &resource["Properties"]))
        .collect()
}

/// A number, or what a mapping says in its place.
fn number(template: &Value, value: &Value) -> i64 {
    let found = &value["Fn::FindInMap"];
    let mapped = found.as_array().map(|path| {
        let name = |at: usize| path[at].as_str().expect("a name");
        &template["Mappings"][name(0)][name(1)][name(2)]
    });
    let value = mapped.unwrap_or(value);
    value
        .as_i64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_message_outlasts_its_function_and_goes_where_the_program_expects_it() {
    let template = template();
    let queues = of_type(&template, "AWS::SQS::Queue");
    let functions = of_type(&template, "AWS::Lambda::Function");
    let sources = of_type(&template, "AWS::Lambda::EventSourceMapping");
    assert_eq!(sources.len(), QueueName::ALL.len());
    for (name, source) in &sources {
        let queue = source["EventSourceArn"]["Fn::GetAtt"][0]
            .as_str()
            .expect("a queue");
        let function = source["FunctionName"]["Ref"].as_str().expect("a function");
        let visibility = number(&template, &queues[queue]["VisibilityTimeout"]);
        let timeout = number(&template, &functions[function]["Timeout"]);
        assert!(
            visibility >= 6 * timeout,
            "{name}: {visibility} < 6 × {timeout}"
        );
        assert_eq!(source["BatchSize"], 1, "{name}");
        assert_eq!(
            source["FunctionResponseTypes"],
            json!(["ReportBatchItemFailures"])
        );
        assert!(
            !source["ScalingConfig"]["MaximumConcurrency"].is_null(),
            "{name}"
        );
    }
    for (name, function) in &functions {
        assert!(function["ReservedConcurrentExecutions"].is_null(), "{name}");
        // Less is mostly what each turn begins with, docs/deploy-aws.md says.
        let is_worker = sources
            .values()
            .any(|source| source["FunctionName"]["Ref"].as_str() == Some(name));
        let timeout = number(&template, &function["Timeout"]);
        assert!(!is_worker || timeout >= 60, "{name}: {timeout}");
        assert_eq!(function["Runtime"], "provided.al2023", "{name}");
    }
    // Names, letters and attempts are those that the program goes by.
    let called = |properties: &Value| {
        properties["QueueName"]["Fn::Sub"]
            .as_str()
            .map(str::to_owned)
    };
    for name in QueueName::ALL {
        let expected = aws::sqs::QueueNames::of("${Prefix}", name);
        let queue = queues
            .values()
            .find(|queue| called(queue).as_ref() == Some(&expected.queue));
        let redrive = &queue.expect("the queue is there")["RedrivePolicy"];
        let most = QueueSettings::of(name).max_attempts;
        assert_eq!(redrive["maxReceiveCount"], most, "{name}");
        let letters = redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]
            .as_str()
            .expect("letters");
        assert_eq!(
            called(queues[letters]).as_ref(),
            Some(&expected.dead_letters)
        );
        assert_eq!(queues[letters]["MessageRetentionPeriod"], 1_209_600);
    }
}

/// No role has rights that the program does not use.
#[test]
fn no_role_may_do_anything_to_everything() {
    let template = template();
    let mut statements = Vec::new();
    for kind in ["AWS::IAM::Role", "AWS::IAM::ManagedPolicy"] {
        for properties in of_type(&template, kind).into_values() {
            let policies = properties["Policies"].as_array().into_iter().flatten();
            let documents = policies.map(|policy| &policy["PolicyDocument"]);
            for document in documents.chain([&properties["PolicyDocument"]]) {
                statements.extend(document["Statement"].as_array().into_iter().flatten());
            }
        }
    }
    assert!(statements.len() > 8, "{}", statements.len());
    for statement in statements {
        let text = statement.to_string();
        assert!(!text.contains('*'), "{text}");
    }
    for (name, logs) in of_type(&template, "AWS::Logs::LogGroup") {
        assert!(!logs["RetentionInDays"].is_null(), "{name}");
    }
}

/// Salla counts by address, so two ways out would be two groups under one name.
#[test]
fn every_function_of_an_egress_group_leaves_from_the_one_address() {
    let template = template_in("egress.yaml");
    let nats = of_type(&template, "AWS::EC2::NatGateway");
    let addresses = of_type(&template, "AWS::EC2::EIP");
    assert_eq!((nats.len(), addresses.len()), (1, 1));
    let (nat, address) = (&nats["Nat"], &addresses["Address"]);
    assert_eq!(
        nat["AllocationId"],
        json!({"Fn::GetAtt": ["Address", "AllocationId"]})
    );
    assert_eq!(address["Domain"], "vpc");

    let routes = of_type(&template, "AWS::EC2::Route");
    let associations = of_type(&template, "AWS::EC2::SubnetRouteTableAssociation");
    let way_out_of = |subnet: &Value| {
        let association = associations
            .values()
            .find(|found| found["SubnetId"] == *subnet);
        let table = &association.expect("the subnet has routes")["RouteTableId"];
        let ways: Vec<_> = routes
            .values()
            .filter(|route| route["RouteTableId"] == *table)
            .collect();
        assert_eq!(ways.len(), 1, "{subnet}: {ways:?}");
        assert_eq!(ways[0]["DestinationCidrBlock"], "0.0.0.0/0");
        (*ways[0]).clone()
    };
    let handed_out = &template["Outputs"]["SubnetIds"]["Value"]["Fn::Join"][1];
    let handed_out = handed_out.as_array().expect("subnets");
    assert_eq!(handed_out.len(), 2);
    // All but the one with the way out, so none is left from where there is another way.
    let subnets = of_type(&template, "AWS::EC2::Subnet");
    let private = subnets.keys().map(|name| json!({"Ref": name}));
    let private: Vec<_> = private.filter(|name| *name != nat["SubnetId"]).collect();
    assert_eq!(*handed_out, private);
    for subnet in handed_out {
        let way = way_out_of(subnet);
        assert_eq!(way["NatGatewayId"], json!({"Ref": "Nat"}), "{subnet}");
    }
    // The way out itself needs one.
    let way = way_out_of(&nat["SubnetId"]);
    assert_eq!(way["GatewayId"], json!({"Ref": "Gateway"}));
    assert_eq!(
        template["Outputs"]["Address"]["Value"],
        json!({"Ref": "Address"})
    );
}

/// The other half: where subnets are given, no function stays outside of them, from where it
/// would leave by any address.
#[test]
fn every_function_sits_in_the_subnets_that_are_given() {
    let template = template();
    let functions = of_type(&template, "AWS::Lambda::Function");
    assert_eq!(functions.len(), 3);
    for (name, function) in functions {
        let network = &function["VpcConfig"]["Fn::If"];
        assert_eq!(network[0], "IsInSubnets", "{name}");
        assert_eq!(
            network[1]["SubnetIds"],
            json!({"Ref": "SubnetIds"}),
            "{name}"
        );
        let groups = json!({"Ref": "SecurityGroupIds"});
        assert_eq!(network[1]["SecurityGroupIds"], groups, "{name}");
    }
    let given = &template["Conditions"]["IsInSubnets"]["Fn::Not"][0]["Fn::Equals"];
    assert!(given.to_string().contains("SubnetIds"), "{given}");
}

/// AWS refuses what comes through a URL without either of them.
#[test]
fn whoever_may_call_a_url_may_invoke_its_function_and_only_so() {
    let template = template();
    let permissions = of_type(&template, "AWS::Lambda::Permission");
    let urls = of_type(&template, "AWS::Lambda::Url");
    assert!(!urls.is_empty());
    for (name, url) in urls {
        assert_eq!(
            url["AuthType"], "NONE",
            "{name}: its rights are not known here"
        );
        let of_everybody = permissions.values().filter(|permission| {
            permission["FunctionName"] == url["TargetFunctionArn"] && permission["Principal"] == "*"
        });
        let given = of_everybody.map(|permission| {
            let of_url = match permission["Action"].as_str() {
                Some("lambda:InvokeFunctionUrl") => &permission["FunctionUrlAuthType"],
                _ => &permission["InvokedViaFunctionUrl"],
            };
            (permission["Action"].as_str(), of_url.clone())
        });
        let given: BTreeMap<_, _> = given.collect();
        let expected = [
            (Some("lambda:InvokeFunction"), json!(true)),
            (Some("lambda:InvokeFunctionUrl"), json!("NONE")),
        ];
        assert_eq!(given, BTreeMap::from(expected), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_created_in_two_zones_and_nobody_can_connect_to_it() {
    let server = Server::start(Kind::MiniStack, None, &[]);
    let templates = folder();
    let created = script(
        "network.py",
        &[&server.url(), &*templates.to_string_lossy()],
    )
    .await;
    let created: Value = serde_json::from_str(&created).expect("it is JSON");
    assert_eq!(
        created,
        json!({
            "subnets": [
                {"zone": "eu-central-1a", "network": "10.42.1.0/24"},
                {"zone": "eu-central-1b", "network": "10.42.2.0/24"},
            ],
            "opened": [],
        })
    );
}

/// A zip file with a program that is the real function.
fn package(folder: &Path) -> PathBuf {
    let bootstrap = folder.join("bootstrap");
    let function = env!("CARGO_BIN_EXE_lambda");
    std::fs::write(&bootstrap, format!("#!/bin/sh\nexec {function}\n")).expect("it is written");
    let zipped = Command::new(installed().join("venv/bin/python"))
        .args(["-m", "zipfile", "-c", "function.zip", "bootstrap"])
        .current_dir(folder)
        .status();
    assert!(zipped.expect("Python runs").success());
    folder.join("function.zip")
}

/// Runs a script beside this file, with the clients of AWS that came with the servers.
async fn script(name: &str, arguments: &[&str]) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/aws");
    let mut command = Command::new(installed().join("venv/bin/python"));
    // Leaves no compiled module among the tests.
    command.arg("-B").arg(here.join(name)).args(arguments);
    let output = run(command).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// With rights enforced: a role of the template that lacks one ends this.
#[tokio::test(flavor = "multi_thread")]
async fn the_template_is_created_and_an_import_runs_through_it() {
    let service = present_day(small(120)).await;
    let server = Server::start(Kind::MiniStack, None, &[("AUTH", "true")]);
    let settings = json!({
        "DATABASE_URL": service.database.url(),
        "SALLA_SYNC_KEY": KEY,
        "SALLA_CLIENT_ID": service.simulator.client_id(),
        "SALLA_CLIENT_SECRET": service.simulator.client_secret(),
        "SALLA_API_URL": service.simulator.api_url(),
        "SALLA_ACCOUNTS_URL": service.simulator.accounts_url(),
    });
    let package = package(server.folder());
    let url = server.url();
    let templates = folder();
    let deploy = [
        &url,
        &*templates.to_string_lossy(),
        &*package.to_string_lossy(),
        PREFIX,
        &settings.to_string(),
    ];
    let outputs = script("deploy.py", &deploy).await;
    assert!(outputs.contains(&format!("sqs://{PREFIX}")), "{outputs}");

    // From here on as a user does it.
    let on_sqs = |arguments: &[&str]| {
        let mut command = program(&service, arguments);
        command
            .env("AWS_ENDPOINT_URL", server.url())
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ACCESS_KEY_ID", "000000000000")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("SALLA_SYNC_QUEUE", format!("sqs://{PREFIX}"));
        command
    };
    let output = run(on_sqs(&["connect", "--json"])).await;
    let connected: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let shop = connected["salla_id"].to_string();
    let output = run(on_sqs(&["runs", "start", "--shop", &shop, "--json"])).await;
    assert!(output.status.success(), "{output:?}");
    script("sweep.py", &[&url, PREFIX]).await;
    let clock = SystemClock::real();
    let completed = async {
        loop {
            let runs = service
                .open
                .runs()
                .list()
                .await
                .expect("runs can be listed");
            let run = runs.into_iter().find_map(|(_, run)| run);
            match run {
                Some(run) if run.state == RunState::Completed => break run,
                Some(run) if run.state == RunState::Failed => panic!("{run:?}\n{}", server.log()),
                _ => clock.sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let run = tokio::select! {
        run = completed => run,
        () = clock.sleep(Duration::from_secs(120)) => panic!("it does not end: {}", server.log()),
    };
    let certificate = run.certificate.as_ref().expect("there is a certificate");
    service.compare(run.merchant, certificate).await;

    // A right that only the end of a message needs is missed there: nothing is swept meanwhile.
    let settled = async {
        while super::lambda::rows(&service).await > 0 {
            clock.sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = settled => {}
        () = clock.sleep(Duration::from_secs(60)) => {
            panic!("a message is not done: {}", server.log())
        }
    }
    script("letter.py", &[&url, PREFIX]).await;
    script("sweep.py", &[&url, PREFIX]).await;
    // The sweep releases a letter that operators know of: without the right to do so, the letter
    // could not be received for half a minute.
    script("sweep.py", &[&url, PREFIX]).await;
    script("released.py", &[&url, PREFIX]).await;
}

/// Those that AWS itself needs to hand messages over, which no server checks here.
#[test]
fn lambda_may_receive_for_the_worker() {
    let template = template();
    let policies = &of_type(&template, "AWS::IAM::Role")["WorkerRole"]["Policies"];
    let statement = &policies[0]["PolicyDocument"]["Statement"][0];
    let actions = statement["Action"].as_array().expect("actions");
    for needed in ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"] {
        assert!(
            actions.contains(&json!(format!("sqs:{needed}"))),
            "{needed}"
        );
    }
    let sources = of_type(&template, "AWS::Lambda::EventSourceMapping");
    let queues = statement["Resource"].as_array().expect("queues");
    for (name, source) in sources {
        assert!(queues.contains(&source["EventSourceArn"]), "{name}");
    }
}
