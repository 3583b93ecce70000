//! Who keeps an indicator alive, and its latest value; in memory or in Redis.
