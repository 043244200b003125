"""The ways to pay for one trace: per token, subscription, credits, dedicated machines, a negotiated minimum, mixes.

Every way answers the same question: what does this trace cost when its volume is multiplied by a factor? Money is
whole picodollars or exact fractions of them; no float takes part in a sum.
"""
