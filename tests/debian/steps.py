"""What the tests of an installed machine do again and again."""
import re
import time


def wait_until(condition, what, seconds=20):
    deadline, is_over = time.monotonic() + seconds, False
    while not condition():
        assert not is_over, f"in vain: {what}"
        time.sleep(0.02)
        is_over = time.monotonic() > deadline


def set_in(text, values):
    """The text of a file of settings, with each in the place of the line that is there for it."""
    for name, value in values.items():
        text, n = re.subn(rf"(?m)^#?{name}=.*$", lambda _: f"{name}={value}", text)
        assert n == 1, name
    return text
