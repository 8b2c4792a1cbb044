"""Prints how many passed, failed and were skipped, by a JUnit report and the exit status of pytest."""

import sys
import xml.etree.ElementTree as xml

ALL_PASSED, NONE_SELECTED = 0, 5


def main(report, status):
    passed = failed = skipped = 0
    try:
        for case in xml.parse(report).iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
            elif case.find("skipped") is not None:
                skipped += 1
            else:
                passed += 1
    except (OSError, xml.ParseError):
        failed += 1
    # what broke off before a test could fail
    if status not in (ALL_PASSED, NONE_SELECTED) and not failed:
        failed += 1
    print(passed, failed, skipped)


main(sys.argv[1], int(sys.argv[2]))
