//! nats-py.
