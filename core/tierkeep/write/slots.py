"""The slots of the rule profile: how each is said, whether it holds one value, how it is shown.

A slot is one line of this table. Patterns read one sentence that is about its speaker; `{v}` is where the value stands, `{N}` a
value that must begin with a capital. They contain no nested repetition, so that a hostile message costs time linear in its length.

Precision comes before recall: what no pattern reads is still an event and is found by search, but a false profile item is
repeated in every prompt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

ProfileKind = Literal["identity", "preference", "constraint", "instruction", "relation"]


@dataclass(frozen=True, slots=True)
class Slot:
    """One thing that a profile can hold about a person.

    Attributes:
        name: Slot name; part of the record's key.
        kind: MemFlow's profile kinds.
        single: True when a new value replaces the old one (one home, one name); False when values add up.
        shown: How the record's text is built; `{who}` and `{value}` are filled in.
        words: Words of a question that ask for this slot.
        says: Patterns that state a value.
        ends: Patterns that end a value.
    """

    name: str
    kind: ProfileKind
    single: bool
    shown: str
    words: str
    says: tuple[re.Pattern[str], ...]
    ends: tuple[re.Pattern[str], ...] = ()


_I = r"\b(?:i|we)"
_ADVERB = (
    r"(?: (?:really|just|now|still|currently|also|absolutely|actually|recently|finally|have|had|do|always|usually|been))*"
)
_VALUE = r" (?P<v>.+)"
_CAPITAL = r"(?-i:[^\W\d_a-zß-öø-ÿ])"
_NAMED = rf" (?:the )?(?P<v>{_CAPITAL}.*)"
#: "I live in a bubble", "I live in fear": what follows is no place.
_NO_PLACE = (
    r"(?! (?:an?|my|our|this|that|these|the same|the (?:past|present|moment|future|middle)"
    r"|(?:constant )?(?:fear|hope|denial|peace|pain))\b)"
)
_NO_JOB = r"(?! (?:bit|little|guest|regular|member|fan|friend|newcomer|customer|client)\b)"


def _patterns(*bodies: str) -> tuple[re.Pattern[str], ...]:
    for_all = {"{I}": _I, "{adv}": _ADVERB, "{v}": _VALUE, "{N}": _NAMED, "{place}": _NO_PLACE + _VALUE, "{job}": _NO_JOB}
    filled = []
    for body in bodies:
        for mark, pattern in for_all.items():
            body = body.replace(mark, pattern)
        filled.append(re.compile(body, re.I))
    return tuple(filled)


SLOTS: tuple[Slot, ...] = (
    Slot(
        "name", "identity", True, "{who} is called {value}", "name called call who",
        _patterns(
            r"\bmy name is{v}", r"^(?:please )?call me{N}",
            # "I'm Ana, thirty-four": a name when it stands alone; "I'm French, so …" is none.
            r"^(?:(?:hi|hello|hey)[,!]? )?(?:i'm|i am) (?P<v>(?-i:[A-Z][^\W\d_A-Z]+)(?<!ish)(?<!ese)(?<!ian)(?<!can)(?<!Ok)"
            r"(?<!French)(?<!German)(?<!Dutch)(?<!Greek)(?<!Swiss)(?<!Sorry)(?<!Catholic)(?<!Muslim))(?=,|$| and i\b)",
        ),
    ),
    Slot(
        "home", "identity", True, "{who} lives in {value}", "live lives living home city town address moved reside based where",
        _patterns(
            r"{I}(?:'m| am|'ve| are|'re)?{adv} (?:live|living) in{place}",
            r"{I}(?:'ve|'m| am|'re| are)?{adv} (?:moved|relocated)(?: \w+)? to{place}",
            r"{I}(?:'ve|'m| am|'re| are)?{adv} (?:moved|relocated) from [^,;]{1,60}? to{place}",
            r"{I}(?:'m| am){adv} based in{place}",
            r"\bmy (?:new )?(?:home|address) is(?: now)?(?: in| at)?{place}",
        ),
        _patterns(
            r"{I} (?:don't|do not|no longer) live in{v}", r"{I}(?:'m| am|'re| are) (?:not|no longer) living in{v}",
            r"{I}{adv} (?:stopped living in|moved (?:out of|away from)){v}",
        ),
    ),
    Slot(
        "birthplace", "identity", True, "{who} comes from {value}", "from born grew birthplace origin hometown",
        _patterns(r"{I} (?:was|were) born in{v}", r"{I} grew up in{place}", r"{I}(?:'m| am) originally from{v}"),
    ),
    Slot(
        "job", "identity", True, "{who} works as {value}", "job work profession occupation role do",
        _patterns(
            r"{I}(?:'m| am)?{adv} (?:work|working) as(?: an?| the)?{v}", r"\bmy (?:new )?job is{v}",
            r"{I}(?:'m| am){adv} an? (?P<v>[\w-]+(?: [\w-]+){0,3}?) by (?:trade|profession|training)\b",
        ),
    ),
    Slot(
        "employer", "identity", True, "{who} works at {value}", "work works employer company job where",
        _patterns(
            r"{I}(?:'m| am)?{adv} (?:work|working) (?:at|for){N}",
            rf"{{I}}(?:'m| am){{adv}} an?{{job}}(?: [\w-]+){{1,4}}? at{_NAMED}",
            r"{I}{adv} (?:started|begin|began|got|took|accepted)(?: an?| my| the)?(?: new)?"
            r"(?: (?:job|position|role|work|working))? (?:at|with|for){N}",
        ),
        _patterns(
            r"{I}(?:'ve)?{adv} (?:left|quit) (?:my (?:job|position|role) )?at{N}", r"\bmy last day at{N}",
            r"{I}(?:'ve)?{adv} (?:finished|resigned|retired|quit) (?:at|from){N}", r"{I} no longer work (?:at|for){N}",
            r"{I}(?:'ve)?{adv} (?:left|stopped working (?:at|for)){N}", r"{I} (?:haven't|have not) worked (?:at|for){N}",
            r"{I}(?: was| were| got| have been|'ve been)(?: just)? (?:fired|laid off|let go) (?:from|by){N}",
        ),
    ),
    Slot(
        "birthday", "identity", True, "{who}'s birthday is {value}", "birthday born",
        _patterns(r"\bmy birthday is(?: on)?{v}"),
    ),
    Slot(
        "allergy", "constraint", False, "{who} is allergic to {value}", "allergic allergy allergies intolerant avoid eat",
        _patterns(
            r"{I}(?:'m| am){adv}(?: \w+ly)? allergic to{v}", r"{I}(?:'m| am){adv} intolerant to{v}",
            r"{I}(?:'ve)?{adv} developed an? (?:\w+ )?allergy to{v}",
            r"\bmy (?:new )?allerg(?:y|ies) (?:is|are|to){v}",
            r"{I}(?:'ve| have)(?: got)? an? (?:\w+ )?allergy to{v}", r"{I}(?:'ve| have)(?: got)? an? (?P<v>[\w-]+(?: [\w-]+)?) allergy\b",
            # "Test result: allergic to nuts": the speaker reports on themselves without a subject.
            r"^(?:(?:the |my )?(?:test )?results?[^:]{0,40}: ?)?allergic to{v}",
        ),
        _patterns(r"{I}(?:'m| am| was| were) (?:not|no longer|never) allergic to{v}"),
    ),
    Slot(
        "condition", "constraint", False, "{who} has to mind: {value}", "condition eat food diet medicine avoid intolerant",
        _patterns(
            r"{I}(?:'m| am){adv}(?: an?)? (?P<v>(?:lactose|gluten|fructose|histamine)[ -]intolerant|c(?:o)?eliac|diabetic|pregnant)\b",
            r"{I}(?:'ve| have)(?: got)? (?P<v>c(?:o)?eliac disease|diabetes|lactose intolerance)\b",
            r"{I}{adv} (?:eat|keep|only eat) (?P<v>kosher|halal|gluten[- ]free)\b",
        ),
        _patterns(r"{I}(?:'m| am) (?:not|no longer)(?: an?)? (?P<v>[\w-]+[ -]intolerant|c(?:o)?eliac|diabetic|pregnant)\b"),
    ),
    Slot(
        "diet", "constraint", True, "{who} is {value}", "diet vegetarian vegan eat food",
        _patterns(r"{I}(?:'m| am|'ve gone| went| became){adv}(?: a)? (?P<v>vegetarian|vegan|pescatarian|teetotal)\b"),
        _patterns(r"{I}(?:'m| am) (?:not|no longer)(?: an?)? (?P<v>vegetarian|vegan|pescatarian|teetotal)\b"),
    ),
    Slot(
        "instruction", "instruction", False, "{who} asks: {value}", "always never please instruction rule prefer how",
        _patterns(
            r"^(?:and |so |oh )?please (?P<v>(?:always|never|don't ever) .+)", r"^from now on,? (?P<v>.+)",
            r"^(?P<v>(?:always|never) (?:give|tell|show|use|answer|write|call|send|ask|suggest|remind|include) .+)",
            r"\b(?:my|our|new|house) rule(?: is)?[:,]? (?P<v>.+)", r"{I} (?:want|need) you to (?P<v>(?:always|never) .+)",
        ),
    ),
    Slot(
        "likes", "preference", False, "{who} likes {value}", "like likes love enjoy prefer favourite favorite recommend suggest",
        _patterns(r"{I}{adv} (?:like|love|enjoy|adore|prefer){v}", r"{I}(?:'m| am)(?: a)? (?:big |huge )?fan of{v}"),
        _patterns(
            r"{I}(?:'ve)?{adv} (?:stopped|quit|gave up|given up|avoid|hate|dislike)(?: (?:eating|drinking|liking|having))?{v}",
            r"{I} (?:don't|do not|no longer|can't|cannot|never) (?:like|love|enjoy|eat|drink|stand){v}",
        ),
    ),
    Slot(
        "avoids", "preference", False, "{who} avoids {value}", "avoid dislike hate not recommend suggest like drink eat",
        _patterns(
            r"{I}(?:'ve)?{adv} (?:stopped|quit|gave up|given up) (?:eating|drinking|having){v}",
            r"{I}{adv} (?:avoid|hate|dislike){v}",
            r"{I} (?:don't|do not|no longer|can't stand|cannot stand|never) (?:like|eat|drink){v}",
            r"{I} can(?:'t|not) stand{v}", r"{I}(?:'ve| have)(?: got)? zero tolerance for{v}",
        ),
        _patterns(r"{I}(?:'m| am)?{adv} (?:like|love|enjoy|started (?:drinking|eating)|drinking|eating|back on){v}"),
    ),
)

#: People and animals that somebody calls "my …": those one has one of at a time, and those that add up.
_ONE = (
    "mother mum mom father dad husband wife partner boyfriend girlfriend spouse fiance fiancee boss manager supervisor landlord landlady "
    "doctor dentist therapist accountant lawyer vet"
).split()
_MANY = (
    "sister brother son daughter aunt uncle cousin niece nephew grandmother grandma grandfather grandpa friend colleague coworker "
    "neighbour neighbor flatmate roommate housemate teammate coach teacher tutor mentor assistant dog cat horse rabbit parrot"
).split()
SINGLE_RELATIONS = frozenset(_ONE)
_RELATION = "|".join([*_ONE, *_MANY])
_SHORT_NAME = rf"(?P<v>(?:(?:dr|dra|mr|mrs|ms|prof)\.? )?{_CAPITAL}[\w'-]*(?: {_CAPITAL}[\w'-]*){{0,2}})"
_MINE = (
    r"\bmy (?:(?:new|own|dear|family|older|younger|big|little) )?"
    rf"(?P<slot>(?:(?!new |old |late |former |ex-)[a-z-]+ )?(?:{_RELATION}))"
)
#: Who somebody is to the speaker. Names only: "my mother is coming" names nobody.
RELATIONS = _patterns(
    rf"{_MINE}(?:'s name)?(?: is(?: now)?)?(?: called| named)?,? {_SHORT_NAME}",  # my sister Ana; my boss is called Rui
    rf"{_SHORT_NAME}, {_MINE}(?=[,)]|$)",  # Rui, my boss, …
    rf"{_SHORT_NAME},? (?:(?:and |so )?(?:he|she)(?:'s| is)|is)(?: now)? {_MINE}",  # Dr. Ko, so she's my dentist now
)

#: Attributes that somebody has for long. Other things "my …" may be are the news of a day ("my calves are stone").
_ATTRIBUTE = (
    r"(?:(?:middle|last|family|first|nick|user|maiden) ?name|pronouns|time ?zone|(?:first |native )?language|mother tongue"
    r"|(?:phone|mobile|passport|account|licen[cs]e|member(?:ship)?|customer|room|locker) (?:number|code|plate)|e-?mail(?: address)?"
    r"|(?:(?:shoe|shirt|dress|ring|hat) )?size|height|blood (?:type|group)|nationality|religion|hobby|hobbies|star sign|instrument"
    r"|car|bike|bicycle|motorbike|laptop|phone|camera|bank|gym|school|university|favou?rite [a-z-]+(?: [a-z-]+)?)"
)
#: "my shoe size is 38": an attribute and its value.
ATTRIBUTES = _patterns(rf"\bmy (?P<slot>{_ATTRIBUTE}) (?:is|are)(?: now| called| named)?{{v}}")
BY_NAME = {slot.name: slot for slot in SLOTS}
