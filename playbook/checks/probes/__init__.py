"""Programs that run inside the migrated application and print what they found as one line of JSON.

They record facts, not verdicts. What a fact means for a check or for a claim of the guide is decided where
the check or the claim is written down.
"""
