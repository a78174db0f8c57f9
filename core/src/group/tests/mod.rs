mod conflicts;
mod hostile;
mod limits;
mod naive;
mod resolver;
mod vectors;
mod world;
