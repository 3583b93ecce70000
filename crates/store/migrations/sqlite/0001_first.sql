-- Times are RFC 3339 in UTC with six decimals, so that they sort; dates YYYY-MM-DD;
-- prices and strikes decimal texts in rupees, because they are exact; flags 0 or 1.

-- What users watch. `id` is given by the gateway and unique over both lists;
-- `used` grows with every use of any item; `anchor` is the price in rupees at which
-- the window was last calculated, `settled` whether that price was live.
CREATE TABLE watchlist (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    exchange TEXT NOT NULL,
    expiry_date TEXT,
    instrument_type TEXT NOT NULL,
    width INTEGER,
    mode TEXT NOT NULL,
    follow INTEGER NOT NULL,
    tier TEXT NOT NULL,
    added_at TEXT NOT NULL,
    added_order INTEGER NOT NULL,
    trading_day TEXT NOT NULL,
    last_used_at TEXT NOT NULL,
    used INTEGER NOT NULL,
    state TEXT NOT NULL,
    anchor TEXT,
    settled INTEGER NOT NULL,
    UNIQUE (user_id, exchange, symbol, expiry_date, instrument_type)
) STRICT;
-- The constraint takes two absent expiries for different ones; items must not.
CREATE UNIQUE INDEX watchlist_without_expiry
    ON watchlist (user_id, exchange, symbol, instrument_type) WHERE expiry_date IS NULL;

-- Explicit subscriptions, with the columns of the watchlist.
CREATE TABLE claims (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    exchange TEXT NOT NULL,
    expiry_date TEXT,
    instrument_type TEXT NOT NULL,
    width INTEGER,
    mode TEXT NOT NULL,
    follow INTEGER NOT NULL,
    tier TEXT NOT NULL,
    added_at TEXT NOT NULL,
    added_order INTEGER NOT NULL,
    trading_day TEXT NOT NULL,
    last_used_at TEXT NOT NULL,
    used INTEGER NOT NULL,
    state TEXT NOT NULL,
    anchor TEXT,
    settled INTEGER NOT NULL,
    UNIQUE (user_id, exchange, symbol, expiry_date, instrument_type, tier)
) STRICT;
-- The constraint takes two absent expiries for different ones; items must not.
CREATE UNIQUE INDEX claims_without_expiry
    ON claims (user_id, exchange, symbol, instrument_type, tier) WHERE expiry_date IS NULL;

-- Which end of day has run, by class of product.
CREATE TABLE eod_markers (
    class TEXT NOT NULL,
    day TEXT NOT NULL,
    ran_at TEXT NOT NULL,
    PRIMARY KEY (class, day)
) STRICT;

-- Projection, written behind: what is or was desired. Not read by recovery.
CREATE TABLE subscriptions (
    id INTEGER PRIMARY KEY,
    instrument_token TEXT NOT NULL UNIQUE,
    segment TEXT NOT NULL,
    security_id INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    exchange TEXT NOT NULL,
    expiry_date TEXT,
    strike_price TEXT,
    option_type TEXT,
    tier TEXT NOT NULL,
    mode TEXT NOT NULL,
    subscribed_at TEXT NOT NULL,
    ws_connection_id INTEGER,
    active INTEGER NOT NULL
) STRICT;

-- Projection, written behind: the window of each chain. `generated_strikes` is a JSON
-- array of rupees.
CREATE TABLE atm_cache (
    id INTEGER PRIMARY KEY,
    underlying_symbol TEXT NOT NULL,
    exchange TEXT NOT NULL,
    expiry_date TEXT NOT NULL,
    width INTEGER NOT NULL,
    current_ltp TEXT NOT NULL,
    atm_strike TEXT NOT NULL,
    strike_step TEXT,
    cached_at TEXT NOT NULL,
    generated_strikes TEXT NOT NULL,
    UNIQUE (underlying_symbol, exchange, expiry_date, width)
) STRICT;

-- The audit, in the order in which things happened.
CREATE TABLE subscription_log (
    id INTEGER PRIMARY KEY,
    action TEXT NOT NULL,
    instrument_token TEXT NOT NULL,
    reason TEXT NOT NULL,
    owner TEXT NOT NULL,
    timestamp TEXT NOT NULL
) STRICT;
CREATE INDEX subscription_log_by_token ON subscription_log (instrument_token, id);
CREATE INDEX subscription_log_by_time ON subscription_log (timestamp);

-- `last_item`: the largest item id ever given. `probe`: what is written to find out
-- whether the database can be written again.
CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
