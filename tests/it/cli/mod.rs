//! The command line as scripts use it: exit codes, formats, and what goes where.

mod bench;
mod exits;
mod proxy;
mod results;
mod running;
mod samples;
mod waiting;
mod watch;
