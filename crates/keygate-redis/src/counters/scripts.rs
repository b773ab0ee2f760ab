//! The scripts of the counters, put together from the files in `script/`.

/// The script of a charge.
pub(super) const CHARGE: &str = concat!(
    "local pays = true\n",
    include_str!("script/now.lua"),
    include_str!("script/usual.lua"),
    include_str!("script/put.lua"),
    include_str!("script/owners.lua"),
    include_str!("script/value.lua"),
    include_str!("script/decide.lua"),
);

/// The same, and slots with it.
pub(super) const TAKE: &str = concat!(
    "local function charge(KEYS, ARGV, pays)\n",
    include_str!("script/now.lua"),
    include_str!("script/usual.lua"),
    include_str!("script/put.lua"),
    include_str!("script/owners.lua"),
    include_str!("script/value.lua"),
    include_str!("script/decide.lua"),
    "end\n",
    include_str!("script/take.lua"),
);

/// The script of a correction.
pub(super) const CORRECT: &str = concat!(
    include_str!("script/now.lua"),
    include_str!("script/put.lua"),
    include_str!("script/value.lua"),
    include_str!("script/correct.lua"),
);

/// The script that forgets what an owner used.
pub(super) const RESET: &str = include_str!("script/reset.lua");

/// The script that renews the leases of slots.
pub(super) const RENEW: &str = include_str!("script/renew.lua");
