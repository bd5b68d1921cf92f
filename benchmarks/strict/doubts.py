r"""Words that deny an answer, bound it, blur it, or take it back, in several languages.

Every pattern is tried on bounded text, as those of `phrases` are.
"""

from __future__ import annotations

import re

I_CASE = re.IGNORECASE

NOT_BEFORE = re.compile(
    r"(?:\b(?:not|isn['’]?t|never|cannot\s+be|can['’]?t\s+be|neither|nor|rather\s+than|instead\s+of|не|nicht|pas|niet|nie|não\s+é"
    r"|no\s+es|non\s+è)"
    r"(?:\s+(?:equal\s+to|equal|be|simply|just|really|the|to\s+be|è|é|es))*|不是|不可能是?|不等于|不为|并非|不應是|≠|\\neq?\b|\\not\s*="
    r"|ではなく)\s*$",
    I_CASE,
)
_THIS = (
    r"(?:that|this|it|which|the\s+above|above|my\s+(?:answer|result|box|work)|the\s+(?:boxed\s+)?(?:answer|result|value"
    r"|box)(?:\s+above)?)"
)
_BAD = (
    r"(?:wrong|incorrect|mistaken|false|invalid|not\s+(?:right|correct|true|valid|possible|it|the\s+(?:correct\s+|right\s+)?answer)"
    r"|a\s+mistake|an\s+error|impossible)"
)
TAKEN_BACK = re.compile(
    rf"\b{_THIS}\s+(?:is|was|seems|looks|must\s+be|can(?:no|['’])t\s+be(?:\s+(?:right|correct))?)(?:\s+(?:actually|clearly|obviously"
    rf"|completely|surely|also))?\s+{_BAD}"
    rf"|\b{_THIS}\s+(?:can(?:not|['’]t)\s+be|does(?:\s+not|n['’]t)\s+(?:seem|look|sound|feel))\s+(?:right|correct|true|possible)"
    rf"|\b(?:that|this)['’]s\s+(?:actually\s+|clearly\s+)?{_BAD}|\b(?:that|this|it)\s+(?:isn|wasn)['’]t\s+(?:right|correct|true|it)"
    r"|\bI\s+(?:have\s+|had\s+|['’]ve\s+)?(?:made|find|found|see|spot(?:ted)?)\s+(?:an?|my|the)\s+(?:\w+\s+)?(?:mistake|error|slip)"
    r"|\bI\s+(?:was|am)\s+(?:wrong|mistaken)|\b(?:scratch|ignore|disregard|retract|forget)\s+(?:that|this|it|the\s+above|my)"
    r"|\btake\s+(?:that|it|this)\s+back|不对|这是错的|错误的|有误|算错|это\s+неверно|c['’]est\s+faux|das\s+ist\s+falsch"
    r"|es\s+incorrecto|está\s+mal",
    I_CASE,
)
"""The text behind an answer that withdraws it."""
WITHDRAWN_AT_ONCE = re.compile(
    rf"[\s$\\)\].,*}}]*(?:is|was|seems|looks|would\s+be)\s+(?:actually\s+|clearly\s+|also\s+)?{_BAD}|[\s$\\)\].,*}}]*(?:是错的"
    rf"|不对|不正确)",
    I_CASE,
)
QUALIFIER = re.compile(
    r"\b(?:not|never|no|neither|nor|at\s+(?:least|most)|(?:no\s+)?(?:more|less|fewer|greater|smaller|larger|bigger|higher"
    r"|lower)(?:\s+than)?|about|approximately|approx|around|nearly"
    r"|almost|roughly|between|above|below|exceeds?|exceeding|twice|half|double|triple|thrice|minus|plus|negative|times|squared?|cubed?"
    r"|sum|product|difference|factorial"
    r"|cannot|can['’]?t|isn['’]?t|aren['’]?t|doesn['’]?t|don['’]?t|couldn['’]?t|wrong|incorrect|divided|multiplied|multiples?|factors?"
    r"|divisors?|divisible|power|root|logarithm|log|unless|if|either"
    r"|approximat\w*|in\s+\d+|minimum\s+of|maximum\s+of|up\s+to|out\s+of|hundred|thousand|million|billion|dozen|dozens|pairs?|over|under"
    r"|не|более|менее|больше|меньше|около|примерно|не\s+менее|не\s+более|приблизительно|nicht|mindestens|höchstens|etwa|ungefähr|rund"
    r"|mehr|weniger|zwischen"
    r"|pas|environ|moins|plus|entre|peu\s+près|menos|más|aproximadamente|acerca|cerca|mais|meno|più|circa|almeno)\b"
    r"|[≈≥≤≠<>]|\\(?:approx|leq?|geq?|neq?)(?![a-zA-Z])|不|非|大于|小于|至少|至多|最多不|约|大约|超过|少于|多于|近|之间|左右|以上|以下"
    r"|未满|より|以上|以下|약|이상|이하|미만|초과",
    I_CASE,
)
"""Words that change a value: what contains one of them goes to the reader as it stands."""
AFTER_VALUE = re.compile(
    r"\s*(?:(?:more|less|fewer|greater|smaller)\s+than|times\b|squared|cubed|factorial|out\s+of|to\s+the|or\s+(?:more|less|so|fewer"
    r"|higher|greater|above|below)|and\s+(?:a|one)\s+(?:half|third|quarter)"
    r"|minus|plus|divided|multiplied|hundred|thousand|million|billion|trillion|dozen|if\b|unless\b|depending|otherwise"
    r"|when\b[^.]*\b(?:when|if|otherwise)\b|以上|以下|左右|之间|이상|이하|is\s+(?:not|wrong|incorrect|too|impossible)|(?:is|are)n['’]t"
    r"|does(?:n['’]t|\s+not)"
    r"|cannot|fails|\+|-\s*\d|万|亿|百|千)",
    I_CASE,
)
NEGATION = re.compile(
    r"\b(?:not|never|neither|nor|isn['’]t|aren['’]t|wasn['’]t|cannot|can['’]t|doesn['’]t|don['’]t\s+(?:think|believe)|не|nicht)\b|不是|不可能|不等于|不为|并非|≠"
    r"|\\neq?(?![a-zA-Z])",
    I_CASE,
)
"""What negates a plain statement."""
VAGUE = re.compile(
    r"\b(?:approximately|about|roughly|nearly|almost|at\s+(?:least|most)|probably\s+not|hardly)\b"
    r"|大约|约|至少|至多|最多|超过|不|未必|大概",
    I_CASE,
)
"""What makes a value inexact, before the verb."""
