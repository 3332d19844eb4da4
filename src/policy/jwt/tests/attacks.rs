//! What somebody would try who has no key, and key files that would help him.

use jsonwebtoken::jwk::Jwk;

use super::*;

/// Text as tokens have it.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = bytes.chunks(3).flat_map(|three| {
        let number = three.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        let bits = 24 - 8 * (3 - three.len());
        (0..bits.div_ceil(6)).map(move |at| {
            let shifted = number << (24 - bits);
            char::from(DIGITS[(shifted >> (18 - 6 * at) & 63) as usize])
        })
    });
    digits.collect()
}

/// A token with any header, signed by `signer` as ES256.
fn with_header(header: &Value, claims: &Value, signer: &Signer) -> String {
    let message =
        format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &signer.signing, Algorithm::ES256).unwrap();
    format!("{message}.{signature}")
}

/// The public key as a set has it, with more members.
fn jwk_of(pair: &KeyPair, more: &Value) -> Value {
    let point = pair.public_key_raw();
    let half = (point.len() - 1) / 2;
    let crv = if half == 32 { "P-256" } else { "P-384" };
    let (x, y) = (base64url(&point[1..=half]), base64url(&point[half + 1..]));
    let mut key = json!({ "kty": "EC", "crv": crv, "x": x, "y": y });
    key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    key
}

fn another() -> Signer {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let signing = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    Signer { pair, signing }
}

#[test]
fn a_token_brings_no_key_of_its_own() {
    let evil = another();
    let key = jwk_of(&evil.pair, &json!({ "kid": "good" }));
    let _: Jwk = serde_json::from_value(key.clone()).expect("a key that would do");
    let provider = provider(trust(), jwks(json!([jwk_of(&P256.pair, &json!({ "kid": "good" }))])).unwrap());
    for more in [
        json!({ "jwk": key }),
        json!({ "jku": "https://evil.example/keys" }),
        json!({ "x5u": "https://evil.example/cert" }),
        json!({ "x5c": ["MIIB"] }),
        json!({}),
    ] {
        for kid in [json!("good"), Value::Null] {
            let mut header = json!({ "alg": "ES256" });
            let all = header.as_object_mut().unwrap();
            all.extend(more.as_object().unwrap().clone());
            if !kid.is_null() {
                all.insert("kid".to_owned(), kid);
            }
            let token = with_header(&header, &claims(), &evil);
            assert_eq!(judge(&provider, &token), "Signature", "{header}");
            assert_eq!(judge(&provider, &with_header(&header, &claims(), &P256)), "anna", "{header}");
        }
    }
}

