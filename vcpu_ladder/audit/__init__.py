"""Check published figures by arithmetic: which rows are impossible, and which limit explains a row."""
