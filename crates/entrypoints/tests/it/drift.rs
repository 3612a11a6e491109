//! The shop changes while it is read, and its lists are not always right: a COMPLETED must be true
//! all the same.

use domain::certificate::Proof;
use domain::failure::Failure;
use domain::resource::Resource;
use importer::import::ImportOutcome;
use salla_simulator::{
    AppAge, BusyDay, Ceiling, CeilingBehavior, Drift, EndlessPages, Endpoint, ItemLoss,
    ListBehavior, Lists, ResourceDrift, Scenario, ShopSpec,
};

use crate::process::{present_day, program, run};
use crate::reprocess::json;
use crate::service::{TestService, completed};
use crate::truth::small;

const AGES: [AppAge; 3] = [AppAge::Expanded, AppAge::FullDetails, AppAge::LightDetails];

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_deleted_behind_the_reader_cost_no_neighbour() {
    for app_age in AGES {
        for pair_with_insert in [false, true] {
            let restless = ResourceDrift {
                delete_every: 3,
                pair_with_insert,
                until_request: 25,
                ..ResourceDrift::default()
            };
            let service = TestService::start(Scenario {
                app_age,
                drift: Drift {
                    seed: 11,
                    orders: restless,
                    // Customers do not sign up in the past: new ones are at an end of the list.
                    customers: ResourceDrift {
                        pair_with_insert: false,
                        arrive_every: 4,
                        ..restless
                    },
                    products: restless,
                    ..Drift::default()
                },
                ..small(1_500)
            })
            .await;
            service.import_and_compare().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_arrive_and_change_meanwhile_are_all_there() {
    for app_age in AGES {
        let service = TestService::start(Scenario {
            app_age,
            drift: Drift {
                seed: 5,
                orders: ResourceDrift {
                    arrive_every: 4,
                    edit_every: 3,
                    delete_every: 9,
                    until_request: 30,
                    ..ResourceDrift::default()
                },
                ..Drift::default()
            },
            ..small(1_500)
        })
        .await;
        service.import_and_compare().await;
    }
}

/// Twenty deletions, and as many of everything else, from the first list request to the last.
#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_never_holds_still_is_imported_in_one_go() {
    for app_age in [AppAge::Expanded, AppAge::FullDetails] {
        for pair_with_insert in [false, true] {
            let service = TestService::start(Scenario {
                app_age,
                drift: Drift {
                    seed: 23,
                    orders: ResourceDrift {
                        delete_every: 5,
                        edit_every: if pair_with_insert { 5 } else { 0 },
                        pair_with_insert,
                        until_request: 100,
                        ..ResourceDrift::default()
                    },
                    ..Drift::default()
                },
                ..small(3_000)
            })
            .await;
            let certificate = service.import_and_compare().await;
            assert!(certificate.balances());
            let requests = service.simulator.ledger().by_endpoint[&Endpoint::Orders];
            // A quiet shop takes some 60. Each of the windows into which this one falls
            // costs one more at the end.
            assert!(requests < 250, "{app_age:?}: {requests}");
        }
    }
}

fn lists(manners: ListBehavior) -> Lists {
    Lists {
        orders: manners,
        customers: manners,
        products: manners,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_is_off_by_a_few_is_settled_and_shown() {
    for total_off in [-2, 3] {
        for pages_follow_total in [true, false] {
            let service = TestService::start(Scenario {
                lists: lists(ListBehavior {
                    total_off,
                    pages_follow_total,
                    ..ListBehavior::default()
                }),
                ..small(1_200)
            })
            .await;
            let certificate = service.import_and_compare().await;
            let settled = certificate
                .windows
                .iter()
                .filter(|w| w.listing.proof() == Proof::Settled);
            assert!(settled.count() >= 3, "{certificate:?}");
        }
        verified_although_the_total_is_off(total_off).await;
    }
}

/// What `verify` says right after such an import.
async fn verified_although_the_total_is_off(total_off: i64) {
    let service = present_day(Scenario {
        lists: lists(ListBehavior {
            total_off,
            ..ListBehavior::default()
        }),
        ..small(1_200)
    })
    .await;
    completed(service.import().await.1);
    let (report, code) = json(&service, &["verify", "--json"]).await;
    assert_eq!((code, &report["fits"]), (0, &true.into()), "{report:#}");
    let windows = report["windows"].as_array().expect("there are windows");
    let off = windows
        .iter()
        .filter(|w| w["settled_difference"] == total_off);
    for window in off.clone() {
        assert_eq!(window["meaning"], "fits", "{report:#}");
        assert_eq!(window["difference"], total_off, "{report:#}");
    }
    assert!(off.count() >= 3, "{report:#}");
    let output = run(program(&service, &["verify"])).await;
    let said = String::from_utf8_lossy(&output.stdout);
    let meaning = format!("fits, Salla counts {total_off:+}");
    assert!(said.contains(&meaning), "{said}");
}

/// The newest orders, too, are known by their ids.
#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_is_off_is_no_ceiling_where_records_have_no_id() {
    let mut scenario = small(600);
    scenario.lists.orders.total_off = 2;
    scenario.invalid.orders = 0.04;
    let service = TestService::start(scenario).await;
    let certificate = service.import_and_compare().await;
    let mut windows = certificate.windows.iter();
    assert!(windows.any(|w| w.listing.without_id > 0), "{certificate:?}");
    assert_eq!(certificate.windows[0].listing.ceiling.learned(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_is_far_off_ends_the_run_failed_with_the_windows_named() {
    let service = TestService::start(Scenario {
        lists: Lists {
            orders: ListBehavior {
                total_off: 40,
                ..ListBehavior::default()
            },
            ..Lists::default()
        },
        ..small(1_200)
    })
    .await;
    let (merchant, outcome) = service.import().await;
    let ImportOutcome::Failed {
        failure: Failure::Unbalanced { windows, .. },
        certificate: Some(certificate),
    } = outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!(windows, certificate.unbalanced().count());
    assert!(
        certificate
            .unbalanced()
            .all(|w| w.listing.resource == Resource::Orders)
    );
    // The data is stored, and once the number is corrected the next start proves it.
    service.simulator.set(|s| s.lists.orders.total_off = 0);
    let certificate = completed(service.import().await.1);
    service.compare(merchant, &certificate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_never_end_are_left() {
    for endless in [EndlessPages::LastPage, EndlessPages::LastPageGrowing] {
        let service = TestService::start(Scenario {
            lists: lists(ListBehavior {
                endless_pages: Some(endless),
                ..ListBehavior::default()
            }),
            ..small(1_200)
        })
        .await;
        service.import_and_compare().await;
        let requests = service.simulator.ledger().requests;
        assert!(requests < 200, "{endless:?}: {requests} requests");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_only_gives_its_first_page_is_read_page_by_page() {
    let service = TestService::start(Scenario {
        lists: Lists {
            orders: ListBehavior {
                endless_pages: Some(EndlessPages::FirstPage),
                ..ListBehavior::default()
            },
            ..Lists::default()
        },
        ..small(1_200)
    })
    .await;
    let certificate = service.import_and_compare().await;
    let learned = certificate.windows[0].listing.ceiling.learned();
    assert_eq!(learned, Some(60));
}

fn busy(orders: u64, how: CeilingBehavior) -> Scenario {
    Scenario {
        shop: ShopSpec {
            busy_day: Some(BusyDay {
                days_ago: 20,
                orders,
            }),
            ..small(orders + 300).shop
        },
        lists: Lists {
            orders: ListBehavior {
                ceiling: Some(Ceiling {
                    how,
                    ..Ceiling::default()
                }),
                ..ListBehavior::default()
            },
            ..Lists::default()
        },
        ..small(300)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_above_the_ceiling_is_read_from_both_ends() {
    for how in [
        CeilingBehavior::Empty,
        CeilingBehavior::Error,
        CeilingBehavior::RepeatLast,
    ] {
        let service = TestService::start(busy(10_700, how)).await;
        service.import_and_compare().await;
        // Below the ceiling, but for a page that reaches across it.
        let mut scenario = busy(9_975, how);
        if let Some(ceiling) = &mut scenario.lists.orders.ceiling {
            ceiling.whole_pages = true;
        }
        TestService::start(scenario)
            .await
            .import_and_compare()
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_behind_a_ceiling_of_any_height_arrive_whole() {
    for (rows, whole_pages, how) in [
        (1_000, false, CeilingBehavior::Empty),
        (1_000, true, CeilingBehavior::Error),
        (700, false, CeilingBehavior::RepeatLast),
        (130, true, CeilingBehavior::Empty),
    ] {
        let mut scenario = small(2_212);
        scenario.lists.orders.ceiling = Some(Ceiling {
            rows,
            whole_pages,
            how,
            ..Ceiling::default()
        });
        let service = TestService::start(scenario).await;
        let certificate = service.import_and_compare().await;
        let learned = certificate.windows[0].listing.ceiling.learned();
        assert!(
            learned.is_some_and(|learned| learned <= rows),
            "{rows} {how:?}: {learned:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_that_lies_is_said_plainly() {
    let service = TestService::start(busy(10_700, CeilingBehavior::Lie)).await;
    let (_, outcome) = service.import().await;
    let ImportOutcome::Failed {
        failure: Failure::Unbalanced { .. },
        certificate: Some(certificate),
    } = outcome
    else {
        panic!("{outcome:?}")
    };
    let window = certificate.unbalanced().next().expect("one is named");
    assert!(window.listing.days.is_some_and(|days| days.from == days.to));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_loses_the_items_in_the_middle_loses_no_item() {
    for (app_age, item_loss) in [
        (
            AppAge::FullDetails,
            ItemLoss {
                details_after: Some(150),
                ..ItemLoss::default()
            },
        ),
        (
            AppAge::Expanded,
            ItemLoss {
                rows_without_items_after: Some(12),
                ..ItemLoss::default()
            },
        ),
        (
            AppAge::Expanded,
            ItemLoss {
                expanded_ignored_after: Some(12),
                ..ItemLoss::default()
            },
        ),
    ] {
        let service = TestService::start(Scenario {
            app_age,
            item_loss,
            ..small(600)
        })
        .await;
        service.import_and_compare().await;
    }
}
