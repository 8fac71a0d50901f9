"""The gate before the web processes: it lets in what they can answer.

Sending away a sync costs a web process fifty microseconds, answering one a thousand. At
ten times the capacity that is half of the machine; here it is a tenth. A gate knows of
nothing but connections: it passes on bytes, counts syncs under way, and answers those
that are too many from a stock of refusals, which the web processes have written.
"""
