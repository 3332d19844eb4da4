//! W3C Trace Context, as much of it as a proxy needs that continues a trace or starts one.

/// `version-traceid-parentid-flags` in lower-case hexadecimal, neither id all zero (W3C Trace Context, section 3.2.2).
pub(super) fn is_traceparent(value: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let some = |part: &[u8]| part.iter().any(|byte| *byte != b'0');
    value.len() >= 55
        && (value.len() == 55 || (value[55] == b'-' && !value.starts_with(b"00")))
        && [value[2], value[35], value[52]] == *b"---"
        && hex(&value[..2])
        && !value.starts_with(b"ff")
        && hex(&value[3..35])
        && some(&value[3..35])
        && hex(&value[36..52])
        && some(&value[36..52])
        && hex(&value[53..55])
}

/// Sixteen digits.
pub(super) fn hex(value: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|at| DIGITS[(value >> (60 - 4 * at) & 15) as usize])
}

/// The trace id in a traceparent (W3C Trace Context, section 3.2.2.3).
pub(super) fn trace_id(traceparent: &[u8]) -> Option<u128> {
    let digits = std::str::from_utf8(traceparent.get(3..35)?).ok()?;
    u128::from_str_radix(digits, 16).ok()
}
