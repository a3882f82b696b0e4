//! Random secrets and their hashes: sessions, tokens, the set-up code, form tokens, passwords.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use rand::RngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};

use crate::web::error::Problem;

/// Begins every API token, so that leaked ones can be searched for.
pub(crate) const TOKEN_PREFIX: &str = "tamis_";

/// Fewest characters of a password. Length is what guards against guessing; no other rule is made.
pub(crate) const MIN_PASSWORD: usize = 10;
/// Longest accepted password, so that hashing stays cheap.
const MAX_PASSWORD: usize = 1000;

/// 256 random bits in hexadecimal.
pub(crate) fn random() -> String {
    let mut bytes = [0_u8; 32];
    OsRng.fill_bytes(&mut bytes);
    hex::encode(bytes)
}

/// What the database keeps of a random secret. They are too long to guess, so a plain hash will do.
pub(crate) fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// What forms and scripts of a session send along, which other sites cannot know.
pub(crate) fn form_token(session: &str) -> String {
    hex::encode(Sha256::new().chain_update(b"tamis form token\0").chain_update(session).finalize())
}

/// Compares without telling by the time it takes how much was right.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |d, (x, y)| d | (x ^ y)) == 0
}

/// # Errors
/// Too short or too long, naming `field`.
pub(crate) fn check_password(field: &str, password: &str) -> Result<(), Problem> {
    if (MIN_PASSWORD..=MAX_PASSWORD).contains(&password.chars().count()) {
        return Ok(());
    }
    Err(Problem::invalid(
        field,
        "password",
        format!("a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters"),
    ))
}

/// argon2id with the library's parameters (19 MiB, 2 passes), as a PHC string. About 0.1 s.
pub(crate) async fn hash_password(password: String) -> Result<String, Problem> {
    tokio::task::spawn_blocking(move || {
        Argon2::default().hash_password(password.as_bytes()).map(|h| h.to_string())
    })
    .await
    .map_err(Problem::internal)?
    .map_err(Problem::internal)
}

/// Whether the password fits. Without a hash to compare with it takes as long and says no, so that the
/// time tells nobody which names exist.
pub(crate) async fn fits(password: String, hash: Option<String>) -> Result<bool, Problem> {
    let known = hash.is_some();
    let hash = match hash {
        Some(hash) => hash,
        None => nobodys().await?,
    };
    tokio::task::spawn_blocking(move || {
        let hash = PasswordHash::new(&hash).map_err(Problem::internal)?;
        Ok(known && Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    })
    .await
    .map_err(Problem::internal)?
}

/// A hash that no password fits.
async fn nobodys() -> Result<String, Problem> {
    static HASH: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    HASH.get_or_try_init(|| hash_password(random())).await.cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passwords() {
        let hash = hash_password("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert_ne!(hash, hash_password("correct horse".into()).await.unwrap());
        assert!(fits("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!fits("correct horsf".into(), Some(hash)).await.unwrap());
        assert!(!fits("correct horse".into(), None).await.unwrap());
        assert!(check_password("password", "123456789").is_err());
        assert!(check_password("password", "密码密码密码密码密码").is_ok());
    }

    #[test]
    fn secrets_are_long_and_comparisons_exact() {
        assert_eq!(random().len(), 64);
        assert_ne!(random(), random());
        assert!(same("abc", "abc") && !same("abc", "abd") && !same("abc", "ab"));
        assert_ne!(form_token("a"), form_token("b"));
    }
}
