"""What a messenger's export says in its own words: notices of the app, and the place of pictures it left out.

The sentences are those of WhatsApp's English exports. On phones of one maker every such sentence has an invisible mark
before it (U+200E), so with the mark more wordings are believed than without: people write "Bo left" too.
"""

from __future__ import annotations

import re

#: Invisible characters that exports put before, between and after what they write.
MARKS = "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
_NO_MARKS = dict.fromkeys(map(ord, MARKS))
_LONGEST = 400  # characters of the longest notice; names and group titles stand in them
_EDITED = "<This message was edited>"

_CALL = (
    r"missed (?:group )?(?:voice|video) call(?: at \d.{0,12})?(?:[,.] ?tap to call back)?"
    r"|(?:voice|video) call[,.] ?(?:no answer|tap to call back|\d+ (?:sec|min|hr|hour)\w*(?:,? \d+ \w+)?)"
)
_GROUP = (
    r"you changed (?:the (?:group (?:name|description|icon)|subject)|this group's (?:icon|settings))(?: (?:to|from) .*)?"
    r"|(?:you )?created (?:this )?group(?: [\"\u201c].*)?"
    r"|.{1,64} created (?:this )?group [\"\u201c].*"
)
_NOTICE = re.compile(
    r"this message was deleted(?: by admin .{1,80})?|you deleted this message(?: as admin)?"
    rf"|{_CALL}|{_GROUP}"
    r"|waiting for this message\. this may take a while"
    r"|messages (?:and calls are|(?:you send )?to this (?:chat|group)(?: and calls)? are (?:now )?(?:secured with )?)"
    r" ?end-to-end encrypt.*"
    r"|your security code with .{1,80} changed.*",
    re.IGNORECASE,
)
_MARKED_NOTICE = re.compile(
    r".{0,80}?\b(?:created (?:this |the )?group|changed (?:the (?:group|subject)|this group's|their phone number|to )"
    r"|(?:were |was )?added|removed|left|joined|turned (?:on|off) |pinned a message|now an? (?:group )?admin"
    r"|(?:un)?blocked this|end-to-end encrypt|deleted this (?:message|group)|is a contact)\b.*",
    re.IGNORECASE,
)
_NOTICE_NAME = re.compile(r".{1,80}? (?:created (?:this )?group [\"\u201c]|changed (?:the (?:group|subject) |this group's )).*")
_MEDIA = re.compile(
    r"<?(?:media|image|video|video note|audio|voice message|sticker|gif|document|contact card) omitted>?"
    r"|.{1,200} document omitted|.{1,200} \(file attached\)|<attached: .{1,200}>",
    re.IGNORECASE,
)


def is_notice(text: str, *, marked: bool) -> bool:
    """Return whether a message is a notice of the app, posing as a message of the person or group it stands beside.

    Args:
        text: The whole message.
        marked: Whether the app's invisible mark stood before it.
    """
    if len(text) > _LONGEST:
        return False
    text = text.translate(_NO_MARKS).strip().removesuffix(".")
    return _NOTICE.fullmatch(text) is not None or (marked and _MARKED_NOTICE.fullmatch(text) is not None)


def is_notice_name(name: str) -> bool:
    """Return whether words before a colon are no name but a notice whose group title has a colon in it."""
    return _NOTICE_NAME.fullmatch(name) is not None


def without_media(text: str) -> str:
    """Return the message without the line that stands for a picture, sound or file: its caption, "" when it has none."""
    first, _, caption = text.partition("\n")
    if len(first) <= _LONGEST and _MEDIA.fullmatch(first.translate(_NO_MARKS).strip()):
        return caption.strip()
    return text


def without_edit_mark(text: str) -> str:
    """Return the message without the remark that it was edited."""
    return text.rstrip(MARKS + " ").removesuffix(_EDITED).rstrip(MARKS + " ") if _EDITED in text[-40:] else text
