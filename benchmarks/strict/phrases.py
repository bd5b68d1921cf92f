r"""Words that mark and join answers and what surrounds them, in several languages; words of doubt are in `doubts`.

Every pattern is tried on bounded text (`statement` cuts the windows), and white space is cut to two characters before
(`layout.cleaned`).  Languages that write a decimal comma have their markers apart.
"""

from __future__ import annotations

import re

I_CASE = re.IGNORECASE

_IS = r"(?:\s+[-–—]\s+|\s+(?:is|are|was|would\s+be|should\s+be|must\s+be|equals|comes\s+out\s+to(?:\s+be)?)\b\s*[:：]?|\s*(?:[:：=]|→|->)+)"
_KIND = r"(?:(?:final|correct|right|best|actual|true|required|exact|numerical|corrected)\s+)"
_ABOUT = r"(?:\s+(?:to|for|of)\s+(?:the|this|that|your|our)\s+(?:\w+\s+)?(?:problem|question|exercise|task|part))?"
_ENGLISH = (
    rf"\b{_KIND}{{0,3}}answer{_ABOUT}(?:\s+here)?{_IS}"
    rf"|\b{_KIND}{{1,3}}(?:choice|option|solution|value|response|result){_ABOUT}{_IS}"
    r"|\bans\s*[.:=]|\bans\s+is\b"
    r"|\bit\s+should\s+(?:actually\s+)?(?:have\s+been|be)\b(?!\s+(?:noted|clear|mentioned|remembered|emphasi|obvious|checked))"
    r"|\b(?:correction|final)\s*[:：]"
)
_ASIAN = (
    r"(?:答案|正确选项|正確選項|最终结果|最終結果)(?:应该|应当|应|應該|應)?\s*(?:是|为|為|等于|選|选|：|:|=)+"
    r"|(?:^|[\n。])[ \t]*答[ \t]*[：:]"
    r"|(?:故|所以|因此|应|應|正确的?是)[，,]?\s*(?:本题|本題)?(?:选择?|選擇?|答案)[：:为為]?"
    r"|(?:^|[\n。，,])[ \t]*[选選](?=\s*[:：]?\s*[(（]?[A-J])"
    r"|(?:答え|解答|正解|答)\s*(?:は|[：:=])+[、，]?"
    r"|(?:정답|최종\s*답안?|답안?)\s*(?:은|는|이|[：:=])+"
    r"|(?:उत्तर|जवाब|उत्तर है)\s*[:：=]?|(?:উত্তর)\s*[:：=]?"
    r"|(?:الجواب|الإجابة|الاجابة|الناتج)(?:\s+(?:النهائي|النهائية|الصحيح|الصحيحة))?\s*(?:هو|هي|[:：=])?"
    r"|(?:پاسخ|جواب)(?:\s+نهایی)?\s*[:：=]?|คำตอบ\s*(?:คือ|[:：=])|תשובה(?:\s+סופית)?\s*(?:היא|[:：=])"
)
_FINAL = r"(?:\s+(?:final|finale|correcta|correta|correcte|corretta|exacta|es|definitiva|końcowa|ostateczna|đúng|cuối cùng))?"
_COMMA = (
    r"\b(?:окончательный\s+|правильный\s+)?ответ\s*(?:[:：=—–-]|это\b|равен\b|(?=\d))"
    r"|\bвідповідь\s*(?:[:：=—–-]|(?=\d))"
    rf"|\b(?:respuesta|solución){_FINAL}\s*(?:es\b|son\b|[:=])|\b(?:réponse|solution){_FINAL}\s*(?:est\b|sont\b|[:=])"
    rf"|\bresposta{_FINAL}\s*(?:é\b|são\b|[:=])|\brisposta{_FINAL}\s*(?:è\b|[:=])"
    r"|\b(?:antwort|lösung|ergebnis)\s*(?:ist\b|lautet\b|beträgt\b|[:=])|\bantwoord\s*(?:is\b|[:=])"
    rf"|\bodpowiedź{_FINAL}\s*(?:to\b|jest\b|brzmi\b|[:=])|\bodpověď\s*(?:je\b|[:=])"
    r"|\b(?:nihai\s+)?(?:cevap|yanıt|sonuç)\s*(?:[:=]|(?=-?\d))|\b(?:jawaban|jawabannya)(?:\s+akhir)?\s*(?:adalah\b|[:=])"
    rf"|\b(?:đáp án|đáp số|câu trả lời|kết quả){_FINAL}\s*(?:là\b|[:=])|\bαπάντηση\s*(?:είναι\b|[:=])"
    r"|\bsvar(?:et)?\s*(?:är\b|er\b|[:=])|\brăspuns(?:ul)?\s*(?:este\b|[:=])|\bválasz\s*[:=]"
)
MARKER = re.compile(rf"(?P<comma>{_COMMA})|{_ENGLISH}|{_ASIAN}", I_CASE)
"""What stands before a plain answer; the group `comma` matches in a language with decimal commas."""
MARKER_LINE = re.compile(
    r"^[ \t]*(?:(?:the\s+|my\s+)?(?:final\s+)?answer|最终答案|答案|最終答案|答え|정답|(?P<comma>ответ|respuesta(?:\s+final)?"
    r"|réponse(?:\s+finale)?|antwort|resposta(?:\s+final)?|risposta(?:\s+finale)?|odpowiedź|cevap|đáp án))[ \t]*$",
    I_CASE | re.MULTILINE,
)
"""A heading: the answer stands below it."""
CONCLUSION = re.compile(
    r"\s*(?:therefore|thus|hence|so|finally|in\s+conclusion|wait|actually|correction|consequently|no(?=\s*[,.:!—–-])|不[，,]|いいえ|아니|нет,"
    r"|nein,|non,|não,|所以|因此|故|综上|итак|donc|also)(?:\b|(?<=[，,]))",
    I_CASE,
)
TELLS_NOTHING = re.compile(
    r"[\s(]*(?:correct|right|verified|confirmed|consistent|reasonable|indeed\s+correct|wrong|incorrect|above|as\s+above|clear|unique"
    r"|obvious|the\s+same"
    r"|(?:given|shown|stated|boxed|written|marked)\b|in\s+the\s+box|expected|an?\s+(?:positive\s+|non-?negative\s+)?integer\b"
    r"|found\s+by|obtained)",
    I_CASE,
)
"""What may follow «the answer is» without being an answer."""

