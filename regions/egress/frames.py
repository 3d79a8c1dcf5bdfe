"""Errors and the frames that they passed hold each other.

The client keeps an error in a variable of a frame that the error's traceback names. So that frame, its
request and the request's body would stay until the next garbage collection: a receiver that refuses
connections as fast as they come would fill the memory.
"""


def let_go_of_frames(error: BaseException) -> None:
    """Cut the tracebacks off an error and off all that led to it."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        found = todo.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            found.__traceback__ = None
            todo += (found.__cause__, found.__context__)
