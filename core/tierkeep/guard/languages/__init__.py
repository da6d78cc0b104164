"""Words of orders in several languages: one table each, in one index.

No language is guessed: a text of mixed languages is read in all of them. What the words of a sentence mean together is said once, in
`guard/orders.py`.
"""

from tierkeep.guard.languages.chinese import CHINESE
from tierkeep.guard.languages.english import ENGLISH
from tierkeep.guard.languages.french import FRENCH
from tierkeep.guard.languages.german import GERMAN
from tierkeep.guard.languages.lexicon import Index
from tierkeep.guard.languages.spanish import SPANISH

__all__ = ["INDEX"]

INDEX = Index((ENGLISH, GERMAN, SPANISH, FRENCH, CHINESE))
