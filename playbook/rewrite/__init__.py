"""Source in, source out: the rules that migrate an application, one module per rule.

A rule changes what it is certain about and leaves everything else as it was, with a refusal that says
where, why and what to do by hand. Rules are idempotent. They read and return text; they open no file.
"""
