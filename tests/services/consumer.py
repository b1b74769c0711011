"""A provider's own consumer, as its IT team would write it. It says what happens in lines of JSON.

    consumer.py URL QUEUE take COUNT     takes so many messages and acknowledges each
    consumer.py URL QUEUE reject COUNT   takes so many and refuses each for good
    consumer.py URL QUEUE try            tries what a consumer may want or must not do; which is allowed
"""

import base64
import json
import sys

import pika

PATIENCE_S = 60


def say(**what):
    print(json.dumps(what), flush=True)


def take(connection, queue, verb, count):
    channel = connection.channel()
    channel.basic_qos(prefetch_count=10)
    for method, properties, body in channel.consume(queue, inactivity_timeout=PATIENCE_S):
        if method is None:
            sys.exit("nothing came for a long time")
        say(
            message_id=properties.message_id,
            correlation_id=properties.correlation_id,
            content_type=properties.content_type,
            type=properties.type,
            timestamp=properties.timestamp,
            delivery_mode=properties.delivery_mode,
            headers=properties.headers,
            redelivered=method.redelivered,
            body=base64.b64encode(body).decode(),
        )
        if verb == "reject":
            channel.basic_reject(method.delivery_tag, requeue=False)
        else:
            channel.basic_ack(method.delivery_tag)
        count -= 1
        if count == 0:
            break
    channel.cancel()


def attempt(connection, name, work):
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        work(channel)
        say(tried=name, allowed=True)
        channel.close()
    except pika.exceptions.ChannelClosedByBroker as error:
        say(tried=name, allowed=False, code=error.reply_code)


def try_all(connection, queue):
    def publish(exchange, key):
        return lambda channel: channel.basic_publish(exchange, key, b"{}", mandatory=True)

    attempt(connection, "get", lambda channel: channel.basic_get(queue))
    attempt(connection, "consume", lambda channel: channel.basic_consume(queue, lambda *_: None))
    attempt(connection, "ask", lambda channel: channel.queue_declare(queue, passive=True))
    attempt(connection, "empty", lambda channel: channel.queue_purge(queue))
    attempt(connection, "publish to the queue", publish("", queue))
    attempt(connection, "publish a referral", publish("onward.referrals", "life-rooms"))
    attempt(connection, "publish a parcel", publish("onward.parcels", queue.removeprefix("amqp.")))
    attempt(connection, "delete", lambda channel: channel.queue_delete(queue))
    attempt(connection, "declare", lambda channel: channel.queue_declare("amqp-of-my-own", durable=True))
    attempt(connection, "bind", lambda channel: channel.queue_bind(queue, "onward.referrals", "life-rooms"))


def main():
    url, queue, verb, *rest = sys.argv[1:]
    connection = pika.BlockingConnection(pika.URLParameters(url))
    if verb == "try":
        try_all(connection, queue)
    else:
        take(connection, queue, verb, int(rest[0]))
    connection.close()


main()
