//! How paths behave: `[network]`, its classes, and the phase of that name.

use serde::Deserialize;
use toml::Spanned;

use super::file::{Count, Deserialized, Positive, RangeMs, Share, number};
use crate::net::link::{Burst, Faults, Rate};

/// The keys of a path, with some more that stand beside them.
macro_rules! path {
    ($(#[$about:meta])* $name:ident { $($(#[$attribute:meta])* $extra:ident: $kind:ty),* $(,)? }) => {
        $(#[$about])*
        #[derive(Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name {
            loss: Option<Share>,
            duplicate: Option<Share>,
            reorder: Option<Share>,
            corrupt: Option<Share>,
            truncate: Option<Share>,
            delay_ms: Option<RangeMs>,
            mtu: Option<Positive>,
            burst: Option<BurstKeys>,
            rate: Option<RateKeys>,
            $($(#[$attribute])* pub(super) $extra: $kind,)*
        }

        impl $name {
            /// How these paths behave; a missing key is as in `usual`.
            pub(super) fn faults(&self, usual: &Faults) -> Faults {
                let share = |key: &Option<Share>, usual: f64| key.as_ref().map_or(usual, |share| share.0);
                Faults {
                    loss: share(&self.loss, usual.loss),
                    duplicate: share(&self.duplicate, usual.duplicate),
                    reorder: share(&self.reorder, usual.reorder),
                    corrupt: share(&self.corrupt, usual.corrupt),
                    truncate: share(&self.truncate, usual.truncate),
                    delay: self.delay_ms.as_ref().map_or(usual.delay, |range| range.0),
                    mtu: self.mtu.as_ref().map(|mtu| mtu.0).or(usual.mtu),
                    burst: self.burst.as_ref().map(BurstKeys::burst).or(usual.burst),
                    rate: self.rate.as_ref().map(RateKeys::rate).or(usual.rate),
                }
            }
        }
    };
}

path! {
    /// `[network]`.
    Network { disk_ms: Option<RangeMs>, class: Vec<Spanned<Class>> }
}
path! {
    /// `[[network.class]]`, whose `share` must be given.
    Class { share: Option<Share> }
}
path! {
    /// A phase.
    Path {}
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BurstKeys {
    enter: Share,
    leave: Share,
    loss: Option<Share>,
}

impl BurstKeys {
    fn burst(&self) -> Burst {
        Burst { enter: self.enter.0, leave: self.leave.0, loss: self.loss.as_ref().map_or(1.0, |share| share.0) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateKeys {
    #[serde(deserialize_with = "kbit_s")]
    kbit_s: f64,
    burst_bytes: Option<Count>,
    queue_bytes: Option<Count>,
}

fn kbit_s<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, f64, D> {
    number(d, 0.1, 1e9)
}

impl RateKeys {
    fn rate(&self) -> Rate {
        let bytes_per_s = (self.kbit_s * 125.0) as u64;
        Rate {
            bytes_per_s,
            burst: self.burst_bytes.as_ref().map_or(3_000, |n| n.0 as u64),
            queue: self.queue_bytes.as_ref().map_or(bytes_per_s / 4, |n| n.0 as u64),
        }
    }
}
