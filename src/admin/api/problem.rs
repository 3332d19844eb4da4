//! Errors as the API tells them: `application/problem+json` (RFC 9457).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::control::{Refusal, refusal::BootChange, store::StoreError};

/// What went wrong; each kind has one status, and one `type` that stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No such path.
    NotFound,
    /// No such method on this path.
    MethodNotAllowed,
    /// No such route.
    UnknownRoute,
    /// No such backend.
    UnknownBackend,
    /// The body is not what the operation takes.
    InvalidBody,
    /// A parameter or header is not what the operation takes.
    InvalidParameter,
    /// The body is too large.
    BodyTooLarge,
    /// The body's media type is not taken.
    UnsupportedMediaType,
    /// The body is well formed, and its content impossible.
    InvalidChange,
    /// Another revision is in force than the sender expected.
    RevisionConflict,
    /// The change does not say which revision its sender has seen, and has to.
    PreconditionRequired,
    /// A rollout has the route.
    RolloutActive,
    /// No such rollout.
    UnknownRollout,
    /// The rollout is in a phase in which this makes no sense.
    RolloutPhase,
    /// A rollout's plan has errors, or its routes are not what it needs.
    InvalidPlan,
    /// A control file has errors.
    InvalidConfig,
    /// The caller has not proved who they are.
    Unauthorized,
    /// The caller may not do this.
    Forbidden,
    /// Too many attempts have failed.
    TooManyRequests,
    /// The host is not one of this API.
    HostNotAllowed,
    /// A page of another origin asks for a change.
    CrossOrigin,
    /// The idempotency key was used for another request.
    KeyReused,
    /// The change could not be stored.
    StoreFailed,
    /// As many event streams are open as may be.
    TooManyStreams,
    /// Weir is stopping.
    Stopping,
    /// A fault of Weir.
    Internal,
}

/// An error, as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The kind of error, for programs; never changes its meaning.
    #[serde(rename = "type")]
    #[schema(pattern = "^urn:weir:problem:[a-z-]+$")]
    pub kind: String,
    /// The kind, for people.
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// For a bad control file: everything that is wrong with it, with lines and columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<super::openapi::Diagnostic>)]
    pub diagnostics: Vec<Value>,
    /// For a revision conflict: the state now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<super::openapi::AnyObject>)]
    pub current: Option<Value>,
}

/// One thing that is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// What is wrong.
    pub detail: String,
    /// Where in the body: a JSON pointer (RFC 6901).
    pub pointer: String,
}

/// A refused request: a boxed [`Problem`], so that handlers' results stay small.
#[derive(Debug)]
pub struct Refused(Box<Problem>);

// === impl Kind ===

