"""`orderflow demo`: orders' whole lives on real Kafka and Redis, shown live and checked at the end.

- script: who says what about an order, how long after which fact; story, stories: what that is to
  come to; traffic: further orders, by a seed
- cast: the actors, who play the scripts on Kafka; tap, seen: what lies on the topics, and in the
  ledger of the payment provider
- stage: a run; pace: a slow machine gets a slow clock; verdict: whether all came out as told
- words, timeline, view, live, ending: what is shown; command: the composition root
"""
