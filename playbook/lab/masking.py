"""Hide credentials in any text that may be shown: logs, errors, reports, notebooks.

Needs nothing but the standard library, so that every other module can use it.
"""

from __future__ import annotations

import re

MASK = "***"

# The first alternative is the user part of a well-formed URL: all up to the last `@` before the path. The
# second one covers passwords that were pasted without percent-encoding and hold a slash. On the web, where an
# `@` in a path is common, what looks like a port is taken for one. All repetitions are bounded or possessive,
# so that a long text takes linear time.
_USER_INFO = re.compile(
    r"""(?<! [a-zA-Z0-9+.-] )
        (?! (?:https?|wss?):// [^\s/'"<>@]{0,255} : \d{0,5} (?:[/?\#]|$) )
        (?P<scheme> [a-zA-Z0-9+.-]++:// )
        (?: [^\s/'"<>]{0,512}@
          | [^\s/'"<>@]{0,255} : [^\s'"<>]{0,512}@ )""",
    re.VERBOSE,
)
_SECRET_PARAMETER = re.compile(
    r"""(?P<name> [?&][\w.-]{0,64}
          (?:password|passwd|secret|token|api_?key|signature|credential)
          [\w.-]{0,64}= )
        [^&\s'"<>]+""",
    re.VERBOSE | re.IGNORECASE,
)


def mask_url(text: str) -> str:
    """Replace the credentials of every URL in a text by `***`.

    Hidden are the whole user part (`redis://:secret@host` becomes `redis://***@host`) and the values of query
    parameters whose name tells that they are secret (`?password=`, `&api_key=`, `X-Amz-Signature=`, ...).

    Parameters:
        text: any text, with any number of URLs in it.

    Returns:
        The same text without credentials. Masking twice changes nothing more.
    """
    text = _USER_INFO.sub(rf"\g<scheme>{MASK}@", text)
    return _SECRET_PARAMETER.sub(rf"\g<name>{MASK}", text)