#[test]
fn odd_headers_are_refused() {
    let provider = provider(trust(), jwks(json!([jwk_of(&P256.pair, &json!({ "kid": "a" }))])).unwrap());
    for (header, expected) in [
        (json!({ "alg": "ES256", "kid": "a" }), "anna"),
        (json!({ "alg": "ES256", "kid": "../../dev/null" }), "NoKey"),
        (json!({ "alg": "ES256", "kid": "" }), "NoKey"),
        (json!({ "alg": "ES256", "kid": "A" }), "NoKey"),
        (json!({ "alg": "ES256", "kid": 1 }), "Malformed"),
        (json!({ "alg": "ES256", "kid": ["a"] }), "Malformed"),
        (json!({ "alg": "es256", "kid": "a" }), "Malformed"),
        (json!({ "alg": ["ES256"], "kid": "a" }), "Malformed"),
        (json!({ "alg": "", "kid": "a" }), "Malformed"),
        (json!({ "alg": null, "kid": "a" }), "Malformed"),
        (json!({ "kid": "a" }), "Malformed"),
        (json!({ "alg": "ES384", "kid": "a" }), "NoKey"),
        (json!({ "alg": "HS256", "kid": "a" }), "NoKey"),
        (json!({ "alg": "ES256", "crit": [] }), "Malformed"),
        (json!({ "alg": "ES256", "b64": false, "crit": ["b64"] }), "Malformed"),
        (json!([]), "Malformed"),
        (json!("ES256"), "Malformed"),
    ] {
        assert_eq!(judge(&provider, &with_header(&header, &claims(), &P256)), expected, "{header}");
    }
    // Which of two members counts depends on who reads: neither does.
    let signed = |header: &str| {
        let message =
            format!("{}.{}", base64url(header.as_bytes()), base64url(claims().to_string().as_bytes()));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &P256.signing, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    };
    assert_eq!(judge(&provider, &signed(r#"{"alg":"ES256"}"#)), "anna");
    assert_eq!(judge(&provider, &signed(r#"{"alg":"none","alg":"ES256"}"#)), "Malformed");
    assert_eq!(judge(&provider, &signed(r#"{"alg":"ES256","alg":"none"}"#)), "Malformed");
    assert_eq!(judge(&provider, &signed(r#"{"alg":"ES256"}{}"#)), "Malformed");
}

#[test]
fn odd_signatures_are_refused() {
    let provider = provider(trust(), pem(&P256));
    let good = sign(&P256, Algorithm::ES256, &claims());
    let (body, signature) = good.rsplit_once('.').unwrap();
    // Of r = s = 0, "psychic"; of another length; in DER; padded; with bits behind its last byte.
    let last = signature.chars().last().unwrap();
    let loose = char::from(u8::try_from(u32::from(last)).unwrap() + 1);
    let der = base64url(&[0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01]);
    for (odd, expected) in [
        (base64url(&[0; 64]), "Signature"),
        (base64url(&[0; 63]), "Signature"),
        (base64url(&[0xff; 64]), "Signature"),
        (der, "Signature"),
        (format!("{signature}=="), "Malformed"),
        (format!("{}{loose}", &signature[..signature.len() - 1]), "Malformed"),
        (format!(" {signature}"), "Malformed"),
    ] {
        assert_eq!(judge(&provider, &format!("{body}.{odd}")), expected, "{odd}");
    }
}

#[test]
fn nothing_but_an_object_has_claims() {
    let provider = provider(trust(), pem(&P256));
    let header = json!({ "alg": "ES256" });
    for payload in [json!([]), json!("x"), json!(1), Value::Null, json!([{ "sub": "anna" }])] {
        assert_eq!(judge(&provider, &with_header(&header, &payload, &P256)), "Malformed", "{payload}");
    }
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(judge(&provider, &with_header(&header, &with(json!({ "deep": deep })), &P256)), "Malformed");
}

#[test]
fn a_token_has_at_most_8_kib() {
    let provider = provider(trust(), pem(&P256));
    let of_length = |wanted: usize| {
        let base = sign(&P256, Algorithm::ES256, &with(json!({ "pad": "" }))).len();
        let pad = (wanted - base) * 3 / 4;
        (pad.saturating_sub(4)..pad + 4)
            .map(|pad| sign(&P256, Algorithm::ES256, &with(json!({ "pad": "x".repeat(pad) }))))
            .filter(|token| token.len() <= wanted)
            .max_by_key(String::len)
            .unwrap()
    };
    let longest = of_length(8192);
    assert!(longest.len() > 8188, "{}", longest.len());
    assert_eq!(judge(&provider, &longest), "anna");
    let longer = sign(&P256, Algorithm::ES256, &with(json!({ "pad": "x".repeat(6200) })));
    assert!(longer.len() > 8192);
    assert_eq!(judge(&provider, &longer), "Malformed");
}

#[test]
fn a_token_that_names_its_key_is_not_lost_among_others() {
    // Four keys without an id, and then the one that the token names.
    let nameless: Vec<KeyPair> = (0..4).map(|_| another().pair).collect();
    let mut keys: Vec<Value> = nameless.iter().map(|pair| jwk_of(pair, &json!({}))).collect();
    keys.push(jwk_of(&P256.pair, &json!({ "kid": "late" })));
    let all = provider(trust(), jwks(json!(keys)).unwrap());
    let token = |kid: &str| with_header(&json!({ "alg": "ES256", "kid": kid }), &claims(), &P256);
    assert_eq!(judge(&all, &token("late")), "anna");
    assert_eq!(judge(&all, &token("other")), "Signature");
    // A fifth would never be tried.
    keys.insert(0, jwk_of(&another().pair, &json!({})));
    let error = jwks(json!(keys)).unwrap_err().to_string();
    assert_eq!(error, "5 keys without an id verify ES256; a token that names none is tried with 4 at most");
}

#[test]
fn the_name_of_one_key_is_no_way_to_another() {
    let second = another();
    let keys = json!([
        jwk_of(&P256.pair, &json!({ "kid": "a" })),
        jwk_of(&second.pair, &json!({ "kid": "b" })),
        jwk_of(&P384.pair, &json!({ "kid": "c", "alg": "ES384" })),
    ]);
    let provider = provider(trust(), jwks(keys).unwrap());
    let token = |kid: &str, signer| with_header(&json!({ "alg": "ES256", "kid": kid }), &claims(), signer);
    for (kid, signer, expected) in [
        ("a", &*P256, "anna"),
        ("b", &second, "anna"),
        ("a", &second, "Signature"),
        ("b", &P256, "Signature"),
        ("c", &P256, "NoKey"),
    ] {
        assert_eq!(judge(&provider, &token(kid, signer)), expected, "{kid}");
    }
}

#[test]
fn a_public_key_in_a_set_is_never_a_secret() {
    let provider = provider(trust(), jwks(json!([jwk_of(&P256.pair, &json!({}))])).unwrap());
    let raw = P256.pair.public_key_raw().to_vec();
    let x = base64url(&raw[1..33]);
    for secret in [raw.clone(), raw[1..].to_vec(), raw[1..33].to_vec(), x.into_bytes(), Vec::new()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let key = EncodingKey::from_secret(&secret);
            let token = encode(&Header::new(algorithm), &claims(), &key).unwrap();
            assert_eq!(judge(&provider, &token), "NoKey");
        }
    }
}

#[test]
fn keys_that_could_verify_nothing_are_refused() {
    let unusable =
        "key 1 is no usable key: an RSA modulus has 2048 to 8192 bits, and a point is on its curve";
    let point = P256.pair.public_key_raw();
    let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
    let modulus = |bytes: usize| base64url(&[&[0xc1][..], &vec![0x55; bytes - 2], &[0x01]].concat());
    for (key, expected) in [
        (json!({ "kty": "RSA", "e": "AQAB", "n": modulus(256) }), None),
        (json!({ "kty": "RSA", "e": "AQAB", "n": modulus(128) }), Some(unusable)),
        (json!({ "kty": "RSA", "e": "AQAB", "n": modulus(1025) }), Some(unusable)),
        (json!({ "kty": "RSA", "e": "AQAB", "n": "" }), Some(unusable)),
        (json!({ "kty": "RSA", "e": "AQ", "n": modulus(256) }), Some(unusable)),
        (json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }), None),
        (json!({ "kty": "EC", "crv": "P-256", "x": y, "y": x }), Some(unusable)),
        (json!({ "kty": "EC", "crv": "P-384", "x": x, "y": y }), Some(unusable)),
        (json!({ "kty": "EC", "crv": "P-256", "x": "", "y": "" }), Some(unusable)),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": x }), None),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" }), Some(unusable)),
        (json!({ "kty": "EC", "crv": "P-256", "x": "*", "y": y }), Some("key 1 cannot be read")),
        (json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": 7 }), Some("key 1 is no JSON Web Key")),
        (
            json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "d": x }),
            Some("key 1 has the member `d`, so it is a private key; only its public half belongs here"),
        ),
        (
            json!({ "kty": "EC", "crv": "secp256k1", "x": x, "y": y }),
            Some("there is no key in it that verifies signatures"),
        ),
        (
            json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": "ES256K" }),
            Some("there is no key in it that verifies signatures"),
        ),
        (
            json!({ "kty": "RSA", "e": "AQAB", "n": modulus(256), "key_ops": ["encrypt"] }),
            Some("there is no key in it that verifies signatures"),
        ),
    ] {
        let error = jwks(json!([key.clone()])).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), expected, "{key}");
    }
    // One that is not known does not keep a set from being read (RFC 7517, section 5).
    let set = json!([{ "kty": "EC", "crv": "secp256k1", "x": x, "y": y }, jwk_of(&P256.pair, &json!({}))]);
    assert_eq!(jwks(set).unwrap().count(), 1);
}

#[test]
fn pem_files_hold_public_keys_and_nothing_else() {
    let certificate = rcgen::CertificateParams::new(vec!["a.example".to_owned()])
        .unwrap()
        .self_signed(&P256.pair)
        .unwrap()
        .pem();
    let of = |text: &str| KeySet::read(KeyFormat::Pem, text.as_bytes()).err().map(|error| error.to_string());
    let public = P256.pair.public_key_pem();
    assert_eq!(
        of(&[&*public, &certificate].concat()).as_deref(),
        Some("block 2 is a certificate; put its public key here (`openssl x509 -noout -pubkey`)")
    );
    assert_eq!(
        of(&[&*public, &P384.pair.serialize_pem()].concat()).as_deref(),
        Some("key 2 is a private key; only its public half belongs here")
    );
    // secp256k1 has points as long as P-256 has, and neither curve has the other's.
    let k1 = "-----BEGIN PUBLIC KEY-----\n\
        MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEeb5mfvncu6xVoGKVzocLBwKb/NstzijZ\n\
        WfKBWxb4F5hIOtp3JqPEZV2k+/wOEQio/Re0SKaFVBmcR9CP+xDUuA==\n\
        -----END PUBLIC KEY-----\n";
    assert_eq!(
        of(k1).as_deref(),
        Some("key 1 is no usable key: an RSA modulus has 2048 to 8192 bits, and a point is on its curve")
    );
}

#[test]
fn algorithms_of_a_provider_are_ones_that_its_keys_have() {
    let keys = pem(&P256);
    for (algorithms, verifies) in [
        (&[][..], true),
        (&[Algorithm::RS256, Algorithm::ES256], true),
        (&[Algorithm::RS256, Algorithm::HS256], false),
    ] {
        assert_eq!(keys.verifies(algorithms), verifies, "{algorithms:?}");
    }
}

#[test]
fn what_was_not_verified_is_not_remembered() {
    let provider = provider(trust(), pem(&P256));
    let mut cache = TokenCache::new([3, 4]);
    let good = sign(&P256, Algorithm::ES256, &claims());
    let forged = sign(&another(), Algorithm::ES256, &claims());
    let mut ask = |token: &str| {
        let value = format!("Bearer {token}");
        let list = HeaderList::from_pairs([("Authorization", &*value)]);
        fate(&provider.identify(&view(&list, ""), NOW, &mut cache))
    };
    let (body, _) = good.rsplit_once('.').unwrap();
    for _ in 0..2 {
        assert_eq!(ask(&forged), "Signature");
    }
    assert_eq!(ask(&good), "anna");
    // One byte more or less is another token.
    for other in [format!("{good}A"), good[..good.len() - 1].to_owned(), format!("{body}."), forged] {
        assert_ne!(ask(&other), "anna again", "{other}");
        assert_ne!(ask(&other), "anna", "{other}");
    }
    assert_eq!(ask(&good), "anna again");
}
