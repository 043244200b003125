import unittest


class Bills(unittest.TestCase):
    def test_nothing(self):
        pass
