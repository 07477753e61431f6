//! Broken protocols: what dues would be if it did one thing wrong, played between the engine and the wire. Each must be caught.

use crate::chance::Chance;
use crate::domain::id::base32;
use crate::gateway::transport::{Lost, Method, Reply, Request};

/// One thing done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Every send has a key of its own.
    NewKeyOnEachSend,
    /// Look-ups are not asked: they find nothing.
    BlindLookUps,
    /// A lost answer is taken for a refusal.
    LostIsRefused,
}

impl Broken {
    /// Every one.
    pub const ALL: [Broken; 3] = [Broken::NewKeyOnEachSend, Broken::BlindLookUps, Broken::LostIsRefused];
}

/// The request that the broken protocol sends.
pub(super) fn request(broken: Option<Broken>, request: Request, chance: &Chance) -> Request {
    if broken == Some(Broken::NewKeyOnEachSend) && request.method == Method::Post {
        return Request { idempotency_key: Some(base32(&chance.ten_bytes())), ..request };
    }
    request
}

/// The answer that the broken protocol believes.
pub(super) fn answer(
    broken: Option<Broken>,
    is_post: bool,
    path: &str,
    heard: Result<Reply, Lost>,
) -> Result<Reply, Lost> {
    match (broken, heard) {
        (Some(Broken::BlindLookUps), Ok(reply)) if path.contains("reference=") && reply.status == 200 => {
            let body = br#"{"limit":100,"skip":0,"total_count":0,"data":[]}"#.to_vec();
            Ok(Reply { body, ..reply })
        }
        (Some(Broken::LostIsRefused), Err(Lost::NoAnswer(_))) if is_post => {
            let body = br#"{"request_id":"0","error_type":"request_invalid","error_codes":["lost"]}"#.to_vec();
            Ok(Reply { status: 422, request_id: None, date: None, body })
        }
        (_, heard) => heard,
    }
}
