"""gRPC: parse, call and answer, like the views; what is decided, others decide.

``server`` listens, ``servicer`` takes calls as they come, ``workers`` gives each a
thread, ``calls`` does what REST's views do, in the same order.
"""
