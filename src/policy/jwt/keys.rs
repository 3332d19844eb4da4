//! The keys that tokens are verified with, and what each of them may be used for.
//!
//! A key decides its algorithms, never a token: an RSA key verifies RSA signatures and nothing else, so a token that names HMAC
//! cannot have a public key taken for a secret, and `none` is no algorithm at all (RFC 8725, sections 2.1 and 3.1).
//!
//! Whatever could never verify anything is an error when the file is read: a point on another curve, a modulus that is too short.
//! Otherwise its tokens would look forged, and nobody would look at the keys.

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{PublicEncryptingKey, PublicKey, PublicKeyComponents},
    signature::{self, ParsedPublicKey},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use siphasher::sip128::SipHasher24;

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
const HMAC: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const P256: &[Algorithm] = &[Algorithm::ES256];
const P384: &[Algorithm] = &[Algorithm::ES384];
const ED25519: &[Algorithm] = &[Algorithm::EdDSA];

/// Length of an uncompressed point on P-256 and on P-384.
const P256_POINT: usize = 65;
const P384_POINT: usize = 97;
/// Shortest HMAC secret: as long as the shortest hash (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;
/// Keys that one token may be tried with. One suffices where tokens name their key; a few are there while keys roll over.
pub(super) const MAX_TRIES: usize = 4;

/// What a key file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFormat {
    /// Public keys, one after the other, in PEM.
    Pem,
    /// A JSON Web Key Set (RFC 7517, section 5).
    Jwks,
}

/// Keys to verify tokens with.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    /// Of what they were read from.
    fingerprint: u128,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Key {
    /// The id that tokens name it by.
    pub(super) id: Option<String>,
    pub(super) key: DecodingKey,
    /// What it can verify.
    pub(super) algorithms: &'static [Algorithm],
    /// The one algorithm that the key itself says it is for.
    only: Option<Algorithm>,
}

