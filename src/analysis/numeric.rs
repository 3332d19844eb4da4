//! Sums of exponentials, Gamma functions and divergences that keep their digits at large counts.
//!
//! With 10^12 units a log-likelihood is a number of that size, of which a double keeps three digits after the point, and
//! what is wanted is the difference of two. So likelihoods are never subtracted here: the difference is written as a
//! Kullback-Leibler divergence, which is computed from the difference of the two rates.

use std::f64::consts::TAU;

/// A count as a real number.
pub(super) fn real(count: u64) -> f64 {
    count as f64
}

/// `ln(sum(exp(x)))` without overflow; minus infinity for nothing.
pub(super) fn log_sum_exp(values: impl IntoIterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().into_iter().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return largest;
    }
    largest + values.into_iter().map(|value| (value - largest).exp()).sum::<f64>().ln()
}

/// `ln(mean(exp(x)))` of a fixed number of values.
pub(super) fn log_mean_exp<const N: usize>(values: [f64; N]) -> f64 {
    log_sum_exp(values) - (N as f64).ln()
}

/// The divergence of Bernoulli(p) from Bernoulli(q), each given with its complement; infinite where q excludes what p has.
pub(super) fn divergence(p: [f64; 2], q: [f64; 2]) -> f64 {
    p.into_iter().zip(q).map(|(p, q)| term(p, q)).sum()
}

/// A class's part of the divergence of p from q: `p ln(p/q) - p + q`. Never negative; the linear terms cancel in the sum
/// over classes, and make each term exact where p is close to q.
pub(super) fn term(p: f64, q: f64) -> f64 {
    if q <= 0.0 {
        return if p <= 0.0 { 0.0 } else { f64::INFINITY };
    }
    excess_term((p - q) / q) * q
}

/// `(1 + u) ln(1 + u) - u` for `u >= -1`, by its series where the two parts would cancel.
pub(super) fn excess_term(u: f64) -> f64 {
    if u <= -1.0 {
        return 1.0;
    }
    if u.abs() > 0.05 {
        return (1.0 + u) * u.ln_1p() - u;
    }
    // sum over k >= 2 of (-u)^k / (k (k - 1)); the first term left out is below 10^-18 of the first.
    let mut power = u * u;
    let mut sum = 0.0;
    for k in 2..=14 {
        let k = f64::from(k);
        sum += power / (k * (k - 1.0));
        power *= -u;
    }
    sum
}

/// What Stirling's formula lacks: `lnGamma(z) - ((z - 1/2) ln z - z + ln(2 pi)/2)`, for `z > 0`.
pub(super) fn stirling_rest(z: f64) -> f64 {
    if z < 10.0 {
        return libm::lgamma(z) - ((z - 0.5) * z.ln() - z + 0.5 * TAU.ln());
    }
    let square = 1.0 / (z * z);
    // Abramowitz and Stegun 6.1.41; the first term left out is below 10^-13 at 10.
    let series = 1.0 / 12.0
        - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0)));
    series / z
}

/// `ln B(a, b)` for small arguments, such as those of priors.
pub(super) fn log_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

/// The log-likelihood of `x` and `y` events under a Beta(a, b) mixture, less that under their own rates `x/n` and `y/n`.
///
/// That is `lnB(a + x, b + y) - lnB(a, b) - x ln(x/n) - y ln(y/n)`, zero for no events.
pub(super) fn mixture_excess([a, b]: [f64; 2], [x, y]: [f64; 2]) -> f64 {
    let n = x + y;
    if n <= 0.0 {
        return 0.0;
    }
    let (p, q, sum) = (a + x, b + y, a + b + n);
    let tilt = (x * (a + b) - n * a) / n;
    let divergence = excess_term(tilt / p) * (p / sum) + excess_term(-tilt / q) * (q / sum);
    a * (p / sum).ln() + b * (q / sum).ln() - n * divergence
        + 0.5 * (sum.ln() - p.ln() - q.ln() + TAU.ln())
        + stirling_rest(p)
        + stirling_rest(q)
        - stirling_rest(sum)
        - log_beta(a, b)
}

/// The boundary between `low`, where `holds` is true, and `high`, where it is not, to the last bit that halving reaches.
pub(super) fn boundary(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low.min(high) || middle >= low.max(high) {
            break;
        }
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}
