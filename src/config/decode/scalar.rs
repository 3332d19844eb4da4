//! Single values: from their text to what they mean, and why not.

use std::{net::SocketAddr, time::Duration};

use ipnet::IpNet;

use super::address::{address, bind, bind_to_port, cidr, file_mode, host_port, listen, socket_path};
use super::measure::{self, Limit, Tolerance};
use crate::{
    config::{
        code::Code,
        keys::Scalar,
        model::rollout::Metric,
        suggest,
        yaml::{Node, Plain, Value as NodeValue, classify, shorten},
    },
    types::{Address, Fraction, Name, Rate, Weight},
};

/// The longest text of any value, in bytes.
const MAX_TEXT: usize = 4096;

/// The longest duration: ten years.
const MAX_DURATION: Duration = Duration::from_secs(3650 * 86_400);

/// What a compiled regular expression may take, in bytes; far above any sane one, far below what hurts.
pub(in crate::config) const REGEX_SIZE: usize = 256 << 10;

/// A value that was understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Integer(u64),
    Duration(Duration),
    Fraction(Fraction),
    Rate(Rate),
    Number(f64),
    Metric(Metric),
    Limit(Limit),
    Tolerance(Tolerance),
    Weight(Weight),
    Name(Name),
    Net(IpNet),
    Socket(SocketAddr),
    HostPort(String, u16),
    Listen(Address),
    Status(u16, u16),
    Text(String),
}

/// Why a value was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Problem {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

pub(super) type Parsed = Result<Value, Problem>;

/// Reads `node` as `scalar`.
pub(super) fn read(scalar: Scalar, node: &Node) -> Parsed {
    let NodeValue::Scalar { text, plain } = &node.value else {
        return Err(wrong_type(scalar, node));
    };
    let class = if *plain { classify(text) } else { Plain::Text };
    match (scalar, class) {
        (_, Plain::Null) => Err(wrong_type(scalar, node)),
        (Scalar::Bool, Plain::Bool(value)) => Ok(Value::Bool(value)),
        (Scalar::True, Plain::Bool(true)) => Ok(Value::Bool(true)),
        (Scalar::Integer { min, max }, Plain::Integer) => integer(text, min, max),
        (Scalar::Weight, Plain::Integer | Plain::Float) => weight(text),
        // Numbers without a unit get the message of the unit, not of the type.
        (Scalar::Duration { min }, Plain::Text | Plain::Integer | Plain::Float) => duration(text, min),
        (Scalar::Size { min, max }, Plain::Text | Plain::Integer) => size(text, min, max),
        (Scalar::Percent, Plain::Text | Plain::Integer | Plain::Float) => percent(text),
        (Scalar::Rate, Plain::Text | Plain::Integer | Plain::Float) => rate(text),
        // Where a number may stand without a unit, it is one only without quotes.
        (Scalar::Share | Scalar::Multiple | Scalar::Limit, Plain::Text) if classify(text) != Plain::Text => {
            Err(wrong_type(scalar, node).help("remove the quotes"))
        }
        (Scalar::Share, Plain::Text | Plain::Integer | Plain::Float) => measure::share(text),
        (Scalar::Multiple, Plain::Text | Plain::Integer | Plain::Float) => measure::multiple(text),
        (Scalar::Quantile, Plain::Integer | Plain::Float) => measure::quantile(text),
        (Scalar::Limit, Plain::Text | Plain::Integer | Plain::Float) => measure::limit(text),
        (Scalar::Tolerance, Plain::Text | Plain::Integer | Plain::Float) => measure::tolerance(text),
        (Scalar::Status, Plain::Text | Plain::Integer) => status(text),
        (Scalar::Weight, Plain::Text) if text.ends_with('%') => {
            let help = format!("weights are relative numbers: write `{}`", text.trim_end_matches('%'));
            Err(Problem::new(Code::Weight, format!("`{}` is not a weight", shorten(text))).help(help))
        }
        (Scalar::Bool | Scalar::True | Scalar::Integer { .. } | Scalar::Weight | Scalar::Quantile, _) => {
            Err(wrong_type(scalar, node))
        }
        (_, Plain::Text) => text_value(scalar, text),
        _ => Err(wrong_type(scalar, node)),
    }
}