OR = r"(?:\bor\b|\balternatively\b|\belse\b|或者|或是|或|还是|または|又は|또는|\bили\b|\bou\b|\boder\b|\bveya\b|\blub\b|\bhoặc\b|أو|\bया\b)"
AND = r"(?:\band\b|&|和|与|以及|及|\bи\b|\bet\b|\bund\b|と|그리고|\b[ye]\b(?=\s*(?:\$?\s?(?:-?\d|\\boxed|$)|\ue000)))"
MAYBE = (
    r"(?:maybe|possibly|perhaps|else|either|even|also|rather|just|simply|it\s+(?:could|might|may)(?:\s+also)?\s+be|could\s+be|might\s+be"
    r"|可能是?|也许是?|也可能是?|是|equivalently|in\s+other\s+words|the\s+same|that\s+is|,)"
)
ALSO = re.compile(
    r"(?:\b(?:could|may|might)(?:\s+(?:also|well|even|as\s+well))?\s+be|\b(?:possibly|maybe|perhaps"
    r"|alternatively)\b[,:]?(?:\s+it\s+is)?|也可能是|可能是)\s*"
    r"|\botherwise\b[,:]?(?:\s+it\s+is)?\s*",
    I_CASE,
)
"""What offers another value in the sentence of a box or right behind it."""
ALSO_POSSIBLE = (
    r"(?:\s+(?:when|whenever|for\s+(?:odd|even|all\s+other|the\s+other))\b|\s+(?:is|are|would\s+be|seems?)\s+(?:also|equally|another"
    r"|as\s+well)\b|\s+(?:if|unless|otherwise|depending|in\s+case)\b)"
)
SAME_AS = re.compile(r"\s*(?:about|approximately|roughly|approx\.?|around|nearly|≈|\\approx)", I_CASE)


PROGRESS = re.compile(
    r"\b(?:so|thus|hence|therefore|gives?|giving|then|but|correct\w*|instead|reflection|actually|wait|total|final\w*|sum|answer|not"
    r"|wrong|fails?"
    r"|implies|because|since|step|check|mistake|finally|adding|becomes|we|which|follows|improved?)\b|=\s*\$?[\d\\-]|所以|因此|故|答案"
    r"|最终|不|而",
    I_CASE,
)
"""Words between two boxes that say that the second one replaces or follows from the first."""
_NUMBERED = r"(?:\(?\s*(?:[2-9]|ii|iii|iv|b|c|d|two|three|second|B|C)\b\s*\)?)"
ALTERNATIVE = re.compile(
    rf"\b(?:option|possibility|alternative|interpretation|case|answer|solution|root|value|method|way|variant|candidate|part|question"
    rf"|problem)\s*{_NUMBERED}"
    r"|\b(?:another|a\s+second|the\s+(?:second|other)|a\s+different|an?\s+alternative|also)\s+(?:possible\s+|valid\s+)?(?:answer|option"
    r"|solution|value|possibility|root|interpretation)"
    r"|\balternatively\b|\balso\s+possible\b|\b(?:could|may|might)\s+(?:also\s+)?be\b|\bor\b|\b(?:part|case|question)\s*\(?(?:a|i"
    r"|1)\)?\W+(?:and|while|whereas)\b|另一|或者|或|方案[二2]|答案[二2]|情况[二2]",
    I_CASE,
)
LIST_LABEL = re.compile(r"(?:^|\n)[ \t>*-]*(?:\(?[2-9b-j]\s*[.):]|[*•-])|\(\s*(?:[2-9b-j]|ii|iii|iv)\s*\)|[②③④⑤]", re.IGNORECASE)

