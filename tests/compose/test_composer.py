"""What becomes of hits before they are packed."""

from __future__ import annotations

from tierkeep import Memory


def test_the_same_question_asked_before_is_no_evidence(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.add(["What is my cat called?", "what is my CAT called ?", "What is my cat called, and my dog?", "My cat naps a lot."])
    found = [item.text for item in ana.recall("What is my cat called?").items]
    assert found == ["What is my cat called, and my dog?", "My cat naps a lot."]
    assert [item.text for item in ana.recall("My cat naps a lot.").items][-1] == "My cat naps a lot."
