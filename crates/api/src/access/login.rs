//! Sessions are begun and ended.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use strikewire_gateway::types::Utc;
use utoipa::ToSchema;

use super::across::check_id;
use super::sessions;
use crate::extract::{Body, Fields};
use crate::model::{user_id, user_id_schema};
use crate::{Api, Caller, Problem};

/// Begins a session.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// Whose session it is; absent: of the user whose key it is.
    #[serde(
        default,
        deserialize_with = "user_id",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(schema_with = user_id_schema, required = false)]
    pub user_id: Option<u64>,
}

impl Fields for LoginRequest {
    const FIELDS: &'static [&'static str] = &["user_id"];
}

/// A session that has begun.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Login {
    /// Names the session in the calls of indicators. It is no credential.
    #[schema(example = "0f8e2c5a9b7d41e6a3c4d5e6f7081920")]
    pub session_id: String,
    /// Whose it is.
    pub user_id: u64,
    /// When it ends unless it is used until then.
    #[schema(value_type = String, format = DateTime, example = "2026-02-09T22:00:00.000+05:30")]
    pub expires_at: Utc,
}

/// Ends a session.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogoutRequest {
    /// Which.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = "^[A-Za-z0-9._-]+$",
        example = "0f8e2c5a9b7d41e6a3c4d5e6f7081920"
    )]
    pub session_id: String,
}

impl Fields for LogoutRequest {
    const FIELDS: &'static [&'static str] = &["session_id"];
}

/// A session that has ended.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Logout {
    /// `ok`.
    #[schema(value_type = String, example = "ok")]
    pub status: &'static str,
    /// Indicators that the session held, and that it let go.
    pub released: usize,
}

/// Begins a session of the caller, or of the user that an admin names.
#[utoipa::path(
    post,
    path = "/api/v2/auth/login",
    tag = "auth",
    request_body = LoginRequest,
    responses((status = 200, description = "The session.", body = Login))
)]
pub(crate) async fn login(
    State(api): State<Api>,
    caller: Caller,
    Body(body): Body<LoginRequest>,
) -> Result<Json<Login>, Problem> {
    let user = caller.user_id(body.user_id)?;
    let now = api.gateway.clock().now();
    let idle = api.settings.load().http.session_idle;
    let session_id = api.access.begin_session(user, now.mono, idle).await?;
    Ok(Json(Login {
        session_id: session_id.to_string(),
        user_id: user,
        expires_at: now.utc + idle,
    }))
}

/// Ends a session, and lets go of the indicators that it holds.
#[utoipa::path(
    post,
    path = "/api/v2/auth/logout",
    tag = "auth",
    request_body = LogoutRequest,
    responses((status = 200, description = "It has ended.", body = Logout))
)]
pub(crate) async fn logout(
    State(api): State<Api>,
    caller: Caller,
    Body(body): Body<LogoutRequest>,
) -> Result<Json<Logout>, Problem> {
    let id = body.session_id.as_str();
    check_id(id)?;
    let has_key = caller.user().is_some();
    let user = match api.access.session_owner(id).await {
        Some(user) if !caller.may_touch(user) => return Err(sessions::another()),
        Some(user) => {
            let idle = api.settings.load().http.session_idle;
            let now = api.gateway.clock().now().mono;
            api.access.end_session(id, now, idle).await;
            // Without keys others may have held something by its name.
            has_key.then_some(user)
        }
        // Without keys a session need not have begun by a login.
        None if !has_key => None,
        None => return Err(sessions::unknown()),
    };
    let released = api.gateway.indicators().release_session(id, user).await?;
    Ok(Json(Logout {
        status: "ok",
        released,
    }))
}
