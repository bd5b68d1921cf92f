r"""Words that deny an answer, bound it, blur it, or take it back, in several languages.

Every pattern is tried on bounded text, as those of `phrases` are.
"""

from __future__ import annotations

import re

I_CASE = re.IGNORECASE

_MARKS = r"(?:[\s$*({\[`:：}~]|\\[(\[,;! ])*$"
"""What may stand between words and the mathematics that they speak of."""
NOT_BEFORE = re.compile(
    r"(?:\b(?:not|isn['’]?t|never|cannot\s+be|can['’]?t\s+be|neither|nor|rather\s+than|instead\s+of|не|nicht|pas|niet|nie|não\s+é"
    r"|no\s+es|non\s+è|değil|bukan|không\s+phải)"
    r"(?:\s+(?:equal\s+to|equal|be|simply|just|really|the|to\s+be|è|é|es|égale?\s+à|igual\s+a|gleich|равен|равна|равно))*"
    r"|不是|不可能是?|不等于|不为|并非|不應是|≠|\\neq?\b|\\not\s*=|ではなく)" + _MARKS,
    I_CASE,
)
_LATIN_BOUND = (
    r"(?:más|menos|mayor(?:es)?|menor(?:es)?|mais|maior|meno|più|maggior[ei]|minor[ei]|plus|moins|superior[ei]?|inferior[ei]?|supérieure?"
    r"|inférieure?|größer|kleiner|mehr|weniger|meer|minder|groter|kleiner|więcej|mniej|większ\w+|mniejsz\w+|lebih|kurang|hơn|больше|меньше"
    r"|более|менее|выше|ниже)(?:\s+(?:grande|petite?|alt[oa]|o\s+igual|ou\s+égale?|ou\s+igual|oder\s+gleich|o\s+uguale))?"
    r"(?:\s+(?:que|de|di|a|à|al?|do|als|dan|niż|od|dari|чем))?"
    r"|(?:al|por\s+lo|como|a\s+lo|au|pelo|ao|no|al)\s+(?:menos|mínimo|máximo|sumo|mucho|plus|moins|minimum|maximum|massimo|minimo|più)"
    r"|almeno|mindestens|höchstens|minstens|hoogstens|maximal|minimal|co\s+najmniej|najwyżej|tối\s+(?:thiểu|đa)|ít\s+nhất|nhiều\s+nhất"
    r"|по\s+(?:крайней|меньшей)\s+мере|как\s+минимум|максимум|превышает|превосходит|свыше|en\s+(?:az|fazla)|minst|högst|entre|zwischen"
    r"|между"
)
_ASIAN_BOUND = r"大于|小于|大於|小於|至少|至多|最多|最少|超过|超過|不少于|不多于|不到|多于|少于|不超过|介于"
BOUND_BEFORE = re.compile(
    r"(?:(?:\b(?:is|are|was|were|be|equals?|answer)|[=:])[\s$*]*at\s+(?:least|most|best|worst|the\s+(?:very\s+)?(?:least|most))"
    r"|(?<!least\s)(?<!greatest\s)(?:upper|lower)\s+bound\s+(?:is|of)|\bbetween\s+[^\s$]{1,20}\s+and|(?<!nothing\s)\b(?:more|less|fewer"
    r"|greater|smaller|larger|bigger|higher|lower)\s+than(?:\s+or\s+equal\s+to)?"
    r"|\b(?:is|are|was|were|be|just|only|well|slightly|a\s+little|somewhat)\s+(?:over|under|above|below|beyond|up\s+to)"
    r"|\bexceed(?:s|ing)?|\bbounded\s+(?:above\s+|below\s+)?by|\bno\s+(?:more|fewer|less)\s+than"
    rf"|\b(?:{_LATIN_BOUND})|(?:{_ASIAN_BOUND})[是为為]?)(?:\s+(?:exactly|the\s+number|about|of))?" + _MARKS,
    I_CASE,
)
"""What stands before an answer that is only a bound."""
SUPPOSED_BEFORE = re.compile(rf"\b(?:suppose|assume)\b[^,.;:\n]{{0,60}}(?:=|\bis)?{_MARKS}", I_CASE)
"""What stands before a value that is only supposed."""
BOUND_ALONE = re.compile(rf"(?:^|[.!?\n])\s*at\s+(?:least|most|best){_MARKS}", I_CASE)
"""The same, where nothing but the answer follows."""
_THIS = (
    r"(?:that|this|it|which|the\s+above|above|my\s+(?:answer|result|box|work)|the\s+(?:boxed\s+)?(?:answer|result|value"
    r"|box)(?:\s+above)?)"
)
_WRONG = (
    r"(?:wrong|incorrect|mistaken|false|invalid|not\s+(?:right|correct|true|valid|it|the\s+(?:correct\s+|right\s+)?answer)"
    r"|a\s+mistake|an\s+error|falsch|faux|fals[oa]|incorrect[oa]|errad[oa]|sbagliat[oa]|неверн\w*|неправильн\w*)"
)
_BAD = rf"(?:{_WRONG}|impossible|not\s+possible)"
TAKEN_BACK = re.compile(
    rf"\b{_THIS}\s+(?:is|was|seems|looks|must\s+be|can(?:no|['’])t\s+be(?:\s+(?:right|correct))?)(?:\s+(?:actually|clearly|obviously"
    rf"|completely|surely|also))?\s+{_WRONG}"
    rf"|\b{_THIS}\s+(?:can(?:not|['’]t)\s+be|does(?:\s+not|n['’]t)\s+(?:seem|look|sound|feel))\s+(?:right|correct|true|possible)"
    rf"|\b(?:that|this)['’]s\s+(?:actually\s+|clearly\s+)?{_WRONG}|\b(?:that|this|it)\s+(?:isn|wasn)['’]t\s+(?:right|correct|true|it)"
    r"|\bI\s+(?:have\s+|had\s+|['’]ve\s+)?(?:made|find|found|see|spot(?:ted)?)\s+(?:an?|my|the)\s+(?:\w+\s+)?(?:mistake|error|slip)"
    r"|\b(?:I|we)\s+(?:had\s+|have\s+|['’]ve\s+)?(?:missed|overlooked|miscounted|miscalculated|misread|overcounted|undercounted"
    r"|misinterpreted"
    r"|double[\s-]counted|forgot(?:ten)?(?!\s+to\s+(?:mention|say|add\s+that)))\b|\bI\s+(?:really\s+|actually\s+)?meant\b(?!\s+(?:that"
    r"|by)\b)"
    r"|\bthat\s+does(?:n['’]t|\s+not)\s+(?:account|include|count|consider|cover)\b"
    r"|\b(?:but|hmm|wait)\b[^.\n]{0,10}\b(?:on|after|upon)\s+(?:re-?check\w*|re-?count\w*|re-?examin\w*|reflection"
    r"|(?:a\s+)?closer\s+(?:look|inspection))\b"
    r"(?!,?\s+(?:it|this|that)\s+(?:holds|works|is\s+(?:right|correct|fine)))"
    r"|\bthat\s+(?:(?:double|over|under)[\s-]?counts|misses|overlooks|forgets)\b"
    r"|\bI\s+(?:was|am|['’]m)\s+(?:wrong|mistaken|torn|undecided)\b|\bcan(?:no|['’])t\s+(?:decide|choose)\b|\b(?:scratch|ignore"
    r"|disregard|retract|forget|strike)\s+(?:that|this|it|the\s+above|my)\b(?!\s+(?:case|factor|we|the))"
    r"|\btake\s+(?:that|it|this)\s+back|不对|这是错的|错误的|有误|算错|это\s+неверно|c['’]est\s+faux|das\s+ist\s+falsch"
    r"|es\s+incorrecto|está\s+mal",
    I_CASE,
)
"""The text behind an answer that withdraws it."""
IMPOSSIBLE = re.compile(
    rf"[^.!?\n]{{0,60}}(?:[.!?]\s*)?(?:[a-z]{{1,10}},?\s{{1,2}}){{0,3}}\b{_THIS}\s+"
    r"(?:is|was|seems)\s+(?:\w+\s+)?(?:impossible(?!\s+(?:for|to|that))|not\s+possible)",
    I_CASE,
)
"""The same, right behind it: further on it may be a step of a proof."""
_CLOSES = r"(?:[\s$.,*}~)\]]|\\[)\],;! ]|\\text\s*\{[^{}]{0,30}\})*"
WITHDRAWN_AT_ONCE = re.compile(
    rf"{_CLOSES}(?:[-–—(]\s*(?:extraneous|spurious|rejected|discarded|inadmissible)\b|(?:[-–—(]\s*|\bis\s+|\bwas\s+|\bseems\s+"
    rf"|\blooks\s+|\bwould\s+be\s+|\bbut\s+)(?:actually\s+|clearly\s+|also\s+|still\s+"
    rf"|that\s+is\s+|no,\s*)?{_BAD}\b(?!\s+(?:answer|value|result|approach|count|root|option|choice|to\b))"
    r"|(?:is|are|was|seems|looks)\s+(?:clearly\s+|still\s+|much\s+|far\s+|slightly\s+|a\s+bit\s+)?too\s+(?:small|large|big|high|low|few"
    r"|many|much|little|great)"
    r"|(?:must|should|can|has\s+to|is\s+to|is|was)\s+(?:be\s+)?(?:rejected|discarded|excluded|ruled\s+out|thrown\s+(?:out|away)|dismissed"
    r"|eliminated)|(?:can(?:no|['’])t|does(?:\s+not|n['’]t)|is\s+not|isn['’]t)\s+(?:be|work|hold|satisfy|valid|allowed|possible|the\b"
    r"|an?\b)"
    r"|fails\b|is\s+(?:only|merely|just|at\s+best|but)?\s*an?\s+(?:\w+\s+)?(?:upper|lower)\s+bound|(?:at\s+(?:most|least|best"
    r"|the\s+most)|or\s+so)\b"
    r"|(?:wrong|incorrect|oops|nope)\s*[!.,:;]|[?？]|(?:is|are)\s+(?:extraneous|spurious|not\s+(?:right|correct|valid))\b"
    r"|是错的|不对|不正确|不成立|以上|以下|以内|左右|舍去|ではな|ではあり|이\s*아니|가\s*아니|이상|이하)",
    I_CASE,
)
"""What stands right behind an answer that it withdraws."""
CORRECTION = re.compile(
    r"[\s($*.;,—–-]*(?:(?:oops|hold\s+on|on\s+second\s+thoughts?|correction|scratch\s+that|sorry|wait|no|nope|hmm+|actually|edit|update"
    r"|rather|or"
    r"\s+rather|wrong|incorrect|I\s+meant?|I\s+mean)\b[\s,.:!—–-]*){1,4}(?:(?:so|then|and|but)\s+)?(?:(?:it|that|this)(?:['’]s|\s+is"
    r"|\s+should\s+(?:have\s+been|be)|\s+must\s+be)\s+|make\s+(?:it|that)\s+|I\s+(?:now\s+)?(?:mean|meant|get|got)\s+)?(?:actually\s+"
    r"|really\s+)?[:\s]*",
    I_CASE,
)
"""What opens a sentence that gives another answer."""
OTHER_CASE = re.compile(
    r"\b(?:if|had|were|without|unless|with|suppose|supposing|assuming|allowing)\b[^.;\n]{0,200}\bwould\s+(?:\w+\s+)?(?:be|have\s+been"
    r"|become)\b"
    r"|\bwould\s+(?:\w+\s+)?(?:be|have\s+been|become)\b[^.;\n]{0,80}\b(?:if|had|were|without|unless)\b",
    I_CASE,
)
"""A sentence that tells the answer to another question."""
OTHER_CASE_BEFORE = re.compile(
    r"\b(?:had|were|without|unless)\b[^.;\n]{0,200}\bwould\s+(?:\w+\s+)?(?:be|have\s+been|become)[$*\s\\(]*$",
    I_CASE,
)
"""The same before a value."""
OTHER_ANSWER = re.compile(
    r"\b(?:for|by)\s+(?:comparison|reference|contrast)\b"
    r"|\b(?:naive|naïve|incorrect|wrong|false|tempting|intuitive|common|erroneous|original|previous|earlier"
    r"|student['’]s)\s+(?:\w+\s+)?answer\s+"
    r"(?:is|was|would|here|of)\b",
    I_CASE,
)
"""A sentence that tells an answer that is not the speaker's."""
QUALIFIER = re.compile(
    r"\b(?:not|never|no|neither|nor|divides?|\w+er\s+than|at\s+(?:least|most)|(?:no\s+)?(?:more|less|fewer|greater|smaller|larger|bigger"
    r"|higher"
    r"|lower)(?:\s+than)?|about|approximately|approx|around|nearly"
    r"|almost|roughly|between|above|below|exceeds?|exceeding|twice|half|double|triple|thrice|minus|plus|negative|times|squared?|cubed?"
    r"|sum|product|difference|factorial"
    r"|cannot|can['’]?t|isn['’]?t|aren['’]?t|doesn['’]?t|don['’]?t|couldn['’]?t|wrong|incorrect|divided|multiplied|multiples?|factors?"
    r"|divisors?|divisible|power|root|logarithm|log|unless|if|either"
    r"|approximat\w*|like|close|near|far\s+from|other\s+than|different\s+from|differs?|except|excluding|anything|(?:next|previous"
    r"|prime)\s+(?:\w+\s+)?(?:after|before)"
    r"|distint[oa]s?|diferentes?|différente?s?|divers[oa]|ungleich|verschieden|отлич\w+|somewhere|something|vicinity|order\s+of|in\s+\d+"
    r"|minimum\s+of|maximum\s+of|up\s+to|out\s+of|hundred|thousand|million|billion|dozen|dozens|pairs?|over|under"
    r"|не|более|менее|больше|меньше|около|примерно|приблизительно|nicht|mindestens|höchstens|etwa|ungefähr|rund"
    r"|mehr|weniger|zwischen"
    r"|knapp|fast|kein\w*|pas|environ|presque|peu\s+près|près|proche|cerca|acerca|casi|alrededor|nunca|aproximadamente|quase|circa|quasi"
    rf"|около|почти|нет|niet|geen|ongeveer|około|prawie|değil|yaklaşık|khoảng|sekitar|bukan|{_LATIN_BOUND})\b"
    r"|(?<![\w\\])~\s?(?=[\d$])|[≈≥≤≠<>]|\\(?:approx|leq?|geq?|neq?)(?![a-zA-Z])|不(?!同|重复|重複|相同|妨|难|含|考虑|计|变)|非(?!负|零|空|常)|大于|小于|至少|至多"
    r"|最多不|约|大约|超过|少于|多于|近|之间|左右|以上|以下"
    r"|未满|より|以上|以下|약|이상|이하|미만|초과",
    I_CASE,
)
"""Words that change a value: what contains one of them goes to the reader as it stands."""
AFTER_VALUE = re.compile(
    r"[\s,(]*(?:give\s+or\s+take|more\s+or\s+less)\b|\s*(?:(?:more|less|fewer|greater|smaller)\s+than|times\b|squared|cubed|factorial"
    r"|out\s+of|to\s+the|or\s+(?:more|less|so|fewer"
    r"|higher|greater|above|below)|and\s+(?:a|one)\s+(?:half|third|quarter)"
    r"|(?:less|fewer|more)\b(?!\s+\w)|-\w|(?:=>|->|→|⇒)\s*\d|minus|plus|divided|multiplied|hundred|thousand|million|billion|trillion"
    r"|dozen|if\b|unless\b|depending|otherwise"
    r"|when\b[^.]*\b(?:when|if|otherwise)\b|以上|以下|左右|之间|이상|이하|is\s+(?:not|wrong|incorrect|too|impossible)|(?:is|are)n['’]t"
    r"|does(?:n['’]t|\s+not)"
    r"|cannot|fails|at\s+(?:most|least|best|worst|the\s+(?:very\s+)?(?:most|least))|max(?:imum)?\b|min(?:imum)?\b|o\s+(?:más|menos)\b"
    r"|ou\s+(?:plus|moins|mais|menos)\b|oder\s+(?:mehr|weniger)\b|или\s+(?:больше|меньше|более|менее)|como\s+(?:máximo|mínimo)"
    r"|au\s+(?:plus|moins)\b"
    r"|değil|नहीं|से\s+(?:अधिक|कम)|nicht\b|\+|-\s*\d|万|亿|百|千)",
    I_CASE,
)
NEGATION = re.compile(
    r"\b(?:not|never|neither|nor|(?:is|are|was|were|ca|could|would|should|does|did|wo)n['’]t|cannot|don['’]t\s+(?:think|believe)|не|нет"
    r"|неверно|nicht|kein\w*"
    r"|no\s+(?:es|son|hay|puede|vale|da)|nunca|non\s+(?:è|e['’]|sono|può|vale)|n[ãa]o\s+(?:é|são|pode|vale|há)|n['’](?:est|a)\s+pas"
    r"|ne\s+\w+\s+pas"
    r"|niet|geen|nie\s+(?:jest|wynosi|to)|není|değil|bukan|không\s+phải|inte|ikke|ei\s+ole)\b"
    r"|不是|不可能|不等于|不为|并非|≠|\\neq?(?![a-zA-Z])|(?:では|じゃ|で)(?:な|あり)|아니|아닙|नहीं|ليس|ไม่ใช่",
    I_CASE,
)
"""What negates a plain statement."""
BEHIND_VALUE = re.compile(
    r"(?:では|じゃ|で)(?:な|ありません)|より|以上|以下|未満|超|くらい|ぐらい|程度|ほど|前後|以外|[吗嗎]|不正解|間違|誤り|違い|でしょう|かもしれ|ですか|か[。？?\s]*$"
    r"|아니|아닙|않|보다|이상|이하|미만|초과|정도|입니까|일까|左右|上下|以内|以外|之间|不对|不正确|错|大概|ไม่"
)
"""What denies or blurs a value in a language that says so behind it."""
BLURRED = re.compile(
    r"\b(?:like\s+(?=[\d$\\])|close\s+to|near|far\s+from|other\s+than|different\s+from|differs|except|anything|fails|rejected|discarded"
    r"|vicinity|somewhere|something|order\s+of|give\s+or\s+take|more\s+or\s+less|doubt\w*|unsure"
    r"|unlikely|wonder|whether|(?:square|cube|multiple|divisor|factor|root)\s+of|(?:next|previous|prime)\s+(?:\w+\s+)?(?:after|before)"
    r"|distint[oa]s?\s+(?:de|a)"
    r"|diferentes?\s+d\w+|différente?s?\s+de|divers[oa]\s+da|ungleich|verschieden|отлич\w+)\b",
    I_CASE,
)
"""What a statement has in it that states no value, in words that are no part of one."""
DOUBTED = re.compile(
    r"\b(?:assum(?:e|ing)|suppos(?:e|ing)|imagine|pretend)\b[^,;:.\n]{0,60}$"
    r"|\b(?:my|his|her|their|a|the)\s+(?:friend|classmate|colleague|brother|sister|neighbou?r|student)\s+\w+s\b[^,;:.\n]{0,40}$"
    r"|\b(?:one|another|possible|first|second)\s+(?:possible\s+)?$"
    r"|\b(?:doubt|doubtful|wonder|whether|unsure|unlikely|den(?:y|ies)|reject|if|refute|disprove)\b[^,;:.\n]{0,60}$"
    r"|\bfalse\s+that\b[^,;:.\n]{0,60}$|\bневерно,?\s+что\b[^.\n]{0,40}$"
    r"|\b(?:some|people|others|many|students?)\s+(?:\w+\s+)?(?:say|claim|think|believe|argue|guess)\w*\b[^,;:.\n]{0,60}$"
    r"|(?:n['’]t|\bnot)\s+(?:\w+\s+)?(?:think|believe|sure|certain|convinced|say|claim|conclude|mean|true|the\s+case|clear|know|possible"
    r"|follow)"
    r"\b[^,;:.\n]{0,60}$"
    r"|\b(?:think|believe|say|claim|true|sure|the\s+case)\s+not\b[^,;:.\n]{0,40}$|\bdudo\b[^,;:.\n]{0,40}$|\b(?:je\s+doute"
    r"|bezweifle)\b[^;:.\n]{0,40}$",
    I_CASE,
)
"""Words before «the answer is» that take it out of the speaker's mouth."""
CHECKS = re.compile(r"\b(?:check|verify|confirm|double-check|test)\s+(?:that\s+)?(?:our|the|my|this|your)?\s*$", I_CASE)
"""Words before «answer:» that announce a check of it."""
GAVE_UP = re.compile(
    r"\b(?:unable|(?:could\s*n[o'’]t|could\s+not|can\s?not|can['’]t|fail(?:ed)?\s+to|not\s+able\s+to|did(?:n['’]t"
    r"|\s+not))\s+(?:be\s+)?(?:solved?"
    r"|determined?|find|found|finish|complete|answer|decide|tell|figure)\b|g[ai]ve\s+up|r[au]n\s+out|out\s+of\s+(?:time|tokens|space)"
    r"|do(?:n['’]t|\s+not)\s+know|no\s+idea|time\s+limit)",
    I_CASE,
)
"""A last sentence that says that there is no answer."""
A_LABEL = (
    r"\b(?:step|case|line|page|equations?|eq\.|part|question|problem|section"
    r"|theorem|lemma|figure|table|chapter|attempt|example|option|choice)"
)
LABELLED = re.compile(rf"{A_LABEL}\s*[#(\s]*$", I_CASE)
"""A number behind such a word is a mere label."""
CHOICE_DOUBT = re.compile(
    r"\b(?:not|never|neither|nor|isn['’]t|cannot|can['’]t|excep\w+|(?:anything|everything|all|any|none|nothing)\s+(?:\w+\s+)?(?:but"
    r"|save)|eliminat\w*|exclud\w*|rul(?:e|ed|ing)\s+out|reject\w*|discard\w*|wrong|incorrect"
    r"|false|invalid|doubt\w*|other\s+than|apart\s+from|unless|if|maybe|perhaps|possibly|could\s+be|might\s+be|may\s+be|hardly|barely"
    r"|scarcely|rarely|wrongly|incorrectly|falsely|instead\s+of|besides|both|either|guess"
    r"|не|no\s+es|non\s+è|não\s+é|nicht|n['’]est\s+pas)\b|不|错|非|除|排除|ではな|아니|아닙|\?|？|吗",
    I_CASE,
)
"""What keeps a letter from being the choice."""
VAGUE = re.compile(
    r"\b(?:approximately|about|roughly|nearly|almost|at\s+(?:least|most)|probably\s+not|hardly)\b"
    r"|大约|约|至少|至多|最多|超过|不(?!同|重复|重複|相同|妨|难|含|考虑|计|变)|未必|大概",
    I_CASE,
)
"""What makes a value inexact, before the verb."""
_NUMBER = r"(?:\$[^$\n]{1,100}\$|\\\([^\n]{1,100}?\\\)|[-−]?\\?[$€£]?\d[\d,./]*\d|[-−]?\d)\\?%?"
_NOT = (
    r"(?:\b(?:not|no\s+es|non\s+è|n[ãa]o\s+é|n['’]est\s+pas|ist\s+nicht|nicht|не)\s+(?:equal\s+to\s+|just\s+|merely\s+|simply\s+)?|不是\s*)"
)
CONTRAST_AHEAD = re.compile(
    rf"(?:{_NOT}|(?<=\bis)n['’]t\s{{1,3}}|(?<=\bare)n['’]t\s{{1,3}}){_NUMBER}(?:\s{{0,3}}[,;，；—–-]\s{{0,3}}|\s{{1,3}})(?:but"
    rf"|which\s{{1,3}}is|(?:but\s{{1,3}})?(?:it|that)(?:['’]s|\s{{1,3}}is)|rather"
    rf"|instead|sino|ma|mas|mais|sondern|es|è|é|ist|c['’]est|而是|а)(?:\s{{1,3}}(?:actually|rather|instead|exactly|is|es|è"
    rf"|é))?\s{{0,3}}(?={_NUMBER})",
    I_CASE,
)
"""«not 203; it is» before 204."""
_LAST = r"\s{0,3}[)\]]?(?=\s{0,3}[.。!]?\s{0,3}(?:\n|$)|[.。]\s)"
_OTHER_THAN = (
    r"\s{0,3}(?:[,;，；(—–]\s{0,3}(?:(?:and|but|y|et|und|и)\s{1,3})?(?:not|nicht|pas|non\s{1,3}pas|non|no|не)\s{1,3}|[,，]?\s{0,3}(?:而不是|而非"
    r"|不是)\s{0,3}"
    r"|[\s(]\s{0,3}(?:rather\s{1,3}than|instead\s{1,3}of|and\s{1,3}not)\s{1,3})"
)
CONTRAST_BEHIND = re.compile(rf"{_OTHER_THAN}{_NUMBER}{_LAST}", I_CASE)
CONTRAST_OF_WORDS = re.compile(rf"{_OTHER_THAN}(?:\(?[A-J]\)?|[A-Za-z]{{2,15}}){_LAST}", I_CASE)
"""«, not 205» at the end of a sentence, and the same of letters and words."""
