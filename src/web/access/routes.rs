//! Which right each address asks for. An address that is not in this table is refused, so that a new
//! one cannot be forgotten; a test walks all of them.

use axum::http::Method;

use crate::domain::Right;
use Right::{Adjudicate, Admin, Annotate, Export, Import, Jobs, Manage, Open, SignedIn, View};

/// (method, address as the router knows it, right). GET stands for HEAD too.
const TABLE: &[(&str, &str, Right)] = &[
    // pages
    ("GET", "/sign-in", Open),
    ("POST", "/sign-in", Open),
    ("GET", "/sign-in/oidc", Open),
    ("GET", "/sign-in/oidc/callback", Open),
    ("GET", "/setup", Open),
    ("POST", "/setup", Open),
    ("POST", "/sign-out", Open),
    ("GET", "/static/{version}/{*path}", Open),
    ("GET", "/favicon.ico", Open),
    ("GET", "/", SignedIn),
    ("GET", "/datasets", SignedIn),
    ("GET", "/import", SignedIn),
    ("GET", "/account", SignedIn),
    ("GET", "/accounts", Admin),
    ("GET", "/jobs", SignedIn),
    ("GET", "/jobs/{id}", View),
    ("GET", "/jobs/{id}/curves", View),
    ("GET", "/api/docs", SignedIn),
    ("GET", "/datasets/{name}", View),
    ("GET", "/datasets/{name}/samples", View),
    ("GET", "/datasets/{name}/suspects", View),
    ("GET", "/datasets/{name}/health", View),
    ("GET", "/datasets/{name}/clusters", View),
    ("GET", "/datasets/{name}/rules", Jobs),
    ("GET", "/datasets/{name}/grid", View),
    ("GET", "/datasets/{name}/map", View),
    ("GET", "/datasets/{name}/samples/{key}", View),
    ("GET", "/datasets/{name}/review", Annotate),
    ("GET", "/datasets/{name}/review/{lease}", Annotate),
    ("GET", "/datasets/{name}/trainings/{id}", View),
    ("GET", "/datasets/{name}/next", Jobs),
    ("GET", "/datasets/{name}/ledger", Jobs),
    ("GET", "/datasets/{name}/rounds/{number}/report", View),
    ("GET", "/datasets/{name}/team", View),
    ("GET", "/datasets/{name}/work", Manage),
    ("GET", "/datasets/{name}/webhooks", Manage),
    ("GET", "/datasets/{name}/quality", View),
    ("GET", "/datasets/{name}/trail", Manage),
    ("GET", "/datasets/{name}/snapshots", View),
    ("GET", "/datasets/{name}/snapshots/{snapshot}", View),
    ("GET", "/datasets/{name}/guide", View),
    ("GET", "/datasets/{name}/guide/{class}", View),
    // media and health
    ("GET", "/media/{dataset}/{sample}", View),
    ("GET", "/poster/{dataset}/{sample}", View),
    ("GET", "/strip/{dataset}/{sample}", View),
    ("GET", "/healthz", Open),
    ("GET", "/readyz", Open),
    // people
    ("GET", "/api/v1/account", SignedIn),
    ("POST", "/api/v1/account/password", SignedIn),
    ("GET", "/api/v1/account/settings", SignedIn),
    ("PUT", "/api/v1/account/settings", SignedIn),
    ("GET", "/api/v1/account/tokens", SignedIn),
    ("POST", "/api/v1/account/tokens", SignedIn),
    ("DELETE", "/api/v1/account/tokens/{token}", SignedIn),
    ("GET", "/api/v1/accounts", Admin),
    ("POST", "/api/v1/accounts", Admin),
    ("PATCH", "/api/v1/accounts/{account}", Admin),
    ("GET", "/api/v1/audit", Admin),
    ("GET", "/api/v1/datasets/{dataset}/members", View),
    ("PUT", "/api/v1/datasets/{dataset}/members/{account}", Manage),
    ("DELETE", "/api/v1/datasets/{dataset}/members/{account}", Manage),
    ("GET", "/api/v1/datasets/{dataset}/audit", Manage),
    ("GET", "/api/v1/datasets/{dataset}/webhooks", Manage),
    ("POST", "/api/v1/datasets/{dataset}/webhooks", Manage),
    ("DELETE", "/api/v1/datasets/{dataset}/webhooks/{webhook}", Manage),
    ("POST", "/api/v1/datasets/{dataset}/webhooks/{webhook}/ping", Manage),
    ("GET", "/api/v1/datasets/{dataset}/webhooks/{webhook}/deliveries", Manage),
    ("POST", "/api/v1/datasets/{dataset}/webhooks/{webhook}/deliveries/{delivery}/redeliver", Manage),
    // datasets and samples
    ("GET", "/api/openapi.json", SignedIn),
    ("GET", "/api/v1/datasets", SignedIn),
    ("GET", "/api/v1/datasets/{dataset}", View),
    ("DELETE", "/api/v1/datasets/{dataset}", Manage),
    ("GET", "/api/v1/datasets/{dataset}/taxonomy", View),
    ("GET", "/api/v1/datasets/{dataset}/classes", View),
    ("GET", "/api/v1/datasets/{dataset}/rounds", View),
    ("GET", "/api/v1/datasets/{dataset}/events", View),
    ("GET", "/api/v1/datasets/{dataset}/samples", View),
    ("GET", "/api/v1/datasets/{dataset}/samples/{sample}", View),
    ("GET", "/api/v1/datasets/{dataset}/samples/{sample}/history", View),
    ("GET", "/api/v1/datasets/{dataset}/suspects", View),
    ("POST", "/api/v1/datasets/{dataset}/samples/{sample}/reviews", Annotate),
    // the queue of reviewing
    ("GET", "/api/v1/datasets/{dataset}/reviews", View),
    ("POST", "/api/v1/datasets/{dataset}/reviews/{client_id}/undo", Annotate),
    ("GET", "/api/v1/datasets/{dataset}/samples/{sample}/comments", View),
    ("POST", "/api/v1/datasets/{dataset}/samples/{sample}/comments", Annotate),
    ("GET", "/api/v1/datasets/{dataset}/samples/{sample}/consensus", Adjudicate),
    ("GET", "/api/v1/datasets/{dataset}/queue", View),
    ("POST", "/api/v1/datasets/{dataset}/queue/draw", Annotate),
    ("POST", "/api/v1/datasets/{dataset}/queue/leases/{lease}/extend", Annotate),
    ("POST", "/api/v1/datasets/{dataset}/queue/leases/{lease}/release", Annotate),
    ("POST", "/api/v1/datasets/{dataset}/queue/fill", Manage),
    ("GET", "/api/v1/datasets/{dataset}/policy", View),
    ("PUT", "/api/v1/datasets/{dataset}/policy", Manage),
    ("GET", "/api/v1/datasets/{dataset}/batches", View),
    ("POST", "/api/v1/datasets/{dataset}/batches", Manage),
    ("GET", "/api/v1/datasets/{dataset}/batches/{batch}", View),
    ("PATCH", "/api/v1/datasets/{dataset}/batches/{batch}", Manage),
    ("GET", "/api/v1/datasets/{dataset}/embeddings", View),
    ("GET", "/api/v1/datasets/{dataset}/embeddings/{file}/vectors.parquet", Export),
    ("GET", "/api/v1/datasets/{dataset}/snapshots", View),
    ("POST", "/api/v1/datasets/{dataset}/snapshots", Jobs),
    ("GET", "/api/v1/datasets/{dataset}/snapshots/{snapshot}", View),
    ("GET", "/api/v1/datasets/{dataset}/snapshots/{snapshot}/changes", View),
    ("POST", "/api/v1/datasets/{dataset}/snapshots/{snapshot}/restore", Jobs),
    ("GET", "/api/v1/datasets/{dataset}/scans", View),
    ("POST", "/api/v1/datasets/{dataset}/scans", Jobs),
    ("GET", "/api/v1/datasets/{dataset}/scans/{scan}", View),
    ("GET", "/api/v1/datasets/{dataset}/trainings", View),
    ("POST", "/api/v1/datasets/{dataset}/trainings", Jobs),
    ("GET", "/api/v1/datasets/{dataset}/trainings/{training}", View),
    ("POST", "/api/v1/datasets/{dataset}/distillations", Jobs),
    ("POST", "/api/v1/datasets/{dataset}/ablations", Jobs),
    ("GET", "/api/v1/datasets/{dataset}/trainings/{training}/model.onnx", Export),
    ("GET", "/api/v1/datasets/{dataset}/trainings/{training}/report", View),
    ("POST", "/api/v1/datasets/{dataset}/trainings/{training}/bundle", Jobs),
    ("GET", "/api/v1/datasets/{dataset}/trainings/{training}/bundle.onnx", View),
    ("POST", "/api/v1/datasets/{dataset}/predict", Jobs),
    ("POST", "/api/v1/datasets/{dataset}/predict/clips", Jobs),
    ("GET", "/api/v1/datasets/{dataset}/ledger", Jobs),
    ("POST", "/api/v1/datasets/{dataset}/ledger", Jobs),
    ("GET", "/api/v1/datasets/{dataset}/next", Jobs),
    ("GET", "/api/v1/datasets/{dataset}/exports", Export),
    ("POST", "/api/v1/datasets/{dataset}/exports", Export),
    ("GET", "/api/v1/datasets/{dataset}/exports/{export}", Export),
    ("GET", "/api/v1/datasets/{dataset}/exports/{export}/download", Export),
    ("POST", "/api/v1/datasets/{dataset}/encodes", Jobs),
    ("POST", "/api/v1/datasets/{dataset}/imports", Import),
    // what scans find and learn, rules
    ("GET", "/api/v1/datasets/{dataset}/suspects/counts", View),
    ("GET", "/api/v1/datasets/{dataset}/health", View),
    ("GET", "/api/v1/datasets/{dataset}/clusters", View),
    ("GET", "/api/v1/datasets/{dataset}/scans/{scan}/learning", View),
    ("GET", "/api/v1/datasets/{dataset}/predictions", View),
    ("GET", "/api/v1/datasets/{dataset}/predictions/{predictions}", View),
    ("DELETE", "/api/v1/datasets/{dataset}/predictions/{predictions}", Jobs),
    ("POST", "/api/v1/datasets/{dataset}/snapshots/{snapshot}/predictions", Jobs),
    ("GET", "/api/v1/datasets/{dataset}/rules", View),
    ("POST", "/api/v1/datasets/{dataset}/rules", Jobs),
    ("GET", "/api/v1/datasets/{dataset}/rules/{rule}", View),
    ("PUT", "/api/v1/datasets/{dataset}/rules/{rule}", Jobs),
    ("POST", "/api/v1/datasets/{dataset}/rules/{rule}/archive", Jobs),
    ("GET", "/api/v1/datasets/{dataset}/rules/{rule}/runs", View),
    ("POST", "/api/v1/datasets/{dataset}/rules/{rule}/runs", Jobs),
    ("GET", "/api/v1/datasets/{dataset}/rule-runs/{run}", View),
    ("POST", "/api/v1/datasets/{dataset}/rule-runs/{run}/undo", Jobs),
    ("POST", "/api/v1/datasets/{dataset}/rule-previews", Jobs),
    ("GET", "/api/v1/rule-fields", SignedIn),
    // numbers about people and labels
    ("GET", "/api/v1/datasets/{dataset}/agreement", View),
    ("GET", "/api/v1/datasets/{dataset}/people-quality", View),
    ("GET", "/api/v1/datasets/{dataset}/yield", View),
    // labelling guides
    ("GET", "/api/v1/datasets/{dataset}/guides", View),
    ("GET", "/api/v1/datasets/{dataset}/guides/{class}", View),
    ("PUT", "/api/v1/datasets/{dataset}/guides/{class}", Adjudicate),
    ("GET", "/api/v1/datasets/{dataset}/guides/{class}/versions", View),
    ("GET", "/api/v1/datasets/{dataset}/guides/{class}/decisions", View),
    ("POST", "/api/v1/datasets/{dataset}/guides/{class}/decisions", Adjudicate),
    ("POST", "/api/v1/datasets/{dataset}/guide-previews", Adjudicate),
    // sets, bulk, maps
    ("GET", "/api/v1/datasets/{dataset}/grid", View),
    ("GET", "/api/v1/datasets/{dataset}/bulk", View),
    ("POST", "/api/v1/datasets/{dataset}/bulk", Adjudicate),
    ("GET", "/api/v1/datasets/{dataset}/bulk/{bulk}", View),
    ("POST", "/api/v1/datasets/{dataset}/bulk/{bulk}/undo", Adjudicate),
    ("POST", "/api/v1/datasets/{dataset}/selections", Annotate),
    ("GET", "/api/v1/datasets/{dataset}/selections/{selection}", View),
    ("GET", "/api/v1/datasets/{dataset}/map", View),
    ("POST", "/api/v1/datasets/{dataset}/map", Jobs),
    ("GET", "/api/v1/datasets/{dataset}/maps/{map}/points", View),
    ("GET", "/api/v1/datasets/{dataset}/maps/{map}/marks", View),
    // jobs
    ("GET", "/api/v1/jobs", SignedIn),
    ("GET", "/api/v1/jobs/{job}", View),
    ("POST", "/api/v1/jobs/{job}/cancel", Jobs),
    ("GET", "/api/v1/jobs/{job}/log", View),
    ("GET", "/api/v1/jobs/{job}/curves", View),
    ("GET", "/api/v1/jobs/{job}/events", View),
    ("GET", "/api/v1/jobs/{job}/import-errors", View),
    ("GET", "/api/v1/jobs/{job}/import-errors.jsonl", View),
];

