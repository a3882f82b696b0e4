//! Sending what webhooks are to be told: due deliveries are claimed, signed and sent; what is not taken is
//! tried again, ever later, eight times in about a day.
//!
//! Signed as Standard Webhooks has it: `webhook-id`, `webhook-timestamp` (seconds), and `webhook-signature`:
//! `v1,` + base64 of HMAC-SHA256 over `id.timestamp.body`, keyed with the base64 behind `whsec_`. Receivers
//! refuse old timestamps, and know a repeated delivery by its id.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::sync::watch;

use super::Services;
use crate::store::Result as StoreResult;
use crate::store::webhooks::{Attempted, Due};

/// Seconds before the second, third … attempt; after the last of these it is given up.
const AGAIN_S: [i32; 7] = [10, 60, 300, 1800, 7200, 21_600, 43_200];
/// A claimed delivery comes back after this if its process dies.
const HOLD_S: i32 = 60;
const AT_ONCE: i64 = 8;
const POLL: Duration = Duration::from_secs(1);
/// Ended deliveries stay in the log this long.
const KEPT_DAYS: i32 = 30;
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// Begins every secret.
pub(crate) const SECRET_PREFIX: &str = "whsec_";

/// Sends until `shutdown` turns true. Any number of processes may do so at once.
pub async fn deliver(services: &Services, mut shutdown: watch::Receiver<bool>) {
    let mut forgotten = tokio::time::Instant::now();
    while !*shutdown.borrow() {
        let sent = match deliver_due(services).await {
            Ok(n) => n,
            Err(error) => {
                tracing::warn!(%error, "webhooks wait");
                0
            }
        };
        if forgotten.elapsed() > FORGET_EVERY {
            forgotten = tokio::time::Instant::now();
            if let Err(error) = services.store.forget_deliveries(KEPT_DAYS).await {
                tracing::warn!(%error, "old deliveries stay");
            }
        }
        if sent == 0 {
            tokio::select! {
                _ = shutdown.wait_for(|down| *down) => return,
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }
}

/// Sends what is due now, a few at once; how many.
pub async fn deliver_due(services: &Services) -> StoreResult<usize> {
    let due = services.store.claim_deliveries(AT_ONCE, HOLD_S).await?;
    let n = due.len();
    let ends =
        futures::future::join_all(due.into_iter().map(async |d| (d.id, send(services, &d).await))).await;
    for (id, end) in ends {
        services.store.delivery_attempted(id, &end).await?;
    }
    Ok(n)
}

async fn send(services: &Services, due: &Due) -> Attempted {
    let body = due.payload.to_string();
    let id = format!("msg_{}", due.id);
    let timestamp = chrono::Utc::now().timestamp().to_string();
    let headers = [
        ("webhook-signature", sign(&due.secret, &id, &timestamp, &body)),
        ("webhook-id", id),
        ("webhook-timestamp", timestamp),
    ];
    let answer = services.outbound.post_json(&due.url, &headers, body.into_bytes()).await;
    let delivered = matches!(answer, Ok(200..=299));
    let tried = usize::try_from(due.attempts).unwrap_or(usize::MAX);
    let again_in_s = if delivered { None } else { AGAIN_S.get(tried.saturating_sub(1)).copied() };
    match answer {
        Ok(status) => Attempted { status: Some(status), error: None, delivered, again_in_s },
        Err(e) => Attempted { status: None, error: Some(e.to_string()), delivered, again_in_s },
    }
}

/// See the module.
fn sign(secret: &str, id: &str, timestamp: &str, body: &str) -> String {
    let key = secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret);
    let key = STANDARD.decode(key).unwrap_or_else(|_| key.as_bytes().to_vec());
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    for part in [id, ".", timestamp, ".", body] {
        mac.update(part.as_bytes());
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's libraries.
    #[test]
    fn signatures_are_those_of_the_specification() {
        assert_eq!(
            sign(
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "1614265330",
                "{\"test\": 2432232314}"
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
