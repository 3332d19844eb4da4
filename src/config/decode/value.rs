//! What the values of the file become in the model, and what stands in for those that were refused.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    measure::{Limit, Tolerance},
    scalar::Value,
};
use crate::{
    config::model::rollout::Metric,
    types::{Address, Fraction, Name, Rate, Weight},
};

/// What a scalar becomes in the model.
pub(super) trait FromValue: Sized {
    /// `None` when the table and the decoder disagree on the type.
    fn from_value(value: Value) -> Option<Self>;
    /// What stands in for a value that was refused. `offset` makes it unique in the file.
    fn fallback(offset: usize) -> Self;
}

macro_rules! from_value {
    ($($type:ty, $pattern:pat => $value:expr, $offset:pat => $fallback:expr;)+) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Option<Self> {
                match value { $pattern => Some($value), _ => None }
            }
            fn fallback($offset: usize) -> Self { $fallback }
        }
    )+};
}

from_value! {
    bool, Value::Bool(value) => value, _ => false;
    u64, Value::Integer(value) => value, _ => 1;
    Duration, Value::Duration(value) => value, _ => Duration::from_secs(1);
    Fraction, Value::Fraction(value) => value, _ => Fraction::from_percent(1.0).expect("1 is a percentage");
    Rate, Value::Rate(value) => value, _ => Rate::SLOWEST;
    f64, Value::Number(value) => value, _ => 1.0;
    Metric, Value::Metric(value) => value, _ => Metric::ErrorRate;
    Limit, Value::Limit(value) => value, _ => Limit::Unreadable;
    Tolerance, Value::Tolerance(value) => value, _ => Tolerance::Unreadable;
    Weight, Value::Weight(value) => value, _ => Weight::of(1);
    Name, Value::Name(value) => value,
        offset => Name::new(&format!("unreadable-{offset}")).expect("letters, digits and a dash");
    IpNet, Value::Net(value) => value, _ => IpNet::from(IpAddr::from(Ipv4Addr::LOCALHOST));
    Address, Value::Listen(value) => value, _ => Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    SocketAddr, Value::Socket(value) => value, _ => SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    (u16, u16), Value::Status(first, last) => (first, last), _ => (200, 299);
    (String, u16), Value::HostPort(host, port) => (host, port), offset => (format!("unreadable-{offset}"), 1);
    String, Value::Text(value) => value, offset => format!("/unreadable-{offset}");
}
