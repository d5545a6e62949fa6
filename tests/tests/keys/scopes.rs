//! What each route takes.

use http::Method;
use sluice_gateway::http::routes;
use sluice_shared::domain::access::Scope::{self, Admin, Operate, Read, Submit};
use sluice_tests::client::Client;

use crate::rig::{Rig, problem, wish};

/// Each route as it has to be: its method, its path, its scope, whether it takes a key of the operator.
const ROUTES: [(&str, &str, Scope, bool); 33] = [
    ("POST", "/v1/jobs", Submit, false),
    ("POST", "/v1/jobs/batch", Submit, false),
    ("GET", "/v1/jobs/{id}", Read, false),
    ("DELETE", "/v1/jobs/{id}", Submit, false),
    ("GET", "/v1/jobs/{id}/events", Read, false),
    ("POST", "/v1/jobs/{id}/retry", Submit, false),
    ("POST", "/v1/jobs/{id}/webhooks/{number}/replay", Submit, false),
    ("GET", "/v1/queues", Read, false),
    ("GET", "/v1/queues/{queue}", Read, false),
    ("PATCH", "/v1/queues/{queue}", Operate, true),
    ("POST", "/v1/queues/{queue}/pause", Operate, false),
    ("POST", "/v1/queues/{queue}/resume", Operate, false),
    ("POST", "/v1/queues/{queue}/purge", Operate, false),
    ("GET", "/v1/dead-letters", Read, false),
    ("POST", "/v1/dead-letters/redrive", Operate, false),
    ("POST", "/v1/dead-letters/purge", Operate, false),
    ("GET", "/v1/dead-letters/{id}", Read, false),
    ("DELETE", "/v1/dead-letters/{id}", Operate, false),
    ("POST", "/v1/dead-letters/{id}/redrive", Operate, false),
    ("GET", "/v1/keys", Admin, false),
    ("POST", "/v1/keys", Admin, false),
    ("DELETE", "/v1/keys/{id}", Admin, false),
    ("GET", "/v1/secrets", Read, false),
    ("PUT", "/v1/secrets/{name}", Operate, false),
    ("DELETE", "/v1/secrets/{name}", Operate, false),
    ("GET", "/v1/webhook-secrets", Read, false),
    ("PUT", "/v1/webhook-secrets", Operate, false),
    ("DELETE", "/v1/webhook-secrets", Operate, false),
    ("POST", "/api/v1/proxy", Submit, false),
    ("POST", "/api/v1/jobs", Submit, false),
    ("GET", "/api/v1/webhook-secrets", Read, false),
    ("POST", "/api/v1/webhook-secrets", Operate, false),
    ("DELETE", "/api/v1/webhook-secrets", Operate, false),
];

/// A path of this form to something that is not there.
pub(crate) fn path_of(path: &str) -> String {
    path.replace("{number}", "0")
        .replace("{name}", "none")
        .replace("{queue}", "none")
        .replace("dead-letters/{id}", "dead-letters/7")
        .replace("{id}", "none")
}

#[tokio::test]
async fn whoever_is_not_let_in_is_counted_by_the_reason() {
    let rig = Rig::start(1, 0).await;
    let client = rig.client(wish(Some("acme"), &[Read])).await;
    let ask = async |client: &Client, path: &str| client.send(Method::GET, path, &[], None).await;
    for path in ["/v1/keys", "/v1/keys"] {
        ask(&client, path).await;
    }
    ask(&rig.stranger(), "/v1/queues").await;
    let counts = ask(&rig.stranger(), "/metrics").await.body.as_str().unwrap().to_owned();
    for (reason, count) in [("not_allowed", 2), ("no_key", 1), ("expired_key", 0)] {
        let line = format!("sluice_requests_denied_total{{reason=\"{reason}\"}} {count}");
        assert!(counts.lines().any(|one| one == line), "no `{line}` in\n{counts}");
    }
}

#[test]
fn each_route_declares_what_it_takes() {
    let declared = routes().into_iter();
    let mut declared: Vec<_> = declared
        .map(|route| (route.need.unwrap(), route))
        .map(|(need, route)| (route.method.to_string(), route.path.to_owned(), need.scope, need.operator))
        .collect();
    let mut expected: Vec<_> = ROUTES
        .iter()
        .map(|(method, path, scope, by)| ((*method).to_owned(), (*path).to_owned(), *scope, *by))
        .collect();
    declared.sort();
    expected.sort();
    assert_eq!(declared, expected);
}

/// With everything but the scope that it takes nobody gets past the door; with that alone they do.
#[tokio::test]
async fn each_route_takes_the_scope_that_it_declares_and_no_other() {
    let rig = Rig::start(1, 0).await;
    for tenant in [Some("acme"), None] {
        for scope in Scope::ALL {
            let only = rig.client(wish(tenant, &[scope])).await;
            let others: Vec<Scope> = Scope::ALL.into_iter().filter(|other| *other != scope).collect();
            let all_others = rig.client(wish(tenant, &others)).await;
            for (method, path, needed, by_operator) in ROUTES.iter().filter(|(.., needed, _)| *needed == scope) {
                let (method, path): (Method, _) = (method.parse().unwrap(), path_of(path));
                let refused = all_others.send(method.clone(), &path, &[], None).await;
                problem(&refused, 403, "missing_scope");
                assert!(refused.header("www-authenticate").contains(&format!("scope=\"{needed}\"")), "{refused:#?}");
                let answer = only.send(method, &path, &[], None).await;
                if *by_operator && tenant.is_some() {
                    problem(&answer, 403, "operators_only");
                } else {
                    assert!(!matches!(answer.status, 401 | 403 | 500..), "{path} {answer:#?}");
                }
            }
        }
    }
}