impl Kind {
    /// The last part of the problem's type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.parts().0
    }

    /// A refusal of this kind.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> Refused {
        let (word, title, status) = self.parts();
        Refused(Box::new(Problem {
            kind: format!("urn:weir:problem:{word}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            hint: None,
            errors: Vec::new(),
            diagnostics: Vec::new(),
            current: None,
        }))
    }

    fn parts(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::NotFound => ("not-found", "Not found", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => {
                ("method-not-allowed", "Method not allowed", StatusCode::METHOD_NOT_ALLOWED)
            }
            Self::UnknownRoute => ("unknown-route", "Unknown route", StatusCode::NOT_FOUND),
            Self::UnknownBackend => ("unknown-backend", "Unknown backend", StatusCode::UNPROCESSABLE_ENTITY),
            Self::InvalidBody => ("invalid-body", "Invalid body", StatusCode::BAD_REQUEST),
            Self::InvalidParameter => ("invalid-parameter", "Invalid parameter", StatusCode::BAD_REQUEST),
            Self::BodyTooLarge => ("body-too-large", "Body too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", "Unsupported media type", StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::InvalidChange => ("invalid-change", "Invalid change", StatusCode::UNPROCESSABLE_ENTITY),
            Self::RevisionConflict => {
                ("revision-conflict", "Revision conflict", StatusCode::PRECONDITION_FAILED)
            }
            Self::PreconditionRequired => {
                ("precondition-required", "Precondition required", StatusCode::PRECONDITION_REQUIRED)
            }
            Self::RolloutActive => ("rollout-active", "Rollout active", StatusCode::CONFLICT),
            Self::UnknownRollout => ("unknown-rollout", "Unknown rollout", StatusCode::NOT_FOUND),
            Self::RolloutPhase => ("rollout-phase", "Not in this phase", StatusCode::CONFLICT),
            Self::InvalidPlan => ("invalid-plan", "Invalid plan", StatusCode::UNPROCESSABLE_ENTITY),
            Self::InvalidConfig => {
                ("invalid-config", "Invalid control file", StatusCode::UNPROCESSABLE_ENTITY)
            }
            Self::Unauthorized => ("unauthorized", "Unauthorized", StatusCode::UNAUTHORIZED),
            Self::Forbidden => ("forbidden", "Forbidden", StatusCode::FORBIDDEN),
            Self::TooManyRequests => {
                ("too-many-requests", "Too many requests", StatusCode::TOO_MANY_REQUESTS)
            }
            Self::HostNotAllowed => ("host-not-allowed", "Host not allowed", StatusCode::FORBIDDEN),
            Self::CrossOrigin => ("cross-origin", "Cross-origin change", StatusCode::FORBIDDEN),
            Self::KeyReused => {
                ("idempotency-key-reused", "Idempotency key reused", StatusCode::UNPROCESSABLE_ENTITY)
            }
            Self::StoreFailed => ("store-failed", "Store failed", StatusCode::SERVICE_UNAVAILABLE),
            Self::TooManyStreams => ("too-many-streams", "Too many streams", StatusCode::SERVICE_UNAVAILABLE),
            Self::Stopping => ("stopping", "Stopping", StatusCode::SERVICE_UNAVAILABLE),
            Self::Internal => ("internal", "Internal error", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

// === impl Refused ===

impl Refused {
    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds a place in the body.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.errors.push(Fault { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// Points elsewhere, where the body is of another form.
    #[must_use]
    pub fn only_at(mut self, pointer: &str) -> Self {
        for fault in &mut self.0.errors {
            pointer.clone_into(&mut fault.pointer);
        }
        self
    }

    /// Adds the state now.
    #[must_use]
    pub fn current(mut self, state: &impl Serialize) -> Self {
        self.0.current = serde_json::to_value(state).ok();
        self
    }

    /// Adds what is wrong with a control file.
    #[must_use]
    pub fn diagnostics(mut self, diagnostics: Vec<Value>) -> Self {
        self.0.diagnostics = diagnostics;
        self
    }

    /// Whether another revision was expected.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.0.status == StatusCode::PRECONDITION_FAILED.as_u16()
    }

    /// Whether it is about a backend that does not exist.
    #[must_use]
    pub fn is_unknown_backend(&self) -> bool {
        self.0.kind.ends_with(Kind::UnknownBackend.as_str())
    }

    /// What a body names and does not exist, which makes the request impossible.
    #[must_use]
    pub fn as_impossible(mut self) -> Self {
        self.0.status = StatusCode::UNPROCESSABLE_ENTITY.as_u16();
        self
    }

    /// A backend named in a path, which makes it a resource that does not exist.
    #[must_use]
    pub fn as_missing_resource(mut self) -> Self {
        self.0.status = StatusCode::NOT_FOUND.as_u16();
        self
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Kind::StoreFailed.because(format!("the history cannot be read: {error}"))
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::UnknownRoute { .. } => Kind::UnknownRoute,
            Refusal::UnknownBackend { .. } | Refusal::NoSuchBackend { .. } => Kind::UnknownBackend,
            Refusal::Conflict { .. } | Refusal::StaleStage { .. } => Kind::RevisionConflict,
            Refusal::RolloutActive { .. } => Kind::RolloutActive,
            Refusal::Store(_) => Kind::StoreFailed,
            Refusal::KeyReused { .. } => Kind::KeyReused,
            Refusal::Stopping => Kind::Stopping,
            Refusal::MissingBackends { .. }
            | Refusal::NoWeights { .. }
            | Refusal::AllZero { .. }
            | Refusal::LastBackend { .. }
            | Refusal::OverrideKey { .. }
            | Refusal::TooManyOverrides { .. }
            | Refusal::NoSplit { .. }
            | Refusal::NothingToShare { .. }
            | Refusal::UnknownSegment { .. }
            | Refusal::BootSetting(_)
            | Refusal::Compile(_) => Kind::InvalidChange,
        };
        let detail = match &refusal {
            Refusal::Store(error) => format!("{refusal}: {error}"),
            _ => refusal.to_string(),
        };
        let mut refused = kind.because(detail);
        refused.0.hint = refusal.hint();
        match &refusal {
            Refusal::UnknownBackend { backend, .. } => {
                refused.at(pointer(&["weights", backend]), "no such backend in the split")
            }
            Refusal::MissingBackends { missing, .. } => missing.iter().fold(refused, |refused, name| {
                refused.at(pointer(&["weights", name.as_str()]), "is missing")
            }),
            Refusal::NoWeights { .. } | Refusal::AllZero { .. } => {
                refused.at("/weights", "no weight is above 0")
            }
            Refusal::BootSetting(changes) => changes.iter().fold(refused, |refused, change| {
                let BootChange { setting, running, wanted } = change;
                refused.at(format!("/{}", setting.replace('.', "/")), format!("{running} -> {wanted}"))
            }),
            _ => refused,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&*self.0)).into_response();
        let media_type = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        response
    }
}

/// A JSON pointer with these parts.
#[must_use]
pub fn pointer(parts: &[&str]) -> String {
    parts.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}
