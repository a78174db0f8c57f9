mod conflicts;
mod limits;
mod naive;
mod resolver;
mod vectors;
mod world;
