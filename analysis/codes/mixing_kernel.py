"""Adaptive decisions by logistic mixing of several models, in integers."""

from analysis.codes.coder_kernel import code_bit

LOGIT_LIMIT = 2840
STATE_START = (1 << 30)
COUNT_MASK = 1023


def mix_bit(coder, data, mixer, slots, num_inputs, weight_set, bit):
    states, weights, counts, logits, stretch, squash, reciprocal, rates, cost = mixer
    base = weight_set * num_inputs
    total = 0
    for i in range(num_inputs):
        logit = int(stretch[states[slots[i]] >> 15])
        logits[i] = logit
        total += weights[base + i] * logit
    x = total >> 16
    if x > LOGIT_LIMIT:
        x = LOGIT_LIMIT
    elif x < -LOGIT_LIMIT:
        x = -LOGIT_LIMIT
    probability = int(squash[x + LOGIT_LIMIT])
    bit = code_bit(coder, data, probability, bit)
    n = counts[weight_set]
    error = ((bit << 16) - probability) * int(rates[n])
    if n < len(rates) - 1:
        counts[weight_set] = n + 1
    for i in range(num_inputs):
        weights[base + i] += (logits[i] * error) >> 24
        learn(states, slots[i], bit, reciprocal)
    return bit

def learn(states, slot, bit, reciprocal):
    state = int(states[slot])
    count = state & COUNT_MASK
    probability = state >> 10
    probability += (((bit << 21) - bit - probability) * int(reciprocal[count])) >> 16
    if count < len(reciprocal) - 1:
        count += 1
    states[slot] = (probability << 10) | count
