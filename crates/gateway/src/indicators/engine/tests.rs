mod truth;
mod world;

mod limits;
mod model;
mod single;
