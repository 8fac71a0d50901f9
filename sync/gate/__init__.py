"""The gate before the web processes: it lets in what they can answer.

Sending away a sync costs a web process fifty microseconds, answering one a thousand. At
ten times the capacity that is half of the machine; here it is a tenth. A gate knows of
nothing but connections. Usual syncs it brings to the web processes whole, by the dozen
(``channel``, and ``serving`` at the other end); those that are too many it answers from
a stock of refusals, which the web processes have written; everything else it passes on
as bytes.
"""
