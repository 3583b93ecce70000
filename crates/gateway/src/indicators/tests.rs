mod fake;
mod races;
mod shared;
mod single;
mod values;