/// The right that this method of this address asks for; `None` where there is no such method.
pub(crate) fn right(method: &Method, address: &str) -> Option<Right> {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    TABLE.iter().find(|(m, a, _)| *a == address && *m == method).map(|(_, _, right)| *right)
}

/// The address is in the table, under some method.
pub(crate) fn known(address: &str) -> bool {
    TABLE.iter().any(|(_, a, _)| *a == address)
}

/// Takes plain HTML forms, whose form token is one of their fields.
pub(crate) fn is_form(address: &str) -> bool {
    matches!(address, "/sign-in" | "/setup" | "/sign-out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_one_right_for_each_method() {
        for (i, (m, a, _)) in TABLE.iter().enumerate() {
            assert!(!TABLE[..i].iter().any(|(n, b, _)| n == m && b == a), "{m} {a}");
        }
        assert_eq!(right(&Method::HEAD, "/healthz"), Some(Open));
        assert_eq!(right(&Method::DELETE, "/healthz"), None);
    }

    /// A right that is about a dataset needs an address that names one, or a job of one.
    #[test]
    fn dataset_rights_name_a_dataset_first() {
        for (m, a, right) in TABLE {
            let first = a.split('/').find(|p| p.starts_with('{'));
            let names = matches!(first, Some("{dataset}" | "{name}"))
                || (matches!(first, Some("{job}" | "{id}")) && a.contains("/jobs/"));
            assert_eq!(right.of_dataset(), names, "{m} {a}");
        }
    }
}
