//! What only RabbitMQ can do: go away, lose a queue, be misconfigured.