fn wrong_type(scalar: Scalar, node: &Node) -> Problem {
    let problem =
        Problem::new(Code::WrongType, format!("expected {}, found {}", scalar.expected(), node.describe()));
    let NodeValue::Scalar { text, plain } = &node.value else { return problem };
    let wants_number = matches!(
        scalar,
        Scalar::Integer { .. } | Scalar::Weight | Scalar::Quantile | Scalar::Bool | Scalar::True
    );
    match (plain, classify(text)) {
        (_, Plain::Null) => problem,
        (true, Plain::Integer) if matches!(scalar, Scalar::Bind | Scalar::Listen) => {
            problem.help(bind_to_port(text))
        }
        (true, Plain::Integer | Plain::Float | Plain::Bool(_)) if !wants_number => {
            problem.help(format!("put it into quotes: `\"{text}\"`"))
        }
        (false, class) if wants_number && class != Plain::Text => problem.help("remove the quotes"),
        _ => problem,
    }
}

fn text_value(scalar: Scalar, text: &str) -> Parsed {
    if text.len() > MAX_TEXT {
        return Err(Problem::new(Code::Text, format!("a text has at most {MAX_TEXT} bytes")));
    }
    let owned = || Ok(Value::Text(text.to_owned()));
    match scalar {
        Scalar::Name => {
            Name::new(text).map(Value::Name).map_err(|error| Problem::new(Code::Name, error.to_string()))
        }
        Scalar::Cidr => cidr(text).map(Value::Net),
        Scalar::Bind => bind(text).map(Value::Socket),
        Scalar::Listen => listen(text).map(Value::Listen),
        Scalar::HostPort => host_port(text).map(|(host, port)| Value::HostPort(host, port)),
        Scalar::SocketPath => socket_path(text).map(|()| Value::Text(text.to_owned())),
        Scalar::FileMode => file_mode(text),
        Scalar::Address => address(text).map(Value::Socket),
        Scalar::Regex => regex(text),
        Scalar::Host => host(text),
        Scalar::Method => method(text),
        Scalar::Path | Scalar::Target | Scalar::CookiePath => path(scalar, text),
        Scalar::HeaderName | Scalar::CookieName | Scalar::QueryName => field_name(scalar, text),
        Scalar::LogTarget => log_target(text),
        Scalar::Metric => measure::metric(text),
        Scalar::Url => measure::url(text),
        _ if fits(scalar, text) => owned(),
        _ if text.is_empty() => Err(Problem::new(Code::Text, "expected a text, found an empty one")),
        Scalar::Text | Scalar::Body | Scalar::Word | Scalar::File => {
            Err(Problem::new(Code::Text, "control characters are not allowed here"))
        }
        _ => Err(not_a(Code::Text, scalar, text)),
    }
}

/// Whether `text` has the form of the schema's pattern. The patterns that stand for themselves are written out here, as
/// fixed classes, so that no regular expression is compiled per value.
fn fits(scalar: Scalar, text: &str) -> bool {
    let all = |allowed: &dyn Fn(u8) -> bool| !text.is_empty() && text.bytes().all(allowed);
    let labels = |text: &str| {
        text.len() <= 253
            && text.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            })
    };
    match scalar {
        Scalar::HeaderName | Scalar::CookieName => all(&is_token),
        Scalar::Method => all(&|b| is_token(b) && !b.is_ascii_lowercase()),
        Scalar::Path => text.starts_with('/') && all(&|b| b.is_ascii_graphic() && b != b'?' && b != b'#'),
        Scalar::Target => text.starts_with('/') && all(&|b| b.is_ascii_graphic() && b != b'#'),
        Scalar::CookiePath => text.starts_with('/') && all(&|b| b.is_ascii_graphic() && b != b';'),
        Scalar::Host => labels(text.strip_prefix("*.").unwrap_or(text)),
        Scalar::Domain => labels(text),
        Scalar::Authority => authority(text),
        Scalar::Text => !text.bytes().any(|b| b.is_ascii_control()),
        Scalar::Query => {
            !text.trim().is_empty() && !text.bytes().any(|b| b.is_ascii_control() && !b"\t\r\n".contains(&b))
        }
        Scalar::Pointer => measure::is_pointer(text),
        Scalar::Repository => text.split_once('/').is_some_and(|(owner, name)| {
            let is_part = |part: &str| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
            };
            is_part(owner) && is_part(name)
        }),
        Scalar::Body => !text.bytes().any(|b| b.is_ascii_control() && !b"\t\r\n".contains(&b)),
        _ => !text.is_empty() && !text.bytes().any(|b| b.is_ascii_control()),
    }
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

