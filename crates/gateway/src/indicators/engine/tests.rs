mod truth;
mod world;

mod model;
mod single;
