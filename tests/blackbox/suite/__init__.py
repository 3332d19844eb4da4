"""The machinery of the black-box suite: raw clients, a recording origin, the proxies, judging and reporting."""