fn authority(text: &str) -> bool {
    let port_fits = |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    let (host, rest) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, rest)) => {
            if inside.is_empty() || !inside.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.') {
                return false;
            }
            ("x", rest)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        && (rest.is_empty() || rest.strip_prefix(':').is_some_and(port_fits))
}

pub(super) fn not_a(code: Code, scalar: Scalar, text: &str) -> Problem {
    let (what, example) = scalar.words();
    Problem::new(code, format!("`{}` is not a {what}", shorten(text)))
        .help(format!("write it such as `{example}`"))
}

fn integer(text: &str, min: u64, max: u64) -> Parsed {
    match text.strip_prefix('+').unwrap_or(text).parse::<u64>() {
        Ok(value) if (min..=max).contains(&value) => Ok(Value::Integer(value)),
        _ => Err(Problem::new(Code::Range, format!("{} is not a number from {min} to {max}", shorten(text)))),
    }
}

fn weight(text: &str) -> Parsed {
    let value = text
        .parse::<f64>()
        .map_err(|_| Problem::new(Code::Weight, "a weight is a number such as 5 or 0.5"))?;
    Weight::from_f64(value).map(Value::Weight).map_err(|error| Problem::new(Code::Weight, error.to_string()))
}

pub(super) fn duration(text: &str, min: u64) -> Parsed {
    let wrong = || {
        let problem = Problem::new(Code::Duration, format!("`{}` is not a duration", shorten(text)));
        match classify(text) {
            Plain::Integer if text != "0" => problem.help(format!("add the unit: `{text}s`, `{text}ms`")),
            _ => problem
                .help("write a whole number and a unit: `500ms`, `5s`, `2m`, `1h`, `30d`; `0s` is none"),
        }
    };
    let (digits, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    if digits.is_empty() {
        return Err(wrong());
    }
    let number = digits.parse::<u64>().unwrap_or(u64::MAX);
    let value = Duration::from_millis(number.saturating_mul(millis));
    if value > MAX_DURATION {
        return Err(Problem::new(Code::Duration, "a duration is at most 3650d"));
    }
    if value < Duration::from_millis(min) {
        return Err(Problem::new(Code::Duration, format!("`{text}` is too short: at least {min}ms")));
    }
    Ok(Value::Duration(value))
}

fn size(text: &str, min: u64, max: u64) -> Parsed {
    let (digits, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => 0,
    };
    if digits.is_empty() || factor == 0 {
        return Err(Problem::new(Code::Size, format!("`{}` is not a size", shorten(text)))
            .help("write bytes, or a whole number and a unit: `32KiB`, `64KB`, `1MiB`"));
    }
    let bytes = digits.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(factor);
    if !(min..=max).contains(&bytes) {
        let message = format!("`{}` is not from {min} to {max} bytes", shorten(text));
        return Err(Problem::new(Code::Size, message));
    }
    Ok(Value::Integer(bytes))
}

pub(super) fn percent(text: &str) -> Parsed {
    let wrong = || {
        let problem = Problem::new(Code::Percent, format!("`{}` is not a percentage", shorten(text)));
        match classify(text) {
            Plain::Integer | Plain::Float => problem.help(format!("add the sign: `{text}%`")),
            _ => problem.help("write `2%` or `0.5%`, at most three decimals, 0% to 100%"),
        }
    };
    let number = text.strip_suffix('%').ok_or_else(wrong)?;
    let (whole, decimals) = number.split_once('.').map_or((number, "0"), |(a, b)| (a, b));
    let digits = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(decimals) {
        return Err(wrong());
    }
    // "005%" fits a number's form, but nobody means it.
    if whole.len() == 3 && whole != "100" {
        return Err(wrong());
    }
    number.parse().ok().and_then(Fraction::from_percent).map(Value::Fraction).ok_or_else(wrong)
}

pub(super) fn rate(text: &str) -> Parsed {
    let wrong = || {
        let problem = Problem::new(Code::Rate, format!("`{}` is not a rate", shorten(text)));
        match classify(text) {
            Plain::Integer => problem.help(format!("add the unit: `{text}/s`, `{text}/m`")),
            _ => problem.help(format!(
                "write a whole number from 1 to {} and a unit: `100/s`, `30/m`, `5000/h`, `10000/d`",
                Rate::MAX
            )),
        }
    };
    Rate::parse(text).map(Value::Rate).ok_or_else(wrong)
}

fn status(text: &str) -> Parsed {
    let one = |text: &str| {
        let fits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|code| fits && (100..=599).contains(code))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (one(first), one(last)) {
        (Some(first), Some(last)) if first <= last => Ok(Value::Status(first, last)),
        _ => Err(not_a(Code::Status, Scalar::Status, text)),
    }
}

fn regex(text: &str) -> Parsed {
    if text.is_empty() || text.bytes().any(|b| b.is_ascii_control()) {
        return Err(Problem::new(Code::Regex, "an expression must not be empty or hold control characters"));
    }
    match regex::RegexBuilder::new(text).size_limit(REGEX_SIZE).nest_limit(50).build() {
        Ok(_) => Ok(Value::Text(text.to_owned())),
        Err(regex::Error::CompiledTooBig(_)) => {
            Err(Problem::new(Code::Regex, "this regular expression is too large when compiled")
                .help("make its repetitions smaller"))
        }
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let problem =
                Problem::new(Code::Regex, format!("this regular expression does not compile: {reason}"));
            Err(problem.help("the syntax is that of the crate `regex`: no look-around, no backreferences"))
        }
    }
}

