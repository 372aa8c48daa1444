"""Formats as patterns that match only texts which every validator accepts.

Narrower than the standards where validators differ. An unknown format is an annotation, as JSON
Schema specifies, and constrains nothing.
"""

_YEAR = "[1-9][0-9]{3}"
_LEAP_YEAR = "(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    f"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = f"{_CLOCK}:[0-5][0-9](?:\\.[0-9]{{1,9}})?(?:Z|[+-]{_CLOCK})"

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,20}[a-z0-9])?"
_PLAIN_LABEL = "[a-zA-Z0-9](?:(?:[a-zA-Z0-9]|-[a-zA-Z0-9]){0,30})?"
_HOST = f"{_PLAIN_LABEL}(?:\\.{_PLAIN_LABEL}){{0,3}}"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = f"{_BYTE}(?:\\.{_BYTE}){{3}}"
_GROUP = "[0-9a-fA-F]{1,4}"
_IPV6 = "|".join(
    [
        f"(?:{_GROUP}:){{7}}{_GROUP}",
        *(
            f"(?:{_GROUP}(?::{_GROUP}){{0,{before}}})?"
            f"::(?:{_GROUP}(?::{_GROUP}){{0,{5 - before}}})?"
            for before in range(6)
        ),
    ]
)
_PERCENT = "%[0-9A-Fa-f]{2}"
_UNRESERVED = "-A-Za-z0-9._~"
_SEGMENT = f"(?:[{_UNRESERVED}!$&'()*+,;=:@]|{_PERCENT})"
_QUERY = f"(?:[{_UNRESERVED}!$&'()*+,;=:@/?]|{_PERCENT})"
_REST = f"(?:\\?{_QUERY}*)?(?:#{_QUERY}*)?"
# Browsers treat a host whose last label is digits as an invalid IPv4 address.
_SITE = f"(?:{_PLAIN_LABEL}\\.){{0,3}}[a-z][a-zA-Z0-9]{{0,20}}"
_HTTP = f"https?://{_SITE}(?::[0-9]{{1,4}})?(?:/{_SEGMENT}*)*{_REST}"
_URI = f"(?:{_HTTP}|ftp://{_SITE}(?:/{_SEGMENT}*)*|urn:[a-z][a-z0-9]{{1,20}}:{_SEGMENT}+|mailto:[a-z0-9.]+@{_HOST})"
_PATH = f"(?:/?[{_UNRESERVED}]+(?:/[{_UNRESERVED}]+)*/?|/)"
_REFERENCE = f"(?:{_URI}|{_PATH}{_REST}|#{_QUERY}*)"
_POINTER = '(?:/(?:[^~/"\\\\\\x00-\\x1f\\x7f-\\u{10ffff}]|~[01])*)*'
_LOCAL = "[A-Za-z0-9_+-]{1,20}(?:\\.[A-Za-z0-9_+-]{1,20}){0,2}"  # at most 64 characters
_SHORT_LABEL = "[a-zA-Z0-9](?:(?:[a-zA-Z0-9]|-[a-zA-Z0-9]){0,15})?"
_EMAIL = f"{_LOCAL}@{_SHORT_LABEL}(?:\\.{_SHORT_LABEL}){{1,3}}"
_N = "[0-9]{1,6}"  # more would overflow the durations of some languages
_CLOCK_PART = f"T(?:{_N}H(?:{_N}M(?:{_N}S)?)?|{_N}M(?:{_N}S)?|{_N}S)"
_DATE_PART = f"(?:{_N}Y(?:{_N}M(?:{_N}D)?)?|{_N}M(?:{_N}D)?|{_N}D)"
_BASE64 = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"

#: Format -> a pattern of the whole text.
PATTERNS = {
    name: f"^(?:{pattern})$"
    for name, pattern in {
        "date": _DATE,
        "full-date": _DATE,
        "time": _TIME,
        "full-time": _TIME,
        "date-time": f"{_DATE}T{_TIME}",
        "duration": f"P(?:{_DATE_PART}(?:{_CLOCK_PART})?|{_CLOCK_PART}|{_N}W)",
        "email": _EMAIL,
        "idn-email": _EMAIL,
        "hostname": _HOST,
        "host-name": _HOST,
        "idn-hostname": _LABEL.replace("-]", "]").replace("[a-z0-9-", "[a-z0-9"),
        "ipv4": _IPV4,
        "ip-address": _IPV4,
        "ipv6": _IPV6,
        "uri": _URI,
        "url": _URI,
        "iri": _URI,
        "uri-reference": _REFERENCE,
        "iri-reference": _REFERENCE,
        "uriref": _REFERENCE,
        "uri-template": f"(?:{_URI}|(?:/(?:[{_UNRESERVED}]+|\\{{[a-z][a-z0-9_]*\\}}))+)",
        "uuid": "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
        "json-pointer": _POINTER,
        "relative-json-pointer": f"(?:0|[1-9][0-9]*)(?:#|{_POINTER})",
        "regex": "\\^?(?:[A-Za-z0-9_ :/,-]|\\[[a-z]+\\]|\\\\[dws.])*[+*?]?\\$?".replace(
            "*[+*?]?", "*(?:[A-Za-z0-9][+*?])?"
        ),
        "byte": _BASE64,
    }.items()
}

#: Integer formats of OpenAPI -> their minimum and maximum.
INTEGERS = {
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint8": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
