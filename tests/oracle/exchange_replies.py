"""exchange_replies.py: what commands about files answer, compared with redis-server byte by byte."""


def play(run, tessera, redis):
    pass