fn host(text: &str) -> Parsed {
    if fits(Scalar::Host, text) {
        return Ok(Value::Text(text.to_ascii_lowercase()));
    }
    let problem = Problem::new(Code::Host, format!("`{}` is not a host", shorten(text)));
    Err(if text == "*" {
        problem.help("a route without `hosts` takes every host")
    } else if text.get(1..).is_some_and(|rest| rest.contains('*')) || text.starts_with('*') {
        problem.help("a wildcard is the whole first label: `\"*.example.com\"`")
    } else if text.contains("://") || text.contains(':') || text.contains('/') {
        problem.help("write the host alone, without scheme, port and path")
    } else if !text.is_ascii() {
        problem.help("write it in Punycode, as it is in the request: `xn--…`")
    } else {
        problem.help("write it such as `shop.example.com` or `\"*.example.com\"`")
    })
}

fn method(text: &str) -> Parsed {
    if fits(Scalar::Method, text) {
        return Ok(Value::Text(text.to_owned()));
    }
    let upper = text.to_ascii_uppercase();
    let problem = Problem::new(Code::Method, format!("`{}` is not a method", shorten(text)));
    Err(if fits(Scalar::Method, &upper) {
        problem.help(format!("methods are upper case: `{upper}`"))
    } else {
        problem.help("write it such as `GET`")
    })
}

fn path(scalar: Scalar, text: &str) -> Parsed {
    if fits(scalar, text) {
        return Ok(Value::Text(text.to_owned()));
    }
    let problem = Problem::new(Code::Path, format!("`{}` is not a path", shorten(text)));
    Err(if !text.starts_with('/') {
        problem.help("a path begins with `/`")
    } else if text.contains('?') && scalar == Scalar::Path {
        problem.help("match the query by `query`")
    } else if scalar == Scalar::CookiePath {
        problem.help("it has printable ASCII characters only, and no `;`")
    } else {
        problem.help(
            "it has printable ASCII characters only, others percent-encoded as in the request, and no `#`",
        )
    })
}

fn field_name(scalar: Scalar, text: &str) -> Parsed {
    if fits(scalar, text) {
        return Ok(Value::Text(text.to_owned()));
    }
    let what = scalar.words().0;
    let problem = Problem::new(Code::FieldName, format!("`{}` is not a {what}", shorten(text)));
    Err(match scalar {
        Scalar::QueryName => problem.help("it must not be empty or hold control characters"),
        _ => problem
            .help("it has letters, digits and `-` or `_`, no space and no `:` (RFC 9110, section 5.6.2)"),
    })
}

fn log_target(text: &str) -> Parsed {
    if matches!(text, "stdout" | "off") || (text.contains('/') && fits(Scalar::File, text)) {
        return Ok(Value::Text(text.to_owned()));
    }
    let problem = Problem::new(Code::Text, format!("`{}` is not a log target", shorten(text)));
    Err(match suggest::nearest(text, ["stdout", "off"]) {
        Some(word) => problem.help(format!("did you mean `{word}`?")),
        None => problem.help("write `stdout`, `off` or a file name with a `/`: `./access.log`"),
    })
}
