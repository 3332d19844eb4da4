//! Sessions: what a browser has instead of a token, once somebody has shown one.
//!
//! The cookie is random and means nothing outside of this process; what it stands for is kept here, by its hash. A session is
//! never more than its token: that is looked up anew for each request, so a session ends with it and has its role as it is now.
//! A restart ends all of them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderValue, header};
use tokio::time::Instant;

use super::token::{Secret, TokenHash};
use crate::types::clock;

/// How long a session lasts: a working day.
pub(in crate::admin) const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Sessions at a time; the one that ends first makes room.
const MAX_SESSIONS: usize = 1000;
/// The cookie. In TLS, the prefix makes browsers refuse one that another host or an answer in the clear has set
/// (RFC 6265bis, section 4.1.3).
const COOKIE: &str = "weir_session";
const SECURE_COOKIE: &str = "__Host-weir_session";

/// Everybody who has logged in.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

#[derive(Debug, Clone, Copy)]
struct Session {
    token: TokenHash,
    ends: Instant,
}

// === impl Sessions ===

impl Sessions {
    /// Begins a session of the token with this hash; `None` when the system has no randomness.
    pub(super) fn begin(&self, token: TokenHash) -> Option<Secret> {
        let secret = Secret::random().ok()?;
        let now = clock::now();
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.ends > now);
        if sessions.len() >= MAX_SESSIONS {
            let first = sessions.iter().min_by_key(|(_, session)| session.ends).map(|(key, _)| *key);
            first.and_then(|key| sessions.remove(&key));
        }
        let session = Session { token, ends: now + LIFETIME };
        sessions.insert(TokenHash::of(secret.expose()).bytes(), session);
        Some(secret)
    }

    /// The hash of the token that began the session with this cookie.
    pub(super) fn token_of(&self, cookie: &str) -> Option<TokenHash> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map is asked by a hash of what was sent, so its time tells nothing of what would be right.
        let session = sessions.get(&TokenHash::of(cookie).bytes())?;
        (session.ends > clock::now()).then_some(session.token)
    }

    /// Ends a session.
    pub(super) fn end(&self, cookie: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&TokenHash::of(cookie).bytes());
    }
}

/// The session's cookie, as the browser sends it.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(name, _)| [COOKIE, SECURE_COOKIE].contains(name));
    ours.next().map(|(_, value)| value)
}

/// What makes a browser keep the cookie, or forget it.
pub(super) fn set_cookie(value: Option<&Secret>, secure: bool) -> Option<HeaderValue> {
    let name = if secure { SECURE_COOKIE } else { COOKIE };
    let (value, age) = value.map_or(("", 0), |secret| (secret.expose(), LIFETIME.as_secs()));
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sessions_end_by_time_and_by_hand() {
        let sessions = Sessions::default();
        let token = TokenHash::of("weir_a");
        let one = sessions.begin(token).unwrap();
        assert_eq!(sessions.token_of(one.expose()), Some(token));
        assert_eq!(sessions.token_of("weir_a"), None);
        sessions.end(one.expose());
        assert_eq!(sessions.token_of(one.expose()), None);
        let two = sessions.begin(token).unwrap();
        tokio::time::advance(LIFETIME).await;
        assert_eq!(sessions.token_of(two.expose()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_session_makes_room() {
        let sessions = Sessions::default();
        let first = sessions.begin(TokenHash::of("weir_a")).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..MAX_SESSIONS {
            sessions.begin(TokenHash::of("weir_a")).unwrap();
        }
        assert_eq!(sessions.token_of(first.expose()), None);
        assert_eq!(sessions.0.lock().unwrap().len(), MAX_SESSIONS);
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        for (field, expected) in [
            ("weir_session=a", Some("a")),
            ("weir=1; weir_session=a; b=c", Some("a")),
            ("__Host-weir_session=a", Some("a")),
            ("xweir_session=a", None),
            ("weir_session", None),
        ] {
            let headers = [(header::COOKIE, HeaderValue::from_static(field))].into_iter().collect();
            assert_eq!(cookie(&headers), expected, "{field}");
        }
        let secret = Secret::random().unwrap();
        let set = set_cookie(Some(&secret), true).unwrap();
        let expected = "; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(set.to_str().unwrap(), format!("__Host-weir_session={}{expected}", secret.expose()));
        let gone = "weir_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict";
        assert_eq!(set_cookie(None, false).unwrap(), gone);
    }
}
