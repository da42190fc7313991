"""Paper mode: the method of Kim, Inoue and Kasuya (2020)."""
