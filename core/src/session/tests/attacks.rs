//! What an attacker sends, and what it changes: nothing.

use super::*;
