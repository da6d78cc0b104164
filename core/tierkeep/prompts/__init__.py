"""What models are told. Duties and formats here; remembered text enters only through `tierkeep.rendering`.

The system part of each prompt is a constant, so that servers can cache it; evidence and question stand at the tail.
"""
