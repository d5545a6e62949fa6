//! What is left of a caller's quotas, as headers of the answer.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

use crate::access::Budget;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The same answer with `RateLimit-Policy` and `RateLimit`, where jobs were counted.
pub(super) fn told(budget: Option<&Budget>, mut answer: Response) -> Response {
    let Some(standing) = budget.map(Budget::standing).filter(|standing| !standing.is_empty()) else { return answer };
    for (name, value) in [(POLICY, standing.policy()), (LIMIT, standing.limit())] {
        if let Ok(value) = HeaderValue::try_from(value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}
