"""Where requests and replies end, in Redis's protocol and in both of Memcached's. A stream knows nothing of that:
what was sent by two writes arrives as one or as two, and a large one in as many parts as a kernel likes. Only a small
one comes as a whole."""


class Values:
    """Redis's: a request is a value, and so is a reply."""

    def __init__(self):
        self.at, self.left = 0, 1           # so many values are to come from there on

    def end(self, data):
        """Of the first message, or None where not all of it is there."""
        while self.left:
            line = data.find(b"\r\n", self.at)
            if line < 0:
                return None
            kind, rest, end = data[self.at:self.at + 1], data[self.at + 1:line], line + 2
            if kind == b"$" and rest != b"-1":
                end += int(rest) + 2
                if len(data) < end:
                    return None
            self.left += int(rest) - 1 if kind == b"*" and rest != b"-1" else -1
            self.at = end
        end, self.at, self.left = self.at, 0, 1
        return end

    @staticmethod
    def loud(message):
        """Whether it wants an answer, or is the last part of one."""
        return True


class Packets:
    """Memcached's binary ones. What is asked quietly is answered where there is something to say, and by the time
    what was not asked quietly is."""

    QUIET = {0x09, 0x0D, *range(0x11, 0x1B), 0x1E, 0x24}

    @staticmethod
    def end(data):
        end = 24 + int.from_bytes(data[8:12], "big")
        return end if len(data) >= max(end, 24) else None

    def loud(self, message):
        return message[1] not in self.QUIET


class Lines:
    """Memcached's text: a line, and what is stored or read behind it, whose length is one of its words."""

    LENGTH = {b"set": 4, b"add": 4, b"replace": 4, b"append": 4, b"prepend": 4, b"cas": 4, b"VALUE": 3}

    def end(self, data):
        line = data.find(b"\r\n")
        if line < 0:
            return None
        words, end = bytes(data[:line]).split(b" "), line + 2
        if words[0] in self.LENGTH:
            end += int(words[self.LENGTH[words[0]]]) + 2
        return end if len(data) >= end else None

    @staticmethod
    def loud(message):
        """Behind a value comes another one, or END."""
        return not message.startswith(b"VALUE ")


def syntax_of(data):
    """By what a client says first."""
    return {b"*": Values, b"\x80": Packets}.get(bytes(data[:1]), Lines)


class Flight:
    """What is said before the other side has to say something: a request, or the answer to so many."""

    def __init__(self, syntax, wanted=None):
        self.syntax = syntax()
        self.wanted = wanted
        self.loud = 0                       # messages
        self.data = bytearray()
        self.rest = bytearray()             # of no whole message yet, or of the next flight

    def take(self, data):
        """Whether it is whole with these bytes. A request is where they end with what wants an answer."""
        self.rest += data
        loud = False
        while self.rest and self.loud != self.wanted and (end := self.syntax.end(self.rest)):
            loud = self.syntax.loud(self.rest[:end])
            self.loud += loud
            self.data += self.rest[:end]
            del self.rest[:end]
        return self.loud == self.wanted if self.wanted else loud and not self.rest