/// Why a file gives no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is not text.
    #[error("the file is not UTF-8")]
    NotUtf8,
    /// There is none that could verify a token.
    #[error("there is no key in it that verifies signatures")]
    Empty,
    /// A private key, which belongs to whoever signs.
    #[error("key {0} is a private key; only its public half belongs here")]
    Private(usize),
    /// The same in a set: it has what only the signer may have.
    #[error("key {0} has the member `d`, so it is a private key; only its public half belongs here")]
    PrivateJwk(usize),
    /// A certificate, which says more than who signs: nobody would look at when it ends.
    #[error("block {0} is a certificate; put its public key here (`openssl x509 -noout -pubkey`)")]
    Certificate(usize),
    /// A key that cannot be read.
    #[error("key {0} is not a public key for RSA, P-256, P-384 or Ed25519")]
    Pem(usize),
    /// A key with which no signature could be right.
    #[error("key {0} is no usable key: an RSA modulus has 2048 to 8192 bits, and a point is on its curve")]
    Unusable(usize),
    /// More keys than are tried for a token that names none of them.
    #[error("{0} keys without an id verify {1:?}; a token that names none is tried with {MAX_TRIES} at most")]
    Many(usize, Algorithm),
    /// A JWK that cannot be used.
    #[error("key {0} cannot be read")]
    Jwk(usize, #[source] jsonwebtoken::errors::Error),
    /// A key of a set with a member of another type than it has.
    #[error("key {0} is no JSON Web Key")]
    Member(usize, #[source] serde_json::Error),
    /// A secret that is too short to withstand guessing.
    #[error("key {0} is a secret of less than 32 bytes")]
    Weak(usize),
    /// Not a JWK set.
    #[error("not a JSON Web Key Set")]
    Json(#[source] serde_json::Error),
}

// === impl KeySet ===

impl KeySet {
    /// Reads keys from the content of a file.
    ///
    /// Of a set, keys for encryption and of kinds that are not known are left out (RFC 7517, section 5).
    ///
    /// # Errors
    /// When it cannot be read, or no key is left.
    pub fn read(format: KeyFormat, content: &[u8]) -> Result<Self, KeyError> {
        let keys = match format {
            KeyFormat::Pem => pem(std::str::from_utf8(content).map_err(|_| KeyError::NotUtf8)?)?,
            KeyFormat::Jwks => jwks(content)?,
        };
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        for algorithm in keys.iter().flat_map(|key| key.algorithms) {
            let nameless = keys.iter().filter(|key| key.id.is_none() && key.takes(*algorithm)).count();
            if nameless > MAX_TRIES {
                return Err(KeyError::Many(nameless, *algorithm));
            }
        }
        // Tells contents apart; whoever writes the file need not be kept from forging it.
        let fingerprint = SipHasher24::new().hash(content).as_u128();
        Ok(Self { keys, fingerprint })
    }

    /// Tells what they were read from apart from anything else.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Whether any of them verifies one of these algorithms; none given is all.
    #[must_use]
    pub fn verifies(&self, algorithms: &[Algorithm]) -> bool {
        algorithms.is_empty()
            || self.keys.iter().any(|key| algorithms.iter().any(|algorithm| key.takes(*algorithm)))
    }

    /// Keys that may have signed a token that says this, the likeliest first. One that says which key it was is not tried with
    /// another, except with those that have no id.
    pub(super) fn fitting<'k>(
        &'k self,
        id: Option<&'k str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'k Key> {
        let named = self.keys.iter().filter(move |key| id.is_some() && key.id.as_deref() == id);
        let others = self.keys.iter().filter(move |key| id.is_none() || key.id.is_none());
        named.chain(others).filter(move |key| key.takes(algorithm)).take(MAX_TRIES)
    }
}

// === impl Key ===

impl Key {
    /// Whether it may verify a token that names this algorithm.
    pub(super) fn takes(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm) && self.only.is_none_or(|only| only == algorithm)
    }
}

/// Each block of a PEM file by itself.
fn pem(text: &str) -> Result<Vec<Key>, KeyError> {
    const BEGIN: &str = "-----BEGIN ";
    let blocks = text.match_indices(BEGIN).map(|(at, _)| {
        let rest = &text[at..];
        let next = rest[BEGIN.len()..].find(BEGIN).map_or(rest.len(), |next| next + BEGIN.len());
        &rest[..next]
    });
    blocks
        .enumerate()
        .map(|(at, block)| {
            let number = at + 1;
            let label = block.lines().next().unwrap_or_default();
            if label.contains("PRIVATE KEY") {
                return Err(KeyError::Private(number));
            }
            if label.contains("CERTIFICATE") {
                return Err(KeyError::Certificate(number));
            }
            let (key, algorithms) = pem_key(block.as_bytes()).ok_or(KeyError::Pem(number))?;
            if !is_usable(&key, algorithms) {
                return Err(KeyError::Unusable(number));
            }
            Ok(Key { id: None, key, algorithms, only: None })
        })
        .collect()
}

fn pem_key(block: &[u8]) -> Option<(DecodingKey, &'static [Algorithm])> {
    if let Ok(key) = DecodingKey::from_rsa_pem(block) {
        return Some((key, RSA));
    }
    if let Ok(key) = DecodingKey::from_ec_pem(block) {
        let algorithms = match key.try_get_as_bytes().ok()?.len() {
            P256_POINT => P256,
            P384_POINT => P384,
            _ => return None,
        };
        return Some((key, algorithms));
    }
    DecodingKey::from_ed_pem(block).ok().map(|key| (key, ED25519))
}

/// A set. Its keys are read one by one, so that each error says whose it is.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

fn jwks(content: &[u8]) -> Result<Vec<Key>, KeyError> {
    let set: Set = serde_json::from_slice(content).map_err(KeyError::Json)?;
    let mut keys = Vec::new();
    for (at, value) in set.keys.into_iter().enumerate() {
        let number = at + 1;
        if value.get("d").is_some() {
            return Err(KeyError::PrivateJwk(number));
        }
        let jwk: Jwk = serde_json::from_value(value).map_err(|error| KeyError::Member(number, error))?;
        let Some(algorithms) = algorithms(&jwk).filter(|_| verifies(&jwk)) else { continue };
        let only = match jwk.common.key_algorithm {
            None => None,
            // A key for something that is no signature, or for a signature that another kind of key makes.
            Some(named) => match Algorithm::try_from(named) {
                Ok(only) if algorithms.contains(&only) => Some(only),
                _ => continue,
            },
        };
        let key = DecodingKey::from_jwk(&jwk).map_err(|error| KeyError::Jwk(number, error))?;
        if algorithms == HMAC && key.try_get_as_bytes().is_ok_and(|secret| secret.len() < MIN_SECRET) {
            return Err(KeyError::Weak(number));
        }
        if !is_usable(&key, algorithms) {
            return Err(KeyError::Unusable(number));
        }
        keys.push(Key { id: jwk.common.key_id, key, algorithms, only });
    }
    Ok(keys)
}

/// Whether a signature could be right by this key.
fn is_usable(key: &DecodingKey, algorithms: &[Algorithm]) -> bool {
    match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            let key: Result<PublicEncryptingKey, _> = PublicKeyComponents { n, e }.try_into();
            let der = key.ok().and_then(|key| key.as_der().ok());
            der.is_some_and(|der| is_usable_rsa(der.as_ref()))
        }
        DecodingKeyKind::SecretOrDer(_) if algorithms == HMAC => true,
        DecodingKeyKind::SecretOrDer(bytes) if algorithms == RSA => {
            let key = ParsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, bytes);
            let der = key.ok().and_then(|key| key.as_der().ok());
            der.is_some_and(|der| is_usable_rsa(der.as_ref()))
        }
        DecodingKeyKind::SecretOrDer(bytes) if algorithms == P256 => {
            ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, bytes).is_ok()
        }
        DecodingKeyKind::SecretOrDer(bytes) if algorithms == P384 => {
            ParsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, bytes).is_ok()
        }
        DecodingKeyKind::SecretOrDer(bytes) => ParsedPublicKey::new(&signature::ED25519, bytes).is_ok(),
    }
}

/// Of a key as X.509 has it. One of the two types checks the sizes, the other the exponent: with 1, anybody could sign.
fn is_usable_rsa(der: &[u8]) -> bool {
    PublicEncryptingKey::from_der(der).is_ok() && PublicKey::from_der(der).is_ok()
}

/// What a key of this kind can verify.
fn algorithms(jwk: &Jwk) -> Option<&'static [Algorithm]> {
    Some(match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => RSA,
        AlgorithmParameters::OctetKey(_) => HMAC,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => P256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => P384,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => ED25519,
        _ => return None,
    })
}

/// Whether the key is not said to be for something else (RFC 7517, sections 4.2 and 4.3).
fn verifies(jwk: &Jwk) -> bool {
    let common = &jwk.common;
    common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify))
}
