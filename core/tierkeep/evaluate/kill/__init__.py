"""Does an acknowledged write survive `kill -9`, whatever was being written? Every write path, killed at random moments.

A path is run in a process of its own that says what is committed and which call has returned; what was said is a promise. It is killed
somewhere inside: the moments are spread over an undisturbed run. Another process then opens the store, which must hold what the promises
come to, and at most the one thing that was under way: done whole, or not at all. Then the path is run again from where it stood, and must
come to what an undisturbed run leaves.
"""