COMMENT = re.compile(
    r"\s*[,;—–(]?\s*\b(?:because|since|which|whereas|where|whenever|when|as\s+(?:required|desired|expected|claimed|needed|stated|can|we"
    r"|it|shown|above)|so\s+(?:that\b)?|hence|thus|therefore|in\s+total"
    r"|in\s+all|altogether|overall|as\s+the|given\s+that|that\s+is|i\.e\.|and\s+(?:not|so|thus|hence|we|it|this|that|the|I)\b"
    r"|by\s+(?:the|symmetry)|I\s+hope|to\s+check|"
    r"weil|denn|parce\s+que|car|porque|ya\s+que|потому\s+что|так\s+как|поскольку|perché|pois)(?=[\s,.;:)]|$)"
    r"|\s*[，,；;]?\s*(?:因为|所以|因此|其中|即|也就是|由于|故|この|なぜなら|왜냐하면)|\s+\((?!\s*(?:or|或"
    r"|if)\b)(?=[^()]*[A-Za-z]{3})[^()]*\)?\s*$|\s+[—–]\s+",
    I_CASE,
)
"""Where words begin that only comment on an answer."""
HARMLESS = re.compile(
    r"\s*[(\[]?\s*(?:for\s+(?:comparison|reference|contrast)\b|I\s+hope|hope|let\s+me\s+know|to\s+check|check(?:ing)?\b|verif\w+"
    r"|this\s+(?:is\s+(?:correct"
    r"|the\s+(?:final\s+)?(?:answer|result))|matches|checks|agrees|confirms|completes|verifies|uses|used)"
    r"|q\.?e\.?d|done\b|proof|note\b|(?:is\s+)?correct\b|as\s+(?:required|desired)|we\s+(?:are\s+done|can\s+(?:verify|check))"
    r"|step\s+\d+\s+used|thank|good\s+luck|feel\s+free|hence\s+proved|which\s+(?:is|was)|✓|✅|∎|■|\\blacksquare"
    r"|end\b|the\s+end|_?explanation_?\s*:?\s*see\b|see\s+(?:above|below)|希望|验证|检验|验算|证毕)",
    I_CASE,
)
"""A sentence that states nothing new."""
_VERBS = (
    r"\b(?:is|are|was|were|be|equals?|gets?|got|makes?|made|takes?|took|needs?|has|have|had|gives?|yields?|totals?|becomes?|costs?"
    r"|earns?|pays?|paid|spends?|spent|sells?|sold|owes?|saves?|saved"
    r"|obtains?|finds?|found|leaves?|remains?|contains?|requires?|receives?|drove|runs?|ran|walks?|reads?|eats?|ate|uses|used|lasts?"
    r"|weighs?|measures?|amounts\s+to|exactly|to\s+be|conclude\s+that|say"
    r"|ist|sind|beträgt|est|sont|vaut|es|son|é|são|è|sono|равна|равен|равно|составляет|получаем|получим|هو|هي)\b"
    r"|等于|解得|求得|得到|共有|一共|为|是|得|有|は|が|[=＝]"
)
VERB = re.compile(_VERBS, I_CASE)
_ARTICLES = "the a an el la il le les los das der die la o um uma un una dem den"
_QUIET = """
total sum of in fact still always ever surely exactly precisely simply just equal to only indeed therefore thus so hence then now also
given by value number integer fraction decimal answer result quantity amount about approximately clearly obviously usd eur rs inr and he
she it they we i you there that is are in all
"""
_LEADING = "|".join((*_ARTICLES.split(), *_QUIET.split()))
LEADS_TO_VALUE = re.compile(
    rf"(?:[^\n]*(?:\b(?:is|are|was|were|be|equals?|ist|est|es|é|è|sono|son)\b|[:：≈≡⇒→]"
    rf"|[\u3040-\u9fff\uac00-\ud7af\u0400-\u04ff\u0600-\u06ff\u0900-\u0e7f])\s*)?"
    rf"(?:\W*[a-zA-Z]\w{{0,2}}\s*=)?(?:\W|\b(?:{_LEADING}|\w+ly)\b)*|.*,\s*",
    I_CASE,
)
"""What may stand between the words that mark an answer and its value: a clause that ends in a verb, and words that say nothing."""
LEADS_TO_LETTER = re.compile(
    r"(?:.*(?:\b(?:is|be|are|option|choice|letter|answer|statement|select|choose|pick|es|est|ist|è|é)\b|[:：=为是选選項项는은は]))?"
    r"(?:\W|\b(?:the|a|an|option|choice|letter|answer|statement|number|\w+ly|given|by|in|fact|still|indeed|therefore|thus|so|hence|la|el"
    r"|le|die|der|opción|opci[oó]n|lettre)\b)*"
    r"[A-J](?![\w'’])", I_CASE | re.DOTALL,
)
"""What may stand before a choice letter."""
FILLER = re.compile(
    r"\s*(?:(?:wait|no|actually|oh|hmm|sorry|oops|correction)\b(?=\s*[,.:!-])|(?:step|part|question|problem|total)\s*\(?\w{0,3}\)?\s*:"
    r"|(?:therefore|thus|hence|so|then|and|finally|consequently|in\s+conclusion|now|we\s+(?:get|have|obtain|find|conclude)"
    r"|it\s+follows)(?:\s+that)?\b|[不否][，,]|所以|因此|故|综上|итак|значит|donc|[,:，：])\s*",
    I_CASE,
)
UNIT_STOP = re.compile(
    r"(?:in|at|on|of|for|to|every|each|from|by|with|is|are|was|were|be|been|do|does|did|could|would|should|must|may|might|think|thinks"
    r"|say|says|need"
    r"|et|und|[ye](?=\s+[\d\ue000])|needs|live|lives|went|came|come|goes?|that|which|altogether|total|left|when|where|if|because|since|as|so|and"
    r"|or|but|the|a|an|we|it|he|she|they|this|there|than|into|during"
    r"|after|before|until|while|have|has|had|gives?|makes?|who|whose|remain(?:s|ing)?|such|not|will|can|using|through|via|works?|then"
    r"|hence|thus|respectively|more|less|fewer|times|out|maybe|perhaps|possibly)\b",
    I_CASE,
)
PREDICATE_END = re.compile(
    r"\s*(?:です|である|になります|となります|となる|だ|입니다|이다|이에요|예요|है|हैं|হয়|ครับ|ค่ะ|dir|dır|'dir|'dur"
    r"|dur)?[\s.。।]*$",
)
PLACEHOLDER = re.compile(
    r"(?:your|the|final|insert|put|my|numerical|\s)*(?:answer|result|here|final|solution|content)+(?:here|\s)*|\.\.\.|…|\\[lc]?dots"
    r"|<[a-z_ ]+>|答案|",
    I_CASE,
)
OFFERS_MORE = re.compile(rf"(?:{OR}|\bmaybe\b|\bpossibly\b|\bperhaps\b|\botherwise\b)[^.]{{0,60}}?[\d\ue000]", I_CASE)
"""Another value behind the first one, however far."""
NUMBER_WORD = re.compile(
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w{3,6}teen|twenty|thirty|forty|fifty|sixty|seventy"
    r"|eighty|ninety"
    r"|hundred|thousand|million|half|thirds?|quarters?|fifths?|infinity|infinite|infinitely\s+many|undefined|does\s+not\s+exist"
    r"|no\s+(?:real\s+|such\s+)?solutions?"
    r"|empty\s+set|all\s+real\s+numbers|none)\b|无解|无穷|нет\s+решений",
    I_CASE,
)
"""Values that are written in words."""
SPELLED = re.compile(r"[^\d\ue000-\uf8ff]{0,200}\b(?:i\.e\.|that\s+is|namely|viz\.)[,:]?\s*(?=[\d$€£\ue000-\uf8ff])", I_CASE)
"""Words for a number that the same number in digits follows."""
WINNER = re.compile(
    r"(?:the\s+(?:student|person|runner|winner|one)\s+)?(?P<who>[^,;]{1,60}?)\s+(?:has|had|have|won|wins|gets|got|takes|took|runs|ran"
    r"|travels|travell?ed"
    r"|earns|earned|scores|scored|makes|made|drives|drove|shows|finished|finishes)\s+(?:with\s+)?the\s+(?:\w+est|most|least|best|worst)\b",
    I_CASE,
)
"""Who does most («Evelyn has the greatest speed»)."""
OR_AT_END = re.compile(rf"{OR}\s*$", I_CASE)
_WORKED = r"\$?\d[\d.]{0,15}(?:\s?[-+*/×÷]\s?\$?\d[\d.]{0,15}){1,8}\s?=\s?"
WORKING = re.compile(rf"{_WORKED}\$?\d[\d.]{{0,15}}(?:[ ][a-z]{{1,15}}){{0,3}},\s(?:and\s|so\s|then\s)?(?={_WORKED})", I_CASE)
"""A sum that leads to the next one: «3*3=9 sprints, 9*60=540 meters»."""
