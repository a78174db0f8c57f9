//! KEM epochs between two machines.

use super::*;
