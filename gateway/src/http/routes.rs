//! The table of routes, each with what a caller needs for it and what it does.
//!
//! Invariant: a method of a path cannot be added without saying what it needs, and is not reached by whoever does not have it;
//! nor without its operation, so that the OpenAPI document has everything that there is.

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};

use super::{Http, body};
use crate::access::{Caller, Denied, Need};
use crate::openapi::Operation;
use crate::problem::Problem;

/// A method of a path and what it takes.
#[derive(Clone, Debug)]
pub struct Route {
    /// `GET`, which `HEAD` goes with, `POST`, `PUT`, `PATCH`, `DELETE`.
    pub method: Method,
    /// The path, with names in braces.
    pub path: &'static str,
    /// What a caller needs; nothing, where it is absent.
    pub need: Option<Need>,
    /// What it does.
    pub(crate) operation: Operation,
}

/// All routes.
#[derive(Default)]
pub(super) struct Table(Vec<(&'static str, Methods)>);

/// The methods of a path.
#[derive(Default)]
pub(super) struct Methods(Vec<(Method, Need, Operation, MethodRouter<Http>)>);

/// Routes that anybody may `GET`.
pub(super) struct Open<S> {
    routes: Vec<Route>,
    router: Router<S>,
}

impl<S: Clone + Send + Sync + 'static> Open<S> {
    /// Without any.
    pub(super) fn new() -> Self {
        Self { routes: Vec::new(), router: Router::new() }
    }

    /// With one more.
    pub(super) fn at<H: Handler<T, S>, T: 'static>(
        mut self,
        path: &'static str,
        handler: H,
        operation: Operation,
    ) -> Self {
        self.routes.push(Route { method: Method::GET, path, need: None, operation });
        Self { router: self.router.route(path, on(MethodFilter::GET, handler)), ..self }
    }

    /// What there is.
    pub(super) fn routes(&self) -> Vec<Route> {
        self.routes.clone()
    }

    /// The routes themselves.
    pub(super) fn router(self, state: S) -> Router {
        self.router.with_state(state)
    }
}

impl Table {
    /// With a path more.
    pub(super) fn at(mut self, path: &'static str, methods: Methods) -> Self {
        self.0.push((path, methods));
        self
    }

    /// What there is.
    pub(super) fn routes(&self) -> Vec<Route> {
        let of = |path: &'static str, methods: &Methods| {
            let route = |(method, need, operation, _): &(Method, Need, Operation, _)| Route {
                method: method.clone(),
                path,
                need: Some(*need),
                operation: operation.clone(),
            };
            methods.0.iter().map(route).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(|(path, methods)| of(path, methods)).collect()
    }

    /// The routes, each behind the door.
    pub(super) fn guarded(self, http: &Http) -> Router {
        let each = self.0.into_iter().fold(Router::new(), |router, (path, methods)| {
            let guarded = |(_, need, _, route): (_, Need, _, MethodRouter<Http>)| {
                route.route_layer(from_fn_with_state((http.clone(), need), let_in))
            };
            let all = methods.0.into_iter().map(guarded).fold(MethodRouter::new(), MethodRouter::merge);
            router.route(path, all)
        });
        each.with_state(http.clone())
    }
}

/// Takes `GET`, and `HEAD` as its answer without a body.
pub(super) fn get<H: Handler<T, Http>, T: 'static>(need: impl Into<Need>, handler: H, operation: Operation) -> Methods {
    Methods::default().and((Method::GET, MethodFilter::GET), need, handler, operation)
}

/// Takes `POST`.
pub(super) fn post<H: Handler<T, Http>, T: 'static>(
    need: impl Into<Need>,
    handler: H,
    operation: Operation,
) -> Methods {
    Methods::default().post(need, handler, operation)
}

/// Takes `PUT`.
pub(super) fn put<H: Handler<T, Http>, T: 'static>(need: impl Into<Need>, handler: H, operation: Operation) -> Methods {
    Methods::default().put(need, handler, operation)
}

/// Takes `DELETE`.
pub(super) fn delete<H: Handler<T, Http>, T: 'static>(
    need: impl Into<Need>,
    handler: H,
    operation: Operation,
) -> Methods {
    Methods::default().delete(need, handler, operation)
}

impl Methods {
    /// And `POST`.
    pub(super) fn post<H: Handler<T, Http>, T: 'static>(
        self,
        need: impl Into<Need>,
        handler: H,
        operation: Operation,
    ) -> Self {
        self.and((Method::POST, MethodFilter::POST), need, handler, operation)
    }

    /// And `PUT`.
    pub(super) fn put<H: Handler<T, Http>, T: 'static>(
        self,
        need: impl Into<Need>,
        handler: H,
        operation: Operation,
    ) -> Self {
        self.and((Method::PUT, MethodFilter::PUT), need, handler, operation)
    }

    /// And `PATCH`.
    pub(super) fn patch<H: Handler<T, Http>, T: 'static>(
        self,
        need: impl Into<Need>,
        handler: H,
        operation: Operation,
    ) -> Self {
        self.and((Method::PATCH, MethodFilter::PATCH), need, handler, operation)
    }

    /// And `DELETE`.
    pub(super) fn delete<H: Handler<T, Http>, T: 'static>(
        self,
        need: impl Into<Need>,
        handler: H,
        operation: Operation,
    ) -> Self {
        self.and((Method::DELETE, MethodFilter::DELETE), need, handler, operation)
    }

    fn and<H, T>(
        mut self,
        (method, filter): (Method, MethodFilter),
        need: impl Into<Need>,
        handler: H,
        operation: Operation,
    ) -> Self
    where
        H: Handler<T, Http>,
        T: 'static,
    {
        self.0.push((method, need.into(), operation, on(filter, handler)));
        self
    }
}

/// Lets a request through that has what it needs. Nobody behind the door sees the key.
async fn let_in(State((http, need)): State<(Http, Need)>, mut request: Request, next: Next) -> Response {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    match http.access.admit(authority, request.headers(), need) {
        Ok(caller) => {
            request.headers_mut().remove(header::AUTHORIZATION);
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(denied) => {
            http.metrics.denied(denied.counted());
            body::pass_over(request).await;
            denied.into_response()
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // There is one behind every door.
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::internal)
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let challenge = self.challenge().and_then(|challenge| HeaderValue::try_from(challenge).ok());
        let mut response = Problem::from(self).into_response();
        if let Some(challenge) = challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
