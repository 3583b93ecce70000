//! Runs the built command line. What is right is worked out from the text of the
//! master by plain splitting, not by the crates that the program uses.

mod chain;
mod instruments;
mod naive;
mod program;
mod real;
mod sim;
mod usage;
