//! What stands below the help of each command: examples.

pub(crate) const TOP: &str = "\
Examples:
  strikewire instruments fetch --compact -o master.csv
  strikewire instruments search master.csv nifty 25500 ce
  strikewire chain master.csv RELIANCE 24FEB2026 --ltp 1441.5
  strikewire watch NIFTY BANKNIFTY --chain NIFTY
  strikewire status --follow

Commands that talk to a server ask the one at --server or STRIKEWIRE_SERVER, with the key in
STRIKEWIRE_API_KEY where it wants one.

Exit status: 0 done, 1 it cannot be done, 2 wrong usage.";

pub(crate) const STATS: &str = "\
Examples:
  strikewire instruments stats master.csv.gz
  strikewire instruments stats master.csv --as-of 2026-02-09 --json";

pub(crate) const FIND: &str = "\
Examples:
  strikewire instruments find master.csv NSE_FNO:35060
  strikewire instruments find master.csv RELIANCE_24FEB_1440CE
  strikewire instruments find master.csv BSE:RELIANCE --json";

pub(crate) const SEARCH: &str = "\
Examples:
  strikewire instruments search master.csv nifty 25500 ce
  strikewire instruments search master.csv gold fut --limit 3
  strikewire instruments search master.csv reliance --kind OPTSTK --segment NSE_FNO --json";

pub(crate) const EXPIRIES: &str = "\
Examples:
  strikewire instruments expiries master.csv NIFTY
  strikewire instruments expiries master.csv SENSEX --exchange BSE --json";

pub(crate) const LADDER: &str = "\
Examples:
  strikewire instruments ladder master.csv NIFTY 10FEB2026
  strikewire instruments ladder master.csv CRUDEOIL 2026-02-17 --exchange MCX --json";

pub(crate) const DIFF: &str = "\
Example:
  strikewire instruments diff yesterday.csv today.csv --as-of 2026-02-09";

pub(crate) const GENERATE: &str = "\
Examples:
  strikewire instruments generate -o master.csv
  strikewire instruments generate --as-of 2026-02-09 --rows 50000 --seed 7 -o small.csv.gz";

pub(crate) const FETCH: &str = "\
The file is checked before it takes the place of an older one: it has to be a whole master of
the layout that was asked for. When it is the same as last time, nothing is transferred. What
was interrupted goes on where it stopped, where the server can do that.

Beside FILE, FILE.part is what has come so far, and FILE.fetched says which version FILE is.

Examples:
  strikewire instruments fetch -o master.csv
  strikewire instruments fetch --detailed -o detailed.csv.gz
  strikewire instruments fetch --url http://127.0.0.1:9010 -o master.csv     from `strikewire sim`";

pub(crate) const CHAIN: &str = "\
Examples:
  strikewire chain master.csv RELIANCE 24FEB2026 --ltp 1441.5
  strikewire chain master.csv NIFTY 10FEB2026 --ltp 25867.3 --width 11 --json";

pub(crate) const PLAN: &str = "\
Examples:
  strikewire plan --instruments master.csv
  strikewire plan --config strikewire.toml --instruments master.csv --prices prices.json --json";

pub(crate) const SIM: &str = "\
Examples:
  strikewire sim --instruments master.csv
  strikewire sim --instruments master.csv --clock 2026-02-09T10:00:00+05:30@1 --seed 7
  strikewire sim --instruments master.csv --script faults.toml --listen 127.0.0.1:9010";

pub(crate) const STATUS: &str = "\
Exit status 0 means that the server has answered, whatever it says of itself.

Examples:
  strikewire status
  strikewire status --follow
  strikewire status --json | jq .readiness.status";

pub(crate) const WATCH: &str = "\
On a terminal a table that stays in place: green went up, red went down. Elsewhere a line per
change. With --json one document, as soon as everything has a value or the time is up:
{\"complete\", \"quotes\":{TOKEN:{...}}, \"chain\":{...}|null, \"missing\":[...]}.

A connection that is lost is made again; what was missed of a chain is caught up with.

Exit status 0 also means that the time was up before everything had a value: then \"complete\" is
false, and \"missing\" says what has none. When the server has answered nothing until then, it is 1.

Examples:
  strikewire watch NIFTY BANKNIFTY RELIANCE_24FEB2026_1440CE
  strikewire watch --chain NIFTY 10FEB2026 --width 11
  strikewire watch GOLD_02APR2026_FUT --every 1000 | tee gold.log
  strikewire watch NIFTY --json --timeout 5";

pub(crate) const SUBS_LIST: &str = "\
Examples:
  strikewire subs list
  strikewire subs list --symbol NIFTY --tier TIER_A
  strikewire subs list --all --json";

pub(crate) const SUBS_EXPLAIN: &str = "\
Examples:
  strikewire subs explain RELIANCE
  strikewire subs explain NSE_FNO:35060 --json";

pub(crate) const WATCHLIST_ADD: &str = "\
Examples:
  strikewire watchlist add --user 7 RELIANCE --expiry 24FEB2026
  strikewire watchlist add --user 7 NIFTY --type INDEX_OPTION --width 51
  strikewire watchlist add --user 7 TCS --type EQUITY --mode quote";

pub(crate) const WATCHLIST_REMOVE: &str = "\
Examples:
  strikewire watchlist remove --user 7 RELIANCE
  strikewire watchlist remove --user 7 NIFTY --expiry 10FEB2026 --type INDEX_OPTION";

pub(crate) const WATCHLIST_LIST: &str = "\
Examples:
  strikewire watchlist list --user 7
  strikewire watchlist list --user 7 --json";

pub(crate) const ADMIN_UNSUBSCRIBE: &str = "\
Example:
  strikewire admin unsubscribe-all-tier-a";

pub(crate) const ADMIN_REBALANCE: &str = "\
Example:
  strikewire admin rebalance";

pub(crate) const ADMIN_INVALIDATE: &str = "\
Example:
  strikewire admin invalidate-expiry NIFTY 10FEB2026";

pub(crate) const ADMIN_RELOAD: &str = "\
Example:
  strikewire admin reload-config";

pub(crate) const ADMIN_WS_STATUS: &str = "\
Examples:
  strikewire admin ws-status
  strikewire admin ws-status --json";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  strikewire completions bash > ~/.local/share/bash-completion/completions/strikewire
  strikewire completions zsh > ~/.zfunc/_strikewire
  strikewire completions fish > ~/.config/fish/completions/strikewire.fish";
